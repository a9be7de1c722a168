"""Images to look at: drawn by a seed, never picked by hand."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int64, Num, UInt8
from PIL import Image, ImageDraw, ImageFont

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.judging import as_uint8
from featinv.types import Attack, Images
from featinv.victim import Release

LEAST = 96
"""Pixels a side that an image gets on the sheet at least, by whole multiples without smoothing."""
_GAP, _LABEL, _FONT = 4, 18, 13
_PAPER, _INK = (255, 255, 255), (30, 30, 30)


def samples(attacks: Mapping[str, Attack], release: Release, *, count: int = 10, seed: int = 0) -> Image.Image:
    """Return a contact sheet of `count` private images drawn by `seed`: originals on top, one row an attack below.

    Raises BadInput when the release has no images; with fewer than `count` it shows them all.
    """
    truth = _truth(release)
    chosen = np.sort(np.random.default_rng([seed, 2]).permutation(len(truth))[:count])
    return contact_sheet(truth, sample(attacks, release, chosen), chosen)


def sample(attacks: Mapping[str, Attack], release: Release, indices: Int64[np.ndarray, " B"]) -> dict[str, Images]:
    """Return every attack's reconstructions of the chosen rows of a release."""
    vectors = torch.from_numpy(release.features[indices])
    return {name: attack.reconstruct(vectors).cpu() for name, attack in attacks.items()}


def contact_sheet(
    truth: ImageSet, reconstructions: Mapping[str, Images], indices: Int64[np.ndarray, " B"]
) -> Image.Image:
    """Return an 8-bit sheet: the originals at `indices` in the top row, each attack's reconstructions named below them.

    Images under 96 px are enlarged by a whole number without smoothing. Raises BadInput when an attack has another
    number or size of images, or values that are not finite.
    """
    if len(indices) == 0:
        raise BadInput("indices: expected at least one image to show, got none")
    rows = {"original": truth.uint8(indices)}
    for name, images in reconstructions.items():
        if tuple(images.shape) != (len(indices), 3, truth.size, truth.size):
            expected = (len(indices), 3, truth.size, truth.size)
            raise BadInput(f"{name}: expected images of shape {expected}, got {tuple(images.shape)}")
        # What is no number is shown black, as it is scored.
        rows[name] = as_uint8(torch.nan_to_num(images, nan=0.0))
    return paint_rows(rows)


def paint_rows(rows: Mapping[str, UInt8[np.ndarray, "B S S 3"]]) -> Image.Image:
    """Return a sheet of rows of as many and as large 8-bit images, each row under its name.

    Images under 96 px are enlarged by a whole number without smoothing.
    """
    count, size = next(iter(rows.values())).shape[:2]
    zoom = max(1, math.ceil(LEAST / size))
    side, font = size * zoom, ImageFont.load_default(_FONT)
    width = max(_GAP + count * (side + _GAP), *(int(font.getlength(name)) + 2 * _GAP for name in rows))
    sheet = Image.new("RGB", (width, len(rows) * (side + _LABEL + _GAP) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, batch) in enumerate(rows.items()):
        top = _GAP + row * (side + _LABEL + _GAP)
        draw.text((_GAP, top), name, fill=_INK, font=font)
        for column, image in enumerate(batch):
            enlarged = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (_GAP + column * (side + _GAP), top + _LABEL))
    return sheet


def grid(images: Images, *, columns: int = 8) -> Image.Image:
    """Return an 8-bit sheet of images, `columns` a row, small ones enlarged by a whole number without smoothing."""
    if len(images) == 0 or columns < 1:
        raise BadInput(f"images: expected at least one image and one column, got {len(images)} and {columns}")
    batch = as_uint8(torch.nan_to_num(images, nan=0.0))
    height, width = batch.shape[1:3]
    zoom = max(1, math.ceil(LEAST / max(height, width)))
    across, down = width * zoom + _GAP, height * zoom + _GAP
    columns = min(columns, len(batch))
    sheet = Image.new("RGB", (_GAP + columns * across, _GAP + math.ceil(len(batch) / columns) * down), _PAPER)
    for position, image in enumerate(batch):
        enlarged = Image.fromarray(image).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (_GAP + position % columns * across, _GAP + position // columns * down))
    return sheet


def decile_indices(values: Num[np.ndarray, " N"], seed: int = 0) -> Int64[np.ndarray, " 10"]:
    """Return one image of each tenth of the values, lowest first, drawn by `seed` within its tenth.

    Raises BadInput for fewer than ten values or any that is not finite.
    """
    if len(values) < 10 or not np.isfinite(values).all():
        raise BadInput(f"values: expected at least 10 finite values to show deciles of, got {len(values)}")
    generator = np.random.default_rng([seed, 3])
    tenths = np.array_split(np.argsort(values, kind="stable"), 10)
    return np.array([generator.choice(tenth) for tenth in tenths], dtype=np.int64)


def _truth(release: Release) -> ImageSet:
    if release.truth is None:
        raise BadInput("release: a contact sheet needs the private images, but this release has none")
    return release.truth
