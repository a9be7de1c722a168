"""The named colours of scenes, and colours by lightness, chroma and hue."""

import math

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
