"""Objects of scenes: ten shapes as signed distances, painted with shadow, shading and one of four finishes."""

import math
from collections.abc import Callable

import numpy as np

from featinv.data.scene.canvas import Canvas, coverage
from featinv.data.scene.facts import FINISHES, Scene, Thing

REACH = 1.45
"""No shape reaches further than this many radii from its centre, at any aspect."""


def paint_thing(canvas: Canvas, scene: Scene, thing: Thing, noise: np.ndarray) -> None:
    """Paint one object: a soft shadow away from the light, then the shaded body."""
    light = math.cos(scene.light_angle), math.sin(scene.light_angle)
    drop = 0.16 * thing.radius
    shadow = canvas.window(thing.x - drop * light[0], thing.y - drop * light[1], REACH * thing.radius)
    if shadow is not None:
        u, v = _local(canvas, thing, shadow, (thing.x - drop * light[0], thing.y - drop * light[1]))
        distance = _SHAPES[thing.shape](u, v) * np.float32(thing.radius)
        soft = coverage(distance, canvas.pixel + 0.25 * thing.radius)
        canvas.planes[:, shadow[0], shadow[1]] *= np.float32(1.0) - np.float32(0.45) * soft
    window = canvas.window(thing.x, thing.y, REACH * thing.radius)
    if window is not None:
        u, v = _local(canvas, thing, window, (thing.x, thing.y))
        distance = _SHAPES[thing.shape](u, v)
        body = _shaded(canvas, scene, thing, window, u, distance) * (np.float32(1.0) + np.float32(0.3) * noise[window])
        canvas.paint(window, coverage(distance * np.float32(thing.radius), canvas.pixel), body)


def _local(
    canvas: Canvas, thing: Thing, window: tuple[slice, slice], centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The window's coordinates as the shape sees them: turned, and in units of its radius."""
    x = (canvas.centres[window[1]][None, :] - np.float32(centre[0])) * np.float32(1 / thing.radius)
    y = (canvas.centres[window[0]][:, None] - np.float32(centre[1])) * np.float32(1 / thing.radius)
    cosine, sine = np.float32(math.cos(thing.angle)), np.float32(math.sin(thing.angle))
    return (cosine * x + sine * y) * np.float32(thing.aspect), (cosine * y - sine * x) * np.float32(1 / thing.aspect)


def _shaded(
    canvas: Canvas, scene: Scene, thing: Thing, window: tuple[slice, slice], u: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """Planes (3, h, w) of the body's colour, brighter towards the light."""
    x = (canvas.centres[window[1]][None, :] - np.float32(thing.x)) * np.float32(1 / thing.radius)
    y = (canvas.centres[window[0]][:, None] - np.float32(thing.y)) * np.float32(1 / thing.radius)
    towards = np.float32(math.cos(scene.light_angle)) * x + np.float32(math.sin(scene.light_angle)) * y
    finish = FINISHES[thing.finish]
    shade = np.float32(1.0) + np.float32(0.14 if finish != "ball" else 0.38) * towards
    if finish == "striped":
        wave = np.sin(u * np.float32(2 * math.pi * thing.stripes))
        edge = 2 * math.pi * thing.stripes * canvas.pixel / thing.radius
        shade -= np.float32(0.5) * np.clip(wave * np.float32(1 / edge) + np.float32(0.5), 0.0, 1.0)
    elif finish == "outlined":
        rim = coverage(-distance * np.float32(thing.radius) - np.float32(0.13 * thing.radius), canvas.pixel)
        shade -= np.float32(0.7) * rim
    body = np.array(thing.rgb, dtype=np.float32)[:, None, None] * shade
    if finish == "ball":
        lit = np.float32(0.45)
        dx, dy = x - lit * np.float32(math.cos(scene.light_angle)), y - lit * np.float32(math.sin(scene.light_angle))
        body += np.float32(0.55) * np.exp((dx * dx + dy * dy) * np.float32(-9.0))
    return body


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v) - np.float32(0.98)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.84)


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    slope = np.float32(math.sqrt(3) / 2)
    return np.maximum(np.abs(u) * slope + v * np.float32(0.5), -v) - np.float32(0.62)


def _hexagon(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    side = np.abs(v)
    return np.maximum(np.abs(u) * np.float32(math.sqrt(3) / 2) + side * np.float32(0.5), side) - np.float32(0.9)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points: fold the plane onto half a point, then the distance to the line from tip to notch."""
    fifth = 2 * math.pi / 5
    radius = np.hypot(u, v)
    angle = np.abs(np.mod(np.arctan2(u, v) + np.float32(fifth / 2), np.float32(fifth)) - np.float32(fifth / 2))
    tip, notch = 1.2, 0.53
    edge = notch * math.cos(fifth / 2) - tip, notch * math.sin(fifth / 2)
    length = math.hypot(*edge)
    along, aside = radius * np.cos(angle) - np.float32(tip), radius * np.sin(angle)
    return along * np.float32(edge[1] / length) - aside * np.float32(edge[0] / length)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = np.abs(u), np.abs(v)
    arm, half = np.float32(1.05), np.float32(0.36)
    return np.minimum(np.maximum(u - arm, v - half), np.maximum(u - half, v - arm))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(u, v) - np.float32(0.8)) - np.float32(0.24)


def _capsule(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u - np.clip(u, np.float32(-0.72), np.float32(0.72)), v) - np.float32(0.43)


def _crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(u, v) - np.float32(1.05), np.float32(0.82) - np.hypot(u - np.float32(0.55), v))


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square on its corner with a half disc on each of its two upper sides."""
    half, turn = np.float32(0.62), np.float32(math.sqrt(0.5))
    a, b = (u + v) * turn, (v - u) * turn
    square = np.maximum(np.abs(a), np.abs(b))
    discs = np.minimum(np.hypot(a + half, b), np.hypot(a, b + half))
    return np.minimum(square, discs) - half


_SHAPES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    _circle,
    _square,
    _triangle,
    _hexagon,
    _star,
    _cross,
    _ring,
    _capsule,
    _crescent,
    _heart,
)
