"""Extraction against the encoder alone, and anonymous memory at 10,000 and 100,000 images, in one run.

    python recipes/benchmarks/extraction.py

The ratio is of images per second of CPU time, over rounds that take turns, so that a shared machine slows both alike.
Goals: at least 0.95, and memory the same within 10 %. Linux only (it reads /proc).
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clocks import anonymous_memory, image_file, in_a_fresh_process, in_turns

import featinv as fi


@dataclass(frozen=True)
class Config:
    """How much to measure."""

    out: str = ""
    """not used: the figures are printed"""
    images: int = 4096
    """images a round"""
    rounds: int = 5
    """rounds of each, taking turns; the median counts"""
    counts: tuple[int, ...] = (10_000, 100_000)
    """sizes at which memory is measured"""
    probe: int = 0
    """internal: measure the memory of this many images in this process"""


def main(config: Config) -> None:
    if config.probe:
        print(memory(config.probe))
        return
    speed(config)
    sizes = []
    for count in config.counts:
        sizes.append(in_a_fresh_process(__file__, "--probe", str(count)))
        print(f"| extraction to a store and 50 training steps, {count:,} images | {sizes[-1]:.1f} MB anonymous |")
    print(f"| memory, largest to smallest | {sizes[-1] / sizes[0]:.3f} |")


def speed(config: Config) -> None:
    """Print images per CPU second of the bare encoder and of extraction, on images in memory."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    with fi.processes.seeded(0):
        network = fi.encoders.networks.CifarResNet(20, 10)
    encoder = fi.encoders.wrap(network, name="resnet20", family="resnet", input_size=32, layer="avgpool")
    victim = fi.Victim(encoder)
    pixels = np.random.default_rng(0).integers(0, 256, (config.images, 32, 32, 3), dtype=np.uint8)
    images = fi.data.ImageSet(pixels, ids=[str(row) for row in range(config.images)])

    def bare() -> None:
        with torch.no_grad():
            for start in range(0, config.images, 256):
                encoder(images.batch(range(start, min(start + 256, config.images))))

    def in_memory() -> None:
        fi.extract(victim, images)

    def to_store() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fi.extract(victim, images, to=Path(folder) / "store")

    runs = {"encoder alone": bare, "extract, in memory": in_memory, "extract, to a store": to_store}
    seconds = in_turns(runs, config.rounds)
    alone = seconds["encoder alone"]
    for name, taken in seconds.items():
        ratio = statistics.median(bare / duration for bare, duration in zip(alone, taken, strict=True))
        rate = config.images / statistics.median(taken)
        print(f"| {name} | {rate:.0f} images per CPU second | {ratio:.3f} |", flush=True)


def memory(count: int) -> float:
    """Return the most anonymous memory (MB) while `count` images are extracted and trained on."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = image_file(Path(folder) / "images.npy", count, 32)
        with anonymous_memory() as memory:
            images = fi.data.arrays(file)
            encoder = fi.encoders.wrap(torch.nn.AvgPool2d(8), name="means", family="means", input_size=32)
            pairs = fi.extract(fi.Victim(encoder), images, to=Path(folder) / "store")
            decoder = fi.decoders.Upsampling(pairs.feature_shape, 32, width=64, channels=0)
            training = fi.Training(images=50 * 128, batch_size=128)
            fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training).fit(pairs)
    return float(memory.peak)


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
