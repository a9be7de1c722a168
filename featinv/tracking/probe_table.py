"""The same few private images in every attack's run, so that wandb joins the attacks row by row."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from featinv.evaluation import Catalogue, Scoreboard, sample
from featinv.evaluation.judging import as_uint8
from featinv.tracking.run_record import RunTable
from featinv.types import Attack
from featinv.victim import Release

PROBE_KEY = "probe"
"""The one key of these tables, the same in all runs and versions: wandb joins tables by it."""


def draw_probe(board: Scoreboard, count: int) -> Int64[np.ndarray, " P"]:
    """Return the rows of the release that make the probe: the same for the same board, whatever the attacks."""
    size = int(board.protocol["private"]["count"])
    drawn = np.random.default_rng([int(board.protocol["seed"]), 4]).permutation(size)[:count]
    return np.sort(drawn).astype(np.int64)


def probe_table(
    board: Scoreboard,
    name: str,
    chosen: Int64[np.ndarray, " P"],
    *,
    attack: Attack | None = None,
    release: Release | None = None,
) -> RunTable:
    """Return the numbers of the chosen images for one row of the board; with `attack` and `release` also the images.

    `image_id` is the private set's fingerprint and the row number: no file name, and equal only for equal images.
    """
    mark = str(board.protocol["private"]["fingerprint"])[:8]
    columns: dict[str, list] = {"image_id": [f"{mark}-{row}" for row in chosen]}
    if attack is not None and release is not None and release.truth is not None:
        reconstructions = sample({name: attack}, release, chosen)[name].nan_to_num(0.0)
        columns["original"] = list(release.truth.uint8(chosen))
        columns["reconstruction"] = list(as_uint8(reconstructions))
    for metric in Catalogue.of(board.protocol).at("probe"):
        values = board.per_image.get(f"{name}/{metric.name}")
        if values is not None:
            columns[metric.name] = [_plain(value) for value in values[chosen]]
    return RunTable(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def probe_tables(
    board: Scoreboard, attacks: Mapping[str, Attack], release: Release | None, count: int, *, with_images: bool
) -> dict[str, RunTable]:
    """Return one table an attack, all of the same images in the same order; none without numbers per image."""
    chosen = draw_probe(board, count)
    if not len(chosen) or not board.per_image:
        return {}
    return {
        name: probe_table(
            board,
            name,
            chosen,
            attack=attacks.get(name) if with_images else None,
            release=release if with_images else None,
        )
        for name in {row.name for row in board.attacks}
    }


def _plain(value: np.generic) -> float | int | bool | None:
    plain = value.item()
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
