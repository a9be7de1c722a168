"""What is in a scene: every fact drawn from (seed, index), before a single pixel is painted."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from featinv.data.scene.canvas import COLOURS, HAIR_COLOURS, TONES, Colour, oklch

BACKGROUNDS = ("gradient", "clouds", "stripes", "tiles", "dots", "wood", "horizon", "bricks")
SHAPES = ("circle", "square", "triangle", "hexagon", "star", "cross", "ring", "capsule", "crescent", "heart")
FINISHES = ("matte", "ball", "striped", "outlined")
HAIR = ("none", "short", "long", "hat")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
ALPHABET = "ACEFHJKLMNPRTUVWXY234679"
CODE_LENGTH = 4
HUES = 8
LIGHTS = 8
CELLS = 9
SCALES = 3
MAIN_RADII = (0.19, 0.3)
LATTICES = (3, 5, 9, 17, 33)
"""Control points a side of the octaves of background noise."""


@final
@dataclass(frozen=True, slots=True)
class Thing:
    """One object: lengths and places in units of the image's side, angles in radians."""

    shape: int
    colour: int
    finish: int
    rgb: Colour
    x: float
    y: float
    radius: float
    angle: float
    aspect: float
    stripes: float


@final
@dataclass(frozen=True, slots=True)
class Badge:
    """A small face in a corner; `identity` says which of 64 persons it is, the four parts follow from it."""

    tone: int
    hair: int
    glasses: int
    smile: int
    corner: int
    x: float
    y: float
    radius: float
    turn: float
    backing_hue: int
    backing: Colour
    hair_colour: int

    @property
    def identity(self) -> int:
        return ((self.tone * len(HAIR) + self.hair) * 2 + self.glasses) * 2 + self.smile


@final
@dataclass(frozen=True, slots=True)
class Code:
    """A printed code: four characters of ALPHABET on a plate; `column` and `row` on a 64 x 64 grid."""

    characters: tuple[int, ...]
    column: int
    row: int
    dark: bool

    @property
    def number(self) -> int:
        value = 0
        for character in self.characters:
            value = value * len(ALPHABET) + character
        return value


@final
@dataclass(frozen=True, slots=True)
class Scene:
    """All facts of one scene. `things` are in painting order: the main object comes last and is the largest."""

    background: int
    hue: int
    second_hue: int
    first_rgb: Colour
    second_rgb: Colour
    frequency: float
    angle: float
    shift: tuple[float, float]
    contrast: float
    roughness: float
    light: int
    light_angle: float
    light_strength: float
    vignette: float
    things: tuple[Thing, ...]
    cell: int
    badge: Badge
    code: Code
    lattices: tuple[np.ndarray, ...]

    @property
    def main(self) -> Thing:
        return self.things[-1]

    @property
    def second(self) -> Thing | None:
        """The second largest object."""
        return self.things[-2] if len(self.things) > 1 else None


