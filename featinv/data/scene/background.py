"""Backgrounds of scenes: two colours mixed by a texture, roughened by noise of several octaves, lit from one side."""

import math
from collections.abc import Callable

import numpy as np

from featinv.data.scene.canvas import Canvas, spline_matrix
from featinv.data.scene.facts import Scene


def paint_background(canvas: Canvas, scene: Scene) -> np.ndarray:
    """Fill the canvas; returns the noise (S, S), about -0.5..0.5, with which things are roughened too."""
    noise = octaves(scene.lattices, canvas.size)
    mix = _TEXTURES[scene.background](canvas, scene, noise)
    mix = np.float32(scene.contrast) * (mix - np.float32(0.5)) + np.float32(0.5)
    first = np.array(scene.first_rgb, dtype=np.float32)[:, None, None]
    second = np.array(scene.second_rgb, dtype=np.float32)[:, None, None]
    np.multiply(second - first, mix, out=canvas.planes)
    canvas.planes += first
    canvas.planes *= np.float32(1.0) + np.float32(scene.roughness) * noise
    return noise


def paint_light(canvas: Canvas, scene: Scene) -> None:
    """Brighten the side that the light comes from and darken the corners."""
    x = canvas.centres[None, :] - np.float32(0.5)
    y = canvas.centres[:, None] - np.float32(0.5)
    strength = scene.light_strength
    ramp = (
        np.float32(math.cos(scene.light_angle) * strength) * x + np.float32(math.sin(scene.light_angle) * strength) * y
    )
    ramp -= np.float32(scene.vignette) * (x * x + y * y)
    ramp += np.float32(1.0 + scene.vignette / 8)
    canvas.planes *= ramp


def octaves(lattices: tuple[np.ndarray, ...], size: int) -> np.ndarray:
    """Sum the control lattices, each at half the amplitude of the one before, as smooth noise (S, S)."""
    total = np.zeros((size, size), dtype=np.float32)
    amplitude = 1.2
    for lattice in lattices:
        spread = spline_matrix(size, len(lattice))
        total += (spread @ (lattice * np.float32(amplitude))) @ spread.T
        amplitude *= 0.7
    return total


def _turned(canvas: Canvas, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the texture, both (S, S)."""
    cosine, sine = np.float32(math.cos(scene.angle)), np.float32(math.sin(scene.angle))
    x = canvas.centres[None, :] + np.float32(scene.shift[0])
    y = canvas.centres[:, None] + np.float32(scene.shift[1])
    return cosine * x + sine * y, cosine * y - sine * x


def _wave(phase: np.ndarray) -> np.ndarray:
    return np.sin(phase * np.float32(2 * math.pi))


def _edge(value: np.ndarray, slope: float, canvas: Canvas) -> np.ndarray:
    """0 below zero and 1 above, over one pixel, for a value that changes by `slope` a side of the image."""
    width = max(slope * canvas.pixel, 1e-3)
    return np.clip(value * np.float32(1.0 / width) + np.float32(0.5), np.float32(0.0), np.float32(1.0))


def _gradient(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    along, _ = _turned(canvas, scene)
    return np.float32(0.5) + np.float32(0.5) * _wave(along * np.float32(0.45) + noise * np.float32(0.3))


def _clouds(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    return np.clip(np.float32(0.5) + noise * np.float32(2.2), np.float32(0.0), np.float32(1.0))


def _stripes(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    along, _ = _turned(canvas, scene)
    wave = _wave(along * np.float32(scene.frequency) + noise * np.float32(0.25))
    return _edge(wave, 2 * math.pi * scene.frequency, canvas)


def _tiles(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    along, across = _turned(canvas, scene)
    frequency = scene.frequency * 0.6
    first = _edge(_wave(along * np.float32(frequency)), 2 * math.pi * frequency, canvas)
    second = _edge(_wave(across * np.float32(frequency)), 2 * math.pi * frequency, canvas)
    return first * second + (np.float32(1.0) - first) * (np.float32(1.0) - second)


def _dots(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    along, across = _turned(canvas, scene)
    frequency = np.float32(scene.frequency * 0.9)
    hills = _wave(along * frequency) + _wave(across * frequency)
    return _edge(hills - np.float32(0.7), 2 * math.pi * float(frequency), canvas)


def _wood(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    along, across = _turned(canvas, scene)
    rings = np.hypot(along * np.float32(0.35), across - np.float32(0.3))
    wave = _wave(rings * np.float32(scene.frequency * 1.3) + noise * np.float32(0.5))
    return np.float32(0.5) + np.float32(0.5) * wave


def _horizon(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    """Sky that pales downwards, over hills whose ridge follows the middle row of the noise."""
    y = canvas.centres[:, None]
    line = np.float32(0.3 + 0.4 * scene.shift[0])
    ridge = line + np.float32(0.45) * (scene.lattices[1][2] @ spline_matrix(canvas.size, 5).T)[None, :]
    ground = _edge(y - ridge, 1.5, canvas)
    sky = np.float32(0.45) * y + np.float32(0.4) * noise
    return sky + ground * (np.float32(0.9) - np.float32(0.5) * (y - ridge) - sky)


def _bricks(canvas: Canvas, scene: Scene, noise: np.ndarray) -> np.ndarray:
    rows = scene.frequency * 1.1
    v = (canvas.centres[:, None] + np.float32(scene.shift[1])) * np.float32(rows)
    layer = np.floor(v)
    u = (canvas.centres[None, :] + np.float32(scene.shift[0])) * np.float32(rows / 2) + np.float32(0.5) * (layer % 2)
    in_row, in_brick = v - layer, u - np.floor(u)
    gap_v = np.minimum(in_row, np.float32(1.0) - in_row) * np.float32(1 / rows)
    gap_u = np.minimum(in_brick, np.float32(1.0) - in_brick) * np.float32(2 / rows)
    mortar = np.float32(1.0) - _edge(np.minimum(gap_u, gap_v) - np.float32(0.018), 1.0, canvas)
    # Every brick has its own shade: a hash of its place.
    shade = _wave(np.floor(u) * np.float32(0.37) + layer * np.float32(0.73)) * np.float32(0.18) + np.float32(0.25)
    return shade + mortar * (np.float32(0.95) - shade)


_TEXTURES: tuple[Callable[[Canvas, Scene, np.ndarray], np.ndarray], ...] = (
    _gradient,
    _clouds,
    _stripes,
    _tiles,
    _dots,
    _wood,
    _horizon,
    _bricks,
)
