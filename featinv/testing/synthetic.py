"""Small images and pairs for testing plug-ins."""

import numpy as np
import torch
from torch import nn

from featinv.data import ImageSet
from featinv.features import Pairs
from featinv.types import Images


def synthetic_images(count: int, *, size: int = 32, seed: int = 0) -> Images:
    """Return `count` different smooth colour images (count, 3, size, size), strictly inside (0, 1)."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=draw)
    fine = torch.rand(count, 3, size, size, generator=draw)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return 0.02 + 0.96 * (0.8 * smooth + 0.2 * fine)


def synthetic_pairs(count: int = 48, *, feature_shape: tuple[int, ...] = (16,), size: int = 32, seed: int = 0) -> Pairs:
    """Return public pairs whose features are a fixed random linear map of the pixels plus weak noise.

    Each image has one of three labels.
    """
    pixels = (
        synthetic_images(count, size=size, seed=seed).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    )
    width = int(np.prod(feature_shape))
    mixing = np.random.default_rng(7).normal(size=(3 * size * size, width)) / size
    noise = np.random.default_rng(seed).normal(size=(count, width))
    features = (pixels.reshape(count, -1) / 255 - 0.5) @ mixing + 0.01 * noise
    ids = [f"synthetic-{seed}-{row}" for row in range(count)]
    images = ImageSet(pixels, ids=ids, labels=np.arange(count) % 3, classes=("red", "green", "blue"))
    return Pairs(features.astype(np.float32).reshape(count, *feature_shape), images)
