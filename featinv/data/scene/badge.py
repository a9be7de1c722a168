"""The small face in a corner of a scene, and from 64 px the printed code on its plate."""

import math
from functools import cache

import numpy as np

from featinv.data.image_likeness import area_matrix
from featinv.data.scene.canvas import HAIR_COLOURS, TONES, Canvas, Colour, coverage
from featinv.data.scene.facts import ALPHABET, CODE_LENGTH, HAIR, Badge, Code

CODE_FROM = 64
"""Pixels a side from which the code is printed: a dot of its characters is then at least one pixel."""

INK: Colour = (0.1, 0.09, 0.12)
PAPER: Colour = (0.96, 0.95, 0.9)
# Columns of each 5 x 7 character, lowest bit on top.
_GLYPHS = {
    "A": (0x7C, 0x12, 0x11, 0x12, 0x7C),
    "C": (0x3E, 0x41, 0x41, 0x41, 0x22),
    "E": (0x7F, 0x49, 0x49, 0x49, 0x41),
    "F": (0x7F, 0x09, 0x09, 0x09, 0x01),
    "H": (0x7F, 0x08, 0x08, 0x08, 0x7F),
    "J": (0x20, 0x40, 0x41, 0x3F, 0x01),
    "K": (0x7F, 0x08, 0x14, 0x22, 0x41),
    "L": (0x7F, 0x40, 0x40, 0x40, 0x40),
    "M": (0x7F, 0x02, 0x0C, 0x02, 0x7F),
    "N": (0x7F, 0x04, 0x08, 0x10, 0x7F),
    "P": (0x7F, 0x09, 0x09, 0x09, 0x06),
    "R": (0x7F, 0x09, 0x19, 0x29, 0x46),
    "T": (0x01, 0x01, 0x7F, 0x01, 0x01),
    "U": (0x3F, 0x40, 0x40, 0x40, 0x3F),
    "V": (0x1F, 0x20, 0x40, 0x20, 0x1F),
    "W": (0x3F, 0x40, 0x38, 0x40, 0x3F),
    "X": (0x63, 0x14, 0x08, 0x14, 0x63),
    "Y": (0x07, 0x08, 0x70, 0x08, 0x07),
    "2": (0x42, 0x61, 0x51, 0x49, 0x46),
    "3": (0x21, 0x41, 0x45, 0x4B, 0x31),
    "4": (0x18, 0x14, 0x12, 0x7F, 0x10),
    "6": (0x3C, 0x4A, 0x49, 0x49, 0x30),
    "7": (0x01, 0x71, 0x09, 0x05, 0x03),
    "9": (0x06, 0x49, 0x49, 0x29, 0x1E),
}


def paint_badge(canvas: Canvas, badge: Badge) -> None:
    """Paint the face: rim, backing, hair, head, glasses or eyes, mouth; everything in units of the badge's radius."""
    window = canvas.window(badge.x, badge.y, 1.05 * badge.radius)
    if window is None:
        return
    x = (canvas.centres[window[1]][None, :] - np.float32(badge.x)) * np.float32(1 / badge.radius)
    y = (canvas.centres[window[0]][:, None] - np.float32(badge.y)) * np.float32(1 / badge.radius)
    cosine, sine = np.float32(math.cos(badge.turn)), np.float32(math.sin(badge.turn))
    x, y = cosine * x + sine * y, cosine * y - sine * x
    width = canvas.pixel / badge.radius
    disc = np.hypot(x, y)
    canvas.paint(window, coverage(disc - np.float32(1.0), width), PAPER)
    inside = coverage(disc - np.float32(0.9), width)
    canvas.paint(window, inside, badge.backing)
    hair, hair_rgb = HAIR[badge.hair], tuple(HAIR_COLOURS.values())[badge.hair_colour]
    if hair == "long":
        canvas.paint(window, inside * coverage(_ellipse(x, y - np.float32(0.12), 0.72, 0.82), width), hair_rgb)
    head = coverage(_ellipse(x, y - np.float32(0.12), 0.52, 0.64), width)
    canvas.paint(window, inside * head, TONES[badge.tone])
    if hair in ("short", "long"):
        crown = np.maximum(_ellipse(x, y - np.float32(0.05), 0.58, 0.68), y + np.float32(0.22))
        canvas.paint(window, inside * coverage(crown, width), hair_rgb)
    elif hair == "hat":
        brim = np.maximum(np.abs(x) - np.float32(0.78), np.abs(y + np.float32(0.26)) - np.float32(0.1))
        crown = np.maximum(np.abs(x) - np.float32(0.46), np.abs(y + np.float32(0.56)) - np.float32(0.28))
        canvas.paint(window, inside * coverage(np.minimum(brim, crown), width), hair_rgb)
    _paint_eyes_and_mouth(canvas, badge, window, x, y, width)


