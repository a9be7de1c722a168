"""Benchmark: what the fit loop costs over a bare, hand-written PyTorch loop of the same model, batch and optimiser.

    python recipes/benchmarks/fit_loop.py                       # Upsampling on 32 px, as in the CIFAR-10 recipe
    python recipes/benchmarks/fit_loop.py --decoder Listik --rounds 5

Both run in one process, in turns, on data already in memory; the bare loop has its pixels as float32 and does the same
clipping and averaging. Prints images/s of both and their ratio (goal: at least 0.97), median and range of the rounds.
Validation and checkpoints are not in it: they cost what the settings ask for.
"""

import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from clocks import in_turns

import featinv as fi
from featinv.configuration import Component, build
from featinv.training.settings import Training

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    """Every field is a flag."""

    decoder: Component = field(default_factory=lambda: Component("Upsampling"))
    """an export of featinv.decoders, or the import path of a class of yours"""
    width: int = 64
    """numbers in a feature vector"""
    size: int = 32
    """side of the images in pixels"""
    pairs: int = 2000
    """pairs in memory"""
    batch_size: int = 128
    """images per step"""
    steps: int = 20
    """steps a round"""
    rounds: int = 7
    """rounds of each loop, in turns"""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu: seconds of this process on the processors, which a machine shared with others does not disturb"""
    averaging: bool = True
    """clip the gradient and average the weights, in both loops"""


def bare_loop(decoder: "nn.Module", features: "Tensor", images: "Tensor", config: Config) -> Callable[[], None]:
    """The loop that one would write by hand, with torch's fused AdamW as in ours."""
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    optimiser = torch.optim.AdamW(decoder.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-7, fused=True)
    average = AveragedModel(decoder, multi_avg_fn=get_ema_multi_avg_fn(0.999)) if config.averaging else None

    def run() -> None:
        order = torch.randperm(len(features), device=features.device)
        for step in range(config.steps):
            start = step * config.batch_size % (len(features) - config.batch_size + 1)
            chosen = order[start : start + config.batch_size]
            loss = (decoder(features[chosen]) - images[chosen]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            if average is not None:
                torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
            optimiser.step()
            if average is not None:
                average.update_parameters(decoder)

    return run


def our_loop(decoder: "nn.Module", pairs: "fi.Pairs", config: Config, accelerator: "Accelerator") -> Callable[[], None]:
    """The fit loop with its history and progress bar, without validation and checkpoints."""
    from featinv.training.batches import Batches
    from featinv.training.callbacks import Bar
    from featinv.training.fitting import Callback
    from featinv.training.fitting import run as fit_loop
    from featinv.training.history import History
    from featinv.training.progress import Progress

    clip, ema = (1.0, 0.999) if config.averaging else (None, None)
    settings = Training(
        images=config.steps * config.batch_size,
        batch_size=config.batch_size,
        clip=clip,
        ema=ema,
        holdout=0,
        keep="last",
    )
    batches = Batches(pairs, batch_size=config.batch_size, seed=0)
    step = fi.training.RegressionStep(decoder, fi.losses.MSE(), settings, accelerator)

    def run() -> None:
        progress, history = Progress(settings), History(settings)
        with fi.processes.progress_bar(settings.images, "fit loop") as bar:
            callbacks: list[Callback] = [history, Bar(bar, history, progress)]
            fit_loop(step, batches, progress, settings, callbacks, accelerator.device)

    return run


def main(config: Config) -> None:
    import numpy as np
    import torch

    from featinv.training.fitting import accelerating

    fi.processes.share_threads()
    device = fi.processes.device()
    images = fi.data.scenes(config.pairs, size=config.size, seed=0)
    vectors = np.random.default_rng(0).normal(size=(config.pairs, config.width)).astype(np.float32)
    decoder = build(config.decoder, fi.decoders, config.width, config.size).to(device)
    pixels = images.batch(range(config.pairs)).to(device)
    with accelerating(Training()) as accelerator:
        loops = {
            "bare": bare_loop(copy.deepcopy(decoder), torch.from_numpy(vectors).to(device), pixels, config),
            "ours": our_loop(decoder, fi.Pairs(vectors, images), config, accelerator),
        }
        clock = time.perf_counter if config.clock == "wall" else time.process_time
        seconds = in_turns(loops, config.rounds, clock=clock)
    speeds = {
        name: [config.steps * config.batch_size / duration for duration in taken] for name, taken in seconds.items()
    }
    ratios = [ours / bare for ours, bare in zip(speeds["ours"], speeds["bare"], strict=True)]
    report = {
        "decoder": config.decoder.name,
        "clock": config.clock,
        "images_per_second": {name: round(statistics.median(values), 1) for name, values in speeds.items()},
        "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios), "goal": 0.97},
        "machine": {"device": str(device), "threads": torch.get_num_threads(), "cpu": platform.machine()},
        "torch": torch.__version__,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
