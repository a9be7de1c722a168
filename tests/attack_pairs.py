"""Small pairs in which the vector says something of the image."""

import numpy as np

from featinv.data import ImageSet
from featinv.features import Pairs


def make_pairs(
    count: int, *, width: int = 6, size: int = 8, seed: int = 0, labelled: bool = True, shape: tuple[int, ...] = ()
) -> Pairs:
    """Return pairs whose features (of `width`, or of `shape`) are a fixed linear map of the pixels, plus noise."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, size=(count, size, size, 3), dtype=np.uint8)
    shape = shape or (width,)
    mixing = np.random.default_rng(99).normal(size=(size * size * 3, int(np.prod(shape)))) / size
    features = pixels.reshape(count, -1) / 255 @ mixing + 0.01 * generator.normal(size=(count, int(np.prod(shape))))
    labels = np.arange(count) % 3 if labelled else None
    ids = [f"{seed}-{row}" for row in range(count)]
    images = ImageSet(pixels, ids=ids, labels=labels, classes=("a", "b", "c") if labelled else ())
    return Pairs(features.reshape(count, *shape).astype(np.float32), images)
