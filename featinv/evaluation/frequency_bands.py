"""Squared numbers of images by octave of frequency and by colour: what of them is coarse, and what is texture."""

from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Float, Float64

COLOURS = ("luma", "blue-yellow", "red-green")
_OPPONENT = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
"""orthonormal, so that squares over the three add up to those of red, green and blue"""


def band_names(size: int) -> tuple[str, ...]:
    """Return the octaves of an image of `size` pixels a side: 0 is the mean colour, 1, 2-3, 4-7 ... cosine indices."""
    names, low = ["0", "1"], 2
    while low < size:
        high = min(2 * low, size) - 1
        names.append(f"{low}-{high}" if high > low else f"{low}")
        low *= 2
    return tuple(names[: 1 if size == 1 else None])


def band_squares(images: Float[np.ndarray, "N 3 S S"]) -> Float64[np.ndarray, "N bands 3"]:
    """Return the summed squares of each image's coefficients by octave and colour (`COLOURS`).

    Coefficients are of the orthonormal two-dimensional DCT-II; the octave is that of the larger of the two indices. All
    of an image's entries add up to the sum of its squared pixels (Parseval).
    """
    size = images.shape[-1]
    opponent = np.einsum("oc,ncij->noij", _OPPONENT, images.astype(np.float64))
    transform: Any = scipy.fft.dctn
    squares = transform(opponent, axes=(2, 3), norm="ortho") ** 2
    index = np.maximum(*np.indices((size, size)))
    octave = np.where(index == 0, 0, 1 + np.log2(np.maximum(index, 1)).astype(np.int64)).ravel()
    flat = squares.reshape(len(images), 3, -1)
    bands = len(band_names(size))
    return np.stack([flat[:, :, octave == band].sum(axis=2) for band in range(bands)], axis=1)
