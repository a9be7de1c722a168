"""The embedded image set: procedural scenes with their factors, at any size, from no files."""

import contextlib

import numpy as np

from featinv.data.imageset import ImageSet
from featinv.data.scene.background import paint_background, paint_light
from featinv.data.scene.badge import CODE_FROM, paint_badge, paint_code
from featinv.data.scene.canvas import COLOURS, HAIR_COLOURS, Canvas
from featinv.data.scene.facts import (
    ALPHABET,
    BACKGROUNDS,
    CORNERS,
    FINISHES,
    HAIR,
    MAIN_RADII,
    SCALES,
    SHAPES,
    Scene,
    draw_scene,
)
from featinv.data.scene.things import paint_thing
from featinv.errors import BadInput
from featinv.processes import progress_bar

SMALLEST, LARGEST = 32, 256
BAR_FROM = 2000
VERSION = 1
"""Raised whenever the same (seed, index, size) would give another image."""

VALUES = {
    "background": BACKGROUNDS,
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "finish": FINISHES,
    "badge_hair": HAIR,
    "second_shape": (*SHAPES, "none"),
    "second_colour": (*COLOURS, "none"),
    "badge_hair_colour": (*HAIR_COLOURS, "none"),
    "badge_corner": CORNERS,
    "code_alphabet": tuple(ALPHABET),
}
"""What the values of the factors that have names mean, in order."""


def scenes(count: int, *, size: int = 32, seed: int = 0, start: int = 0) -> ImageSet:
    """Paint scenes start..start+count-1 of the endless set `seed`, `size` pixels a side, 32 to 256.

    Image `index` depends on (seed, index) alone, and shows the same scene at every size. `labels` is the main
    object's shape; `factors` holds that and every other fact that can be seen (the data card, docs/data_scenes.md, says
    which). Ids are "scenes-SEED-INDEX". Raises BadInput for a size out of range or fewer than one image.
    """
    if not SMALLEST <= size <= LARGEST:
        raise BadInput(f"size: expected {SMALLEST}..{LARGEST} px for scenes, got {size}; choose one in that range")
    if count < 1:
        raise BadInput(f"count: expected at least 1 scene, got {count}; ask for more")
    if seed < 0 or start < 0:
        raise BadInput(f"seed, start: expected whole numbers from 0, got {seed} and {start}; use 0 or more")
    pixels = np.empty((count, size, size, 3), dtype=np.uint8)
    facts: dict[str, np.ndarray] = {}
    bar = progress_bar(count, "scenes") if count >= BAR_FROM else None
    with bar or contextlib.nullcontext():
        for place in range(count):
            scene = draw_scene(seed, start + place)
            pixels[place] = paint_scene(scene, size)
            for name, value in scene_factors(scene, size).items():
                facts.setdefault(name, np.empty(count, dtype=np.int64))[place] = value
            if bar is not None:
                bar.update()
    source = {"source": "scenes", "version": VERSION, "seed": seed, "start": start, "count": count, "size": size}
    return ImageSet(
        pixels,
        ids=[f"scenes-{seed}-{index}" for index in range(start, start + count)],
        labels=facts["shape"],
        classes=SHAPES,
        factors=facts,
        provenance={**source, "values": {name: list(values) for name, values in VALUES.items()}},
    )


def paint_scene(scene: Scene, size: int) -> np.ndarray:
    """Paint one scene as (size, size, 3) uint8."""
    canvas = Canvas(size)
    noise = paint_background(canvas, scene)
    for thing in scene.things:
        paint_thing(canvas, scene, thing, noise)
    paint_light(canvas, scene)
    paint_badge(canvas, scene.badge)
    if size >= CODE_FROM:
        paint_code(canvas, scene.code)
    return canvas.uint8()


def scene_factors(scene: Scene, size: int) -> dict[str, int]:
    """The facts that can be seen in a scene at this size, as whole numbers."""
    badge, main, second = scene.badge, scene.main, scene.second
    factors = {
        "shape": main.shape,
        "colour": main.colour,
        "scale": int((main.radius - MAIN_RADII[0]) / (MAIN_RADII[1] - MAIN_RADII[0]) * SCALES),
        "finish": main.finish,
        "cell": scene.cell,
        "count": len(scene.things),
        "second_shape": len(SHAPES) if second is None else second.shape,
        "second_colour": len(COLOURS) if second is None else second.colour,
        "background": scene.background,
        "background_hue": scene.hue,
        "background_second_hue": scene.second_hue,
        "light": scene.light,
        "badge_identity": badge.identity,
        "badge_tone": badge.tone,
        "badge_hair": badge.hair,
        "badge_glasses": badge.glasses,
        "badge_smile": badge.smile,
        "badge_hair_colour": len(HAIR_COLOURS) if HAIR[badge.hair] == "none" else badge.hair_colour,
        "badge_backing_hue": badge.backing_hue,
        "badge_corner": badge.corner,
    }
    if size >= CODE_FROM:
        factors["code"] = scene.code.number
        factors |= {f"code_{place}": value for place, value in enumerate(scene.code.characters, 1)}
    return factors
