"""A small extraction that tests start as processes: `extraction_program.py FOLDER SECONDS_A_BATCH [BLACK]`."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import featinv as fi

BLOCK, BATCH = 6, 4


class Grey(nn.Module):
    """A stand-in encoder that mirroring changes: the mean of each column of the image; it fails on black images."""

    name, family, trained_on, layer, fingerprint = "grey", "linear", "nothing", None, "a" * 64
    feature_shape, image_size = (8,), 8

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.encoded = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        self.encoded += len(images)
        return images.mean((1, 2)) / images.amax((1, 2, 3), keepdim=False)[:, None].sign()


def some_images(count: int = 45, black: Iterable[int] = ()) -> fi.data.ImageSet:
    """The same noise images for every process, some of them black."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    pixels[list(black)] = 0
    return fi.data.ImageSet(pixels, ids=[f"p{i}" for i in range(count)])


def noisy(seconds: float = 0.0) -> fi.Victim:
    """A victim whose defence draws: the hardest case for equal files."""
    return fi.Victim(Grey(seconds), fi.defences.GaussianNoise(0.1))


def extraction(folder: Path, seconds: float = 0.0, black: Iterable[int] = ()) -> int:
    """Extract both views of all images into `folder`; return how many images this process encoded."""
    victim = noisy(seconds)
    fi.extract(victim, some_images(black=black), to=folder, flips=True, seed=3, batch_size=BATCH, block=BLOCK)
    return victim.encoder.encoded


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        encoded = extraction(Path(sys.argv[1]), float(sys.argv[2]), map(int, sys.argv[3:]))
        print(f"process {fi.processes.rank()} of {fi.processes.world_size()} encoded {encoded}", file=sys.stderr)
    except fi.BadInput as error:
        if fi.processes.is_main():
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            # The launcher ends all processes with the first one that leaves: let the main process speak.
            time.sleep(3)
        sys.exit(2)
