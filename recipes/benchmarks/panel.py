"""Scoring without network metrics: its pixel metrics against torchmetrics' own functions, and its memory.

    python recipes/benchmarks/panel.py

The pixel metrics of the panel (MSE, PSNR, SSIM, low-pass PSNR), read back from its store of reconstructions, against
torchmetrics called directly on the same images in memory; rounds take turns, CPU time of one thread. Then the whole
of scoring one attack (treatments, ranks in every view and gallery, mismatched features) with a judge that costs
nothing, and its most anonymous memory at two numbers of images. Goals: a ratio of at most 1.1, and memory that grows by
no more than the judge's features and the ranks. Linux only (it reads /proc).
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clocks import anonymous_memory, image_file, in_a_fresh_process, in_turns

import featinv as fi

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from featinv.evaluation.panel import Panel


@dataclass(frozen=True)
class Config:
    """How much to measure."""

    out: str = ""
    """not used: the figures are printed"""
    sizes: tuple[int, ...] = (32, 256)
    """sides of the images in pixels"""
    counts: tuple[int, ...] = (10_000, 1_000)
    """images of each size; a quarter of them is the smaller number at which memory is measured"""
    rounds: int = 3
    """rounds of each, taking turns; the median counts"""
    batch_size: int = 256
    """images a batch"""
    probe: tuple[int, ...] = ()
    """internal: size and number of images of which this process measures the memory"""


class Pooling:
    """A judge that costs next to nothing: 4 x 4 means, and the brightest channel."""

    name, family, trained_on, fingerprint = "pooling", "pooling", "nothing", "pooling"

    def __call__(self, images: "Tensor") -> "tuple[Tensor, Tensor]":
        import torch

        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), images.mean((2, 3))


def main(config: Config) -> None:
    import torch

    torch.set_num_threads(1)
    if config.probe:
        size, count = config.probe
        print(memory(size, count, config))
        return
    for size, count in zip(config.sizes, config.counts, strict=True):
        speed(size, count, config)
        few = count // 4
        low, high = (in_a_fresh_process(__file__, "--probe", f"[{size},{number}]") for number in (few, count))
        print(
            f"| scoring, {size} px | {low:.1f} MB anonymous at {few:,} images, {high:.1f} MB at {count:,} | "
            f"{high / low:.3f}, {1024**2 * (high - low) / (count - few):.0f} bytes an image |",
            flush=True,
        )


def speed(size: int, count: int, config: Config) -> None:
    """Print images per second of both, their ratio, and of scoring as a whole."""
    import statistics

    import numpy as np

    from featinv.evaluation.judging import ImageStore, as_uint8

    with tempfile.TemporaryDirectory() as folder:
        truth = fi.data.arrays(image_file(Path(folder) / "images.npy", count, size))
        panel = prepared(truth, config)
        reconstructions = np.concatenate(
            [as_uint8(synthetic_reconstructions(truth, rows)) for rows in blocks(count, panel.batch_size)]
        )
        with ImageStore(size) as store:
            result = panel.run("synthetic", lambda rows: synthetic_reconstructions(truth, rows), store)
            runs = {
                "torchmetrics": lambda: directly(truth, reconstructions, panel.batch_size),
                "ours": lambda: panel.score(result, views=[]),
            }
            seconds = in_turns(runs, config.rounds)
    ratios = [ours / theirs for ours, theirs in zip(seconds["ours"], seconds["torchmetrics"], strict=True)]
    for name, taken in seconds.items():
        print(f"| {name}, {size} px | {count / statistics.median(taken):.0f} images per CPU second |")
    print(f"| ratio of times, {size} px | {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f}) |")
    started = time.process_time()
    score(truth, config)
    print(f"| all of scoring, {size} px | {count / (time.process_time() - started):.0f} images per CPU second |")


def directly(truth: "fi.data.ImageSet", reconstructions: "np.ndarray", batch_size: int) -> None:
    """The same four numbers of every image, by torchmetrics' functions as they are."""
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as psnr
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim
    from torchmetrics.functional.regression import mean_squared_error as mse

    kept: list[Any] = []
    for rows in blocks(len(reconstructions), batch_size):
        originals = truth.batch(rows)
        images = torch.from_numpy(reconstructions[rows]).permute(0, 3, 1, 2).float().div(255)
        pool = torch.nn.functional.adaptive_avg_pool2d
        small = (pool(images, 8), pool(originals, 8))
        kept.append(mse(images.flatten(1).T, originals.flatten(1).T, num_outputs=len(rows)))
        kept += [psnr(one, two, 1.0, dim=(1, 2, 3), reduction="none") for one, two in ((images, originals), small)]
        kept.append(ssim(images, originals, data_range=1.0, reduction="none"))


def memory(size: int, count: int, config: Config) -> float:
    """Return the most anonymous memory (MB) while `count` reconstructions are scored."""
    with tempfile.TemporaryDirectory() as folder:
        truth = fi.data.arrays(image_file(Path(folder) / "images.npy", count, size))
        with anonymous_memory() as memory:
            score(truth, config)
    return float(memory.peak)


def score(truth: "fi.data.ImageSet", config: Config) -> None:
    """Everything that is measured of one attack, with right and with mismatched features."""
    from featinv.evaluation.judging import ImageStore
    from featinv.evaluation.measuring import derangement

    panel = prepared(truth, config)
    with ImageStore(truth.size) as store:
        result = panel.run("synthetic", lambda rows: synthetic_reconstructions(truth, rows), store)
        panel.score(result)
        panel.score(result, order=derangement(len(truth), 0))


def prepared(truth: "fi.data.ImageSet", config: Config) -> "Panel":
    from featinv.evaluation.panel import Panel

    galleries = [size for size in (100, 1000) if size < len(truth)]
    return Panel.prepare(truth, [Pooling()], galleries=galleries, batch_size=config.batch_size)


def synthetic_reconstructions(truth: "fi.data.ImageSet", rows: "np.ndarray") -> "Tensor":
    """Reconstructions as good attacks make them: their originals without detail."""
    import torch

    small = torch.nn.functional.avg_pool2d(truth.batch(rows), 4)
    return torch.nn.functional.interpolate(small, scale_factor=4.0, mode="bilinear")


def blocks(count: int, batch_size: int) -> "list[np.ndarray]":
    import numpy as np

    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
