"""The costly passes on an ordinary CPU, in images per CPU second (user and system), beside the fastest bare loop.

    FEATINV_THREADS=1 python recipes/benchmarks/ordinary_cpu.py

Each allocator setting of a case runs in a fresh process, because it cannot be set back. The bare loops call the network
without any code of featinv, in several block sizes, with glibc's allocator as it is and as the command line sets it.
The fastest counts. Goal: at least 0.9 of it.
"""

import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import featinv as fi

BARE_BLOCKS = {"resnet50": (4, 8, 16), "mobilenet_v2": (4, 16, 64), "judge": (32, 128, 256)}
LAYERS = {"resnet50": "avgpool", "mobilenet_v2": "features"}
SIDES = {"resnet50": 224, "mobilenet_v2": 224, "judge": 32}


@dataclass(frozen=True)
class Config:
    """How much to measure."""

    out: str = ""
    """not used: the figures are printed"""
    cases: tuple[str, ...] = ("resnet50", "mobilenet_v2", "judge", "distil", "step")
    """extraction by two networks of torchvision with random weights, a judge's pass, distilling, a training step"""
    images: int = 32
    """images of 224 px a pass; sixteen times as many of 32 px"""
    rounds: int = 3
    """passes of each loop, in turn; the best counts"""
    probe: str = ""
    """internal: the case to measure in this process"""


def main(config: Config) -> None:
    import torch

    torch.set_num_threads(1)
    if config.probe:
        rates, peak = probe(config.probe, config.images, config.rounds)
        print(json.dumps({"rates": rates, "peak": peak}))
        return
    print(f"bf16 in hardware: {fi.precision.in_hardware('cpu')}, faster than float32: {fi.precision.pays('cpu')}")
    for case in config.cases:
        measure(case, config)


def measure(case: str, config: Config) -> None:
    """Print one case: ours with both allocators, for networks beside the fastest bare loop."""
    measured = {allocator: _fresh(case, config, allocator) for allocator in ("system", "auto")}
    words = ", ".join(f"{name}: {rates['ours']:.1f}/s, {peak:.0f} MB" for name, (rates, peak) in measured.items())
    bare = {
        (block, name): rate for name, (rates, _) in measured.items() for block, rate in rates.items() if block != "ours"
    }
    if bare:
        fastest = max(bare, key=bare.__getitem__)
        words += f" | fastest bare loop {bare[fastest]:.1f}/s ({fastest[0]} at once, {fastest[1]})"
        words += f" | {measured['auto'][0]['ours'] / bare[fastest]:.2f}"
    print(f"| {case} | {words} |", flush=True)


def probe(case: str, images: int, rounds: int) -> tuple[dict[str, float], float]:
    """Return images per CPU second of ours and of each bare loop, and the peak resident memory of ours in MB.

    The best of several rounds in turn: what other work does to caches and clock speed slows both sides alike.
    """
    count = images if SIDES.get(case) == 224 else 16 * images
    loops = _network_passes(case) if case in SIDES else {"ours": _training(case)}
    rates: dict[str, float] = dict.fromkeys(loops, 0.0)
    for loop in loops.values():
        loop(min(count, 128))
        if loop is loops["ours"]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in range(rounds):
        for name, loop in loops.items():
            before = os.times()
            loop(count)
            after = os.times()
            rates[name] = max(rates[name], count / (after.user + after.system - before.user - before.system))
    return rates, peak


def _network_passes(case: str) -> dict[str, Callable[[int], object]]:
    """Ours, and the bare network without any of our code in blocks of several sizes."""
    import torch

    from featinv.evaluation.judging import run_judge

    judge = fi.encoders.judge("scenes-vgg")
    pixels = torch.rand(1024 if case == "judge" else 64, 3, SIDES[case], SIDES[case])
    network = judge.network if case == "judge" else _torchvision(case)
    victim = None if case == "judge" else fi.Victim(fi.encoders.torchvision(case, layer=LAYERS[case], weights=None))

    def bare(block: int, count: int) -> None:
        with torch.no_grad():
            for rows in pixels[:count].split(block):
                network(rows)

    def ours(count: int) -> None:
        with torch.no_grad():
            for rows in pixels[:count].split(256):
                run_judge(judge, rows) if victim is None else victim(rows)

    return {"ours": ours, **{str(block): functools.partial(bare, block) for block in BARE_BLOCKS[case]}}


def _torchvision(case: str) -> Any:
    import torchvision

    return getattr(torchvision.models, case)(weights=None).eval()


def _training(case: str) -> Callable[[int], object]:
    images = fi.data.scenes(1024, size=32, seed=0)
    pairs = fi.extract(fi.Victim(fi.encoders.tiny()), images)

    def distil(count: int) -> None:
        settings = fi.training.ClassifierTraining(epochs=count / 1024, holdout=0)
        fi.training.train_surrogate(pairs, settings)

    def step(count: int) -> None:
        decoder = fi.decoders.Upsampling(pairs.feature_shape, 32, width=256, channels=8)
        objective = fi.losses.MSE() + 0.1 * fi.losses.Perceptual(fi.encoders.tiny())
        fi.attacks.DecoderAttack(
            decoder, objective, fi.Training(max(64, count // 64 * 64), batch_size=64, holdout=0)
        ).fit(pairs)

    return distil if case == "distil" else step


def _fresh(case: str, config: Config, allocator: str) -> tuple[dict[str, float], float]:
    flags = ["--probe", case, "--images", str(config.images), "--rounds", str(config.rounds)]
    environment = {**os.environ, "FEATINV_ALLOCATOR": allocator, "OMP_NUM_THREADS": "1", "FEATINV_PROGRESS": "0"}
    done = subprocess.run(
        [sys.executable, __file__, *flags], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures["rates"], figures["peak"]


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
