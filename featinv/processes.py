"""Ranks, devices, threads and random state: what every package needs to know about where it runs."""

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from tqdm import tqdm

from featinv import environment
from featinv.errors import BadInput


def _state() -> PartialState:
    # Accelerator honours ACCELERATE_USE_CPU, PartialState alone does not: without this, a library call before the first
    # Accelerator would leave every process alone, each believing itself the main one.
    return PartialState(cpu=environment.switched_on("ACCELERATE_USE_CPU"))


@atexit.register
def _leave() -> None:
    # Left to the interpreter's end, gloo's threads now and then die with the process: "terminate called", exit code -6.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # DDP's reducers hold the group; what they keep alive is not destroyed
        torch.distributed.destroy_process_group()


def rank() -> int:
    """Return this process's number among those that `accelerate launch` started (0 when alone)."""
    return int(_state().process_index)


def world_size() -> int:
    """Return how many processes `accelerate launch` started (1 when alone)."""
    return int(_state().num_processes)


def is_main() -> bool:
    """Say whether this is the process that writes files and speaks."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process has come here."""
    _state().wait_for_everyone()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Run the body in the main process first, then in the others (which then find what it cached)."""
    with _state().main_process_first():
        yield


def broadcast(value: Any) -> Any:
    """Return the main process's `value` in every process."""
    if world_size() == 1:
        return value
    return broadcast_object_list([value])[0]


def gather(value: Any) -> list[Any]:
    """Return every process's `value`, in the order of the ranks, in every process."""
    if world_size() == 1:
        return [value]
    return list(gather_object([value]))


def device(name: str | None = None) -> torch.device:
    """Return the device to compute on: the one asked for, or the one that Accelerate chose for this rank.

    Raises BadInput when an accelerator is asked for that is not there.
    """
    if name is None:
        return torch.device(_state().device)
    try:
        wanted = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"device: expected cpu, cuda, cuda:0, mps or xpu, got {name!r}") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["xpu"] = torch.xpu.is_available()
    if not available.get(wanted.type, False):
        raise BadInput(f"device: {name!r} was asked for, but torch sees no such accelerator here; use cpu")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"device: {name!r} was asked for, but torch sees {torch.cuda.device_count()} GPU(s)")
    return wanted


def share_threads() -> int:
    """Share the cores among the processes of this machine; returns the number of torch threads of this one.

    `accelerate launch` sets OMP_NUM_THREADS=1 where the user set nothing, which would leave half of a 2-core machine
    idle. FEATINV_THREADS overrides the share. Raises BadInput where it is no number of threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    local = environment.rank("LOCAL_WORLD_SIZE", world_size())
    threads = environment.threads("FEATINV_THREADS") or max(1, cores // max(1, local))
    torch.set_num_threads(threads)
    return threads


def progress_bar(total: int | None, desc: str, unit: str = "image", initial: int = 0) -> tqdm:
    """Return a progress bar on stderr that only the main process shows.

    When stderr is a file (a log), it refreshes every 30 seconds instead of every half second.
    """
    interactive = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=desc,
        unit=f" {unit}s",
        unit_scale=unit == "image",
        initial=initial,
        disable=not is_main() or os.environ.get("FEATINV_PROGRESS") == "0",
        mininterval=0.5 if interactive else 30.0,
        dynamic_ncols=interactive,
        leave=interactive,
        file=sys.stderr,
    )


@contextlib.contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Run the body with torch's random state drawn from `numbers`, and restore the state afterwards."""
    entropy = 0x9E3779B97F4A7C15
    for number in numbers:
        # A running mix (as in splitmix64), so that (1, 2) and (2, 1) are different streams.
        entropy = ((entropy ^ (number & (2**64 - 1))) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        entropy ^= entropy >> 31
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(entropy & (2**63 - 1))
        yield
