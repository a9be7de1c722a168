"""The costly passes on an ordinary CPU, in images per CPU second (user and system), beside the fastest bare loop.

    FEATINV_THREADS=1 python recipes/benchmarks/ordinary_cpu.py

Each case runs in a fresh process, because an allocator cannot be set back. The bare loops try block sizes with glibc's
allocator as it is and as the command line sets it; the fastest counts. Goal: at least 0.9 of it.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import featinv as fi

BARE_BLOCKS = {"resnet50": (4, 8, 16), "mobilenet_v2": (4, 16, 64), "judge": (32, 128, 256)}
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
    probe: str = ""
    """internal: CASE/BLOCK (0: ours) to measure in this process"""


def main(config: Config) -> None:
    import torch

    torch.set_num_threads(1)
    if config.probe:
        case, block = config.probe.split("/")
        print(probe(case, int(block), config.images))
        return
    print(f"bf16 in hardware: {fi.precision.in_hardware('cpu')}, faster than float32: {fi.precision.pays('cpu')}")
    for case in config.cases:
        measure(case, config.images)


def measure(case: str, images: int) -> None:
    """Print one case: ours with both allocators, for networks beside the fastest bare loop."""
    ours = {allocator: _fresh(case, 0, images, allocator) for allocator in ("system", "auto")}
    words = ", ".join(f"{name}: {rate:.1f}/s, {peak:.0f} MB" for name, (rate, peak) in ours.items())
    bare = {
        (block, allocator): _fresh(case, block, images, allocator)[0]
        for block in BARE_BLOCKS.get(case, ())
        for allocator in ours
    }
    if bare:
        fastest = max(bare, key=bare.__getitem__)
        words += f" | fastest bare loop {bare[fastest]:.1f}/s ({fastest[0]} at once, {fastest[1]})"
        words += f" | {ours['auto'][0] / bare[fastest]:.2f}"
    print(f"| {case} | {words} |", flush=True)


def probe(case: str, block: int, images: int) -> str:
    """Return "RATE PEAK": images per CPU second and peak resident memory in MB, of one pass after a short one."""
    count = images if SIDES.get(case) == 224 else 16 * images
    run = _network_pass(case, block) if case in SIDES else _training(case)
    run(min(count, 128))
    before = os.times()
    run(count)
    after = os.times()
    seconds = after.user + after.system - before.user - before.system
    return f"{count / seconds} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}"


def _network_pass(case: str, block: int) -> Callable[[int], object]:
    import torch

    from featinv.evaluation.judging import run_judge

    judge = fi.encoders.judge("scenes-vgg")
    network = judge if case == "judge" else _victim(case)
    pixels = torch.rand(1024 if case == "judge" else 64, 3, SIDES[case], SIDES[case])

    def bare(count: int) -> None:
        with torch.no_grad():
            for rows in pixels[:count].split(block):
                network(rows)

    def ours(count: int) -> None:
        with torch.no_grad():
            for rows in pixels[:count].split(256):
                run_judge(judge, rows) if case == "judge" else network(rows)

    return bare if block else ours


def _victim(case: str) -> "fi.Victim":
    layer = "avgpool" if case == "resnet50" else "features"
    return fi.Victim(fi.encoders.torchvision(case, layer=layer, weights=None))


def _training(case: str) -> Callable[[int], object]:
    images = fi.data.scenes(1024, size=32, seed=0)
    pairs = fi.extract(fi.Victim(fi.encoders.tiny()), images)

    def distil(count: int) -> None:
        settings = fi.training.ClassifierTraining(epochs=count / 1024, holdout=0)
        fi.training.train_surrogate(pairs, settings)

    def step(count: int) -> None:
        decoder = fi.decoders.Upsampling(pairs.feature_shape, 32, width=256, channels=8)
        objective = fi.losses.MSE() + 0.1 * fi.losses.Perceptual(fi.encoders.tiny())
        fi.attacks.DecoderAttack(decoder, objective, fi.Training(images_of(count), batch_size=64, holdout=0)).fit(pairs)

    return distil if case == "distil" else step


def images_of(count: int) -> int:
    """Return a budget of whole batches."""
    return max(64, count // 64 * 64)


def _fresh(case: str, block: int, images: int, allocator: str) -> tuple[float, float]:
    flags = ["--probe", f"{case}/{block}", "--images", str(images)]
    environment = {**os.environ, "FEATINV_ALLOCATOR": allocator, "OMP_NUM_THREADS": "1", "FEATINV_PROGRESS": "0"}
    done = subprocess.run(
        [sys.executable, __file__, *flags], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    rate, peak = done.stdout.split()[-2:]
    return float(rate), float(peak)


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
