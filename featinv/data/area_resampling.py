"""Exact area resampling of one axis, as a small matrix."""

from functools import cache

import numpy as np


@cache
def area_matrix(size: int, cells: int) -> np.ndarray:
    """(size, cells) share of each pixel that each of `cells` equal cells fills: exact area resampling of one axis."""
    edges, grid = np.arange(size + 1) / size, np.arange(cells + 1) / cells
    low = np.maximum(edges[:-1, None], grid[None, :-1])
    high = np.minimum(edges[1:, None], grid[None, 1:])
    return (np.clip(high - low, 0, None) * size).astype(np.float32)
