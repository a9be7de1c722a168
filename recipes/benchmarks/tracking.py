"""What wandb costs a comparison in CPU time, its own processes included, as a share of a run as long as the demo.

    python recipes/benchmarks/tracking.py

The demo with few images and short trainings, which tells wandb as much as the demo does (as many attacks, as many
rows of learning curves), offline and disabled in turns; the difference is what tracking costs. Goal: at most 2 % of the
CPU time of the demo as it is, which is run once. Linux only (it waits for processes that others left behind).
"""

import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import featinv as fi

RECIPES = Path(__file__).parents[1]
_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER: what a run leaves behind becomes our child, and its time ours to count


@dataclass(frozen=True)
class Config:
    """How much to measure."""

    out: str = ""
    """not used: the figures are printed"""
    rounds: int = 5
    """small comparisons of each kind, taking turns; the median difference counts"""
    steps: int = 200
    """learning steps of each decoder in the small comparison: one row of its curve each, as many as the demo tells"""
    demo: float | None = None
    """CPU seconds of the demo without tracking; null: it is run once"""


def main(config: Config) -> None:
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        short = small(Path(folder), config.steps)
        costs = []
        for turn in range(config.rounds):
            modes = ("disabled", "offline") if turn % 2 else ("offline", "disabled")
            taken = {mode: cpu_seconds(short, mode) for mode in modes}
            costs.append(taken["offline"] - taken["disabled"])
            print(f"| small comparison | {taken['disabled']:.1f} s disabled | {taken['offline']:.1f} s |", flush=True)
    whole = cpu_seconds(RECIPES / "configs" / "demo.yaml", "disabled") if config.demo is None else config.demo
    cost = statistics.median(costs)
    print(f"| tracking | {cost:.2f} CPU seconds ({min(costs):.2f} to {max(costs):.2f}) | |")
    print(f"| the demo | {whole:.0f} CPU seconds | tracking adds {100 * cost / whole:.2f} % |")


def small(folder: Path, steps: int) -> Path:
    """Write the demo's configuration with few images and short trainings, and return its file."""
    import yaml

    settings = yaml.safe_load((RECIPES / "configs" / "demo.yaml").read_text(encoding="utf-8"))
    settings["images"] |= {"public": 400, "private": 200}
    for attack in settings["attacks"].values():
        if "training" in attack:
            attack["training"] |= {"batch_size": 8, "images": 8 * steps, "minutes": None}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return file


def cpu_seconds(configuration: Path, mode: str) -> float:
    """Run the comparison in a folder of its own; return the CPU time of its processes, orphans included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--config", str(configuration), "--out", folder, "--tracking.mode", mode]
        environment = {**os.environ, "FEATINV_PROGRESS": "0", "WANDB_MODE": mode}
        subprocess.run(
            [sys.executable, str(RECIPES / "compare.py"), *flags],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
