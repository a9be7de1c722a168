"""An image while it is painted: anti-aliased by signed distances, so that a scene looks alike at every size."""

from functools import cache
from typing import final

import numpy as np

from featinv.data.scene_colours import Colour


@final
class Canvas:
    """Planes (3, S, S) float32 in [0, 1]; lengths in units of the side, y pointing down."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixel = 1.0 / size
        self.planes = np.empty((3, size, size), dtype=np.float32)
        self.centres = pixel_centres(size)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice] | None:
        """Rows and columns of the square of half side `reach` around (x, y), or None where it misses the image."""
        left, right = int((x - reach) * self.size), int((x + reach) * self.size) + 2
        top, bottom = int((y - reach) * self.size), int((y + reach) * self.size) + 2
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, self.size), min(bottom, self.size)
        if left >= right or top >= bottom:
            return None
        return slice(top, bottom), slice(left, right)

    def paint(self, window: tuple[slice, slice], cover: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Lay `colour` (three numbers, or planes of the window's shape) over the window with the given coverage."""
        part = self.planes[:, window[0], window[1]]
        paint = colour if isinstance(colour, np.ndarray) else np.array(colour, dtype=np.float32)[:, None, None]
        part += cover * (paint - part)

    def uint8(self) -> np.ndarray:
        """Round to (S, S, 3) uint8."""
        levels = self.planes * np.float32(255.0)
        levels += np.float32(0.5)
        np.clip(levels, 0.0, 255.0, out=levels)
        return levels.astype(np.uint8).transpose(1, 2, 0)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """How much of each pixel lies inside, from signed distances (negative inside) and the width of the edge."""
    return np.clip(np.float32(0.5) - distance * np.float32(1.0 / width), np.float32(0.0), np.float32(1.0))


@cache
def pixel_centres(size: int) -> np.ndarray:
    """Centres of the pixels of one row, in units of the side."""
    return (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)


@cache
def spline_matrix(size: int, points: int) -> np.ndarray:
    """(size, points) weights that spread control points over pixels by a cubic B-spline, averaged over each pixel."""
    fine = 4
    places = (np.arange(size * fine) + 0.5) / (size * fine) * (points - 1)
    gap = np.abs(places[:, None] - np.arange(points)[None, :])
    near, far = 2 / 3 - gap**2 + gap**3 / 2, (2 - gap) ** 3 / 6
    weights = np.where(gap < 1, near, np.where(gap < 2, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.reshape(size, fine, points).mean(axis=1).astype(np.float32)
