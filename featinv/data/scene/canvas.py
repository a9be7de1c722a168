"""What a scene is painted on and with: an anti-aliased canvas of signed distances, and the colours by name."""

import math
from functools import cache
from typing import final

import numpy as np
from einops import rearrange

Colour = tuple[float, float, float]

TONES = ((0.98, 0.84, 0.72), (0.87, 0.66, 0.49), (0.62, 0.42, 0.28), (0.36, 0.23, 0.16))
HAIR_COLOURS = {
    "black": (0.13, 0.11, 0.12),
    "brown": (0.42, 0.26, 0.16),
    "blond": (0.88, 0.74, 0.42),
    "blue": (0.22, 0.36, 0.66),
}
COLOURS = {
    "red": (0.85, 0.16, 0.14),
    "orange": (0.95, 0.55, 0.12),
    "yellow": (0.96, 0.86, 0.22),
    "green": (0.20, 0.62, 0.24),
    "teal": (0.10, 0.66, 0.66),
    "blue": (0.16, 0.34, 0.82),
    "purple": (0.52, 0.24, 0.70),
    "pink": (0.95, 0.52, 0.70),
    "white": (0.95, 0.95, 0.93),
    "black": (0.12, 0.12, 0.14),
}


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Return the sRGB colour, clipped to [0, 1], of an OKLCH colour (Ottosson 2020; hue in radians)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    l_ = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m_ = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s_ = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * l_ - 3.3077115913 * m_ + 0.2309699292 * s_),
        _gamma(-1.2684380046 * l_ + 2.6097574011 * m_ - 0.3413193965 * s_),
        _gamma(-0.0041960863 * l_ - 0.7034186147 * m_ + 1.7076147010 * s_),
    )


def _gamma(linear: float) -> float:
    linear = min(1.0, max(0.0, linear))
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


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
        return rearrange(levels.astype(np.uint8), "c h w -> h w c")


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