@final
class _Dice:
    """Uniform numbers of one generator, read in order; only `random()` is used, the most stable stream of NumPy."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.numbers = iter(generator.random(count).tolist())

    def between(self, low: int | float, high: int | float) -> float:
        return low + (high - low) * next(self.numbers)

    def below(self, count: int) -> int:
        return int(next(self.numbers) * count)


def draw_scene(seed: int, index: int) -> Scene:
    """Draw the facts of scene `index` of the set `seed`; no other scene has a say in them."""
    generator = np.random.default_rng([seed, index])
    dice = _Dice(generator, 128)
    hue = dice.below(HUES)
    second_hue = dice.below(HUES)
    first, second = _background_colours(dice, hue, second_hue)
    light = dice.below(LIGHTS)
    cell = dice.below(CELLS)
    badge = _draw_badge(dice)
    return Scene(
        background=dice.below(len(BACKGROUNDS)),
        hue=hue,
        second_hue=second_hue,
        first_rgb=first,
        second_rgb=second,
        frequency=dice.between(2.5, 6.0),
        angle=dice.between(0, math.pi),
        shift=(dice.between(0, 1), dice.between(0, 1)),
        contrast=dice.between(0.35, 0.85),
        roughness=dice.between(0.25, 0.75),
        light=light,
        light_angle=(light + dice.between(-0.5, 0.5)) * 2 * math.pi / LIGHTS,
        light_strength=dice.between(0.35, 0.85),
        vignette=dice.between(0.1, 0.7),
        code=_draw_code(dice, badge.corner),
        cell=cell,
        badge=badge,
        things=_draw_things(dice, cell),
        lattices=tuple(generator.random((k, k), dtype=np.float32) - np.float32(0.5) for k in LATTICES),
    )


def _background_colours(dice: _Dice, hue: int, second_hue: int) -> tuple[Colour, Colour]:
    """The lighter colour has the first hue, the darker one the second."""
    light, dark = dice.between(0.66, 0.9), dice.between(0.32, 0.58)
    first = oklch(light, dice.between(0.06, 0.12), _angle(dice, hue))
    return first, oklch(dark, dice.between(0.06, 0.12), _angle(dice, second_hue))


def _angle(dice: _Dice, hue: int) -> float:
    return (hue + dice.between(0, 1)) * 2 * math.pi / HUES


def _draw_things(dice: _Dice, cell: int) -> tuple[Thing, ...]:
    """Two small objects anywhere, a larger one beside the main object, the main object; the smallest may be missing."""
    others = dice.below(4)
    x = (cell % 3 + dice.between(0, 1)) * 0.2 + 0.2
    y = (cell // 3 + dice.between(0, 1)) * 0.2 + 0.2
    main = _draw_thing(dice, x, y, MAIN_RADII, most_turn=0.45)
    small = [_draw_thing(dice, dice.between(0.08, 0.92), dice.between(0.08, 0.92), (0.06, 0.09)) for _ in range(2)]
    # Beside the main object, on the side where there is more room.
    direction = math.atan2(0.5 - y, 0.5 - x) + dice.between(-1.2, 1.2)
    away = main.radius + dice.between(0.04, 0.16)
    second = _draw_thing(dice, x + away * math.cos(direction), y + away * math.sin(direction), (0.1, 0.15))
    return (*[*small, second][3 - others :], main)


def _draw_thing(dice: _Dice, x: float, y: float, radii: tuple[float, float], most_turn: float = math.pi) -> Thing:
    colour = dice.below(len(COLOURS))
    base = tuple(COLOURS.values())[colour]
    bright = dice.between(0.85, 1.08)
    return Thing(
        shape=dice.below(len(SHAPES)),
        colour=colour,
        finish=dice.below(len(FINISHES)),
        rgb=(
            base[0] * bright + dice.between(-0.04, 0.04),
            base[1] * bright + dice.between(-0.04, 0.04),
            base[2] * bright + dice.between(-0.04, 0.04),
        ),
        x=x,
        y=y,
        radius=dice.between(*radii),
        angle=dice.between(-most_turn, most_turn),
        aspect=dice.between(0.86, 1.16),
        stripes=dice.between(1.0, 1.6),
    )


def _draw_badge(dice: _Dice) -> Badge:
    corner = dice.below(4)
    radius = dice.between(0.125, 0.15)
    backing_hue = dice.below(HUES)
    inset = radius + dice.between(0.01, 0.07), radius + dice.between(0.01, 0.07)
    return Badge(
        tone=dice.below(len(TONES)),
        hair=dice.below(len(HAIR)),
        glasses=dice.below(2),
        smile=dice.below(2),
        corner=corner,
        x=inset[0] if corner % 2 == 0 else 1 - inset[0],
        y=inset[1] if corner < 2 else 1 - inset[1],
        radius=radius,
        turn=dice.between(-0.2, 0.2),
        backing_hue=backing_hue,
        backing=oklch(dice.between(0.65, 0.85), dice.between(0.08, 0.13), _angle(dice, backing_hue)),
        hair_colour=dice.below(len(HAIR_COLOURS)),
    )


def _draw_code(dice: _Dice, badge_corner: int) -> Code:
    corner = (badge_corner + 1 + dice.below(3)) % 4
    column, row = 1 + dice.below(6), 1 + dice.below(6)
    return Code(
        characters=tuple(dice.below(len(ALPHABET)) for _ in range(CODE_LENGTH)),
        column=column if corner % 2 == 0 else 64 - 27 - column,
        row=row if corner < 2 else 64 - 11 - row,
        dark=bool(dice.below(2)),
    )