def _paint_eyes_and_mouth(
    canvas: Canvas, badge: Badge, window: tuple[slice, slice], x: np.ndarray, y: np.ndarray, width: float
) -> None:
    ink = INK if badge.tone < 3 else (0.02, 0.02, 0.03)
    side = np.abs(x)
    eyes = np.hypot(side - np.float32(0.23), y - np.float32(0.02)) - np.float32(0.1)
    if badge.glasses:
        lens = np.maximum(
            np.abs(side - np.float32(0.26)) - np.float32(0.2), np.abs(y - np.float32(0.03)) - np.float32(0.15)
        )
        bar = np.maximum(side - np.float32(0.52), np.abs(y + np.float32(0.06)) - np.float32(0.05))
        eyes = np.minimum(lens, bar)
    canvas.paint(window, coverage(eyes, width), ink)
    if badge.smile:
        arc = np.abs(np.hypot(x, y - np.float32(0.22)) - np.float32(0.27)) - np.float32(0.075)
        canvas.paint(window, coverage(np.maximum(arc, np.float32(0.3) - y), width), (0.72, 0.12, 0.16))
    else:
        line = np.maximum(side - np.float32(0.2), np.abs(y - np.float32(0.45)) - np.float32(0.06))
        canvas.paint(window, coverage(line, width), ink)


def _ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """Signed distance to an ellipse, exact at its four vertices and good enough between them."""
    return (np.hypot(x * np.float32(1 / a), y * np.float32(1 / b)) - np.float32(1.0)) * np.float32(min(a, b))


def paint_code(canvas: Canvas, code: Code) -> None:
    """Print the code on its plate: drawn on a 64 x 64 grid, then resampled by exact pixel areas."""
    columns = slice(code.column, code.column + 6 * CODE_LENGTH + 3)
    rows = slice(code.row, code.row + 11)
    ink = np.zeros((11, 6 * CODE_LENGTH + 3), dtype=np.float32)
    for place, character in enumerate(code.characters):
        ink[2:9, 2 + 6 * place : 7 + 6 * place] = glyph(ALPHABET[character])
    down, across = area_matrix(canvas.size, 64)[:, rows], area_matrix(canvas.size, 64)[:, columns]
    top, bottom = (rows.start * canvas.size) // 64, -(-rows.stop * canvas.size // 64)
    left, right = (columns.start * canvas.size) // 64, -(-columns.stop * canvas.size // 64)
    window = slice(top, bottom), slice(left, right)
    down, across = down[window[0]], across[window[1]]
    plate, print_ = (INK, PAPER) if code.dark else (PAPER, INK)
    canvas.paint(window, down.sum(axis=1)[:, None] * across.sum(axis=1)[None, :], plate)
    canvas.paint(window, down @ ink @ across.T, print_)


@cache
def glyph(character: str) -> np.ndarray:
    """The (7, 5) dots of one character of the code's alphabet."""
    columns = np.array(_GLYPHS[character])
    return ((columns[None, :] >> np.arange(7)[:, None]) & 1).astype(np.float32)
