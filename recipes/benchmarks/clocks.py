"""What the benchmarks share: runs that take turns, synthetic images on disk, and the most anonymous memory."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace


def in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, *, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Return the seconds of every run in every round; the first one goes last in the next round, and round 0 warms up.

    CPU time by default, which a machine shared with others disturbs least.
    """
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in list(runs.items())[:: 1 if turn % 2 else -1]:
            started = clock()
            run()
            wait()
            if turn:
                seconds[name].append(clock() - started)
    return seconds


def image_file(file: Path, count: int, size: int) -> Path:
    """Write an .npy of images of noise, a block at a time, and return it."""
    import numpy as np

    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
    step = max(1, 2**22 // size**2)
    for start in range(0, count, step):
        block = pixels[start : start + step]
        block[:] = np.random.default_rng(start).integers(0, 256, block.shape, dtype=np.uint8)
    pixels.flush()
    return file


@contextlib.contextmanager
def anonymous_memory() -> Iterator[SimpleNamespace]:
    """Watch this process: `.peak` is its most anonymous memory in MB (what is mapped from files does not count)."""
    memory, done = SimpleNamespace(peak=0.0), threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
            memory.peak = max(memory.peak, int(line.split()[1]) / 1024)

    sampler = threading.Thread(target=watch, daemon=True)
    sampler.start()
    try:
        yield memory
    finally:
        done.set()
        sampler.join()


def in_a_fresh_process(file: str, *flags: str) -> float:
    """Start a benchmark anew with these flags, and return the number that it prints last."""
    done = subprocess.run([sys.executable, file, *flags], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])
