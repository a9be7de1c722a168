"""Extract and read COUNT images on disk; print the anonymous memory in kB: `memory_program.py COUNT FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import featinv as fi


class Wide(nn.Module):
    """512 features of a 12 px image: 2 kB, so that features kept in memory would show at once."""

    name, family, trained_on, layer, fingerprint = "wide", "linear", "nothing", None, "b" * 64
    feature_shape, image_size = (512,), 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images.flatten(1), images[:, 0, :8, :10].flatten(1)], 1)


def anonymous() -> int:
    """Anonymous memory of this process in kB; memory-mapped files are not counted."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (count, 12, 12, 3))
    for start in range(0, count, 1000):
        pixels[start : start + 1000] = np.random.default_rng(start).integers(0, 256, (1000, 12, 12, 3), dtype=np.uint8)
    images = fi.data.ImageSet(pixels, ids=[str(number) for number in range(count)])
    pairs = fi.extract(fi.Victim(Wide(), fi.defences.GaussianNoise(0.1)), images, to=folder / "store", flips=True)
    highest, rng = anonymous(), np.random.default_rng(0)
    for _ in range(count // 256):
        pairs.batch(rng.integers(0, count, 256), rng.random(256) < 0.5)
        highest = max(highest, anonymous())
    print(highest)
