"""Testing the strongest sampler of a comparison: its calibration, or the reason why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.calibration import calibrate, one_of_each
from featinv.evaluation.calibration_record import KEY, with_calibration
from featinv.evaluation.scoreboard import Scoreboard
from featinv.types import Attack, SamplesLike
from featinv.victim import Release

MOST_IMAGES = 300
"""private images of which samples are drawn: 90 % regions are then known to 4 points, and a flow takes minutes"""
K = 16
_DRAWN = 15


def strongest_sampler(board: Scoreboard, attacks: Mapping[str, Attack]) -> str | None:
    """Return the attack that draws samples without guidance and has the highest top-10 re-identification.

    Controls that can draw, as nearest neighbours, do not count: they have `calibrate` too, but their samples are public
    images. None where no attack draws.
    """
    drawing = [row for row in board.attacks if row.kind == "attack" and _draws(attacks.get(row.name))]
    rates = {row.name: row.metrics["reid_top10"].mean if "reid_top10" in row.metrics else 0.0 for row in drawing}
    return max(rates, key=lambda name: rates[name], default=None)


def calibrated(
    board: Scoreboard,
    attacks: Mapping[str, Attack],
    release: Release,
    public: ImageSet,
    *,
    clusters: Sequence[object] | None = None,
    k: int = K,
    most: int = MOST_IMAGES,
    seed: int = 0,
) -> Scoreboard:
    """Return the scoreboard with the calibration of its strongest sampler; the same board where no attack draws.

    At most `most` private images, drawn by the seed, are tested, one of each person where `clusters` name persons.
    Where the test cannot be made (fewer than 50 images, a sampler that repeats itself), the board says so under what
    was not measured. That shows nothing as known.
    """
    name = strongest_sampler(board, attacks)
    if name is None or release.truth is None:
        return board
    try:
        tested = release if clusters is None else one_of_each(release, clusters, seed)
        page = calibrate(attacks[name], _drawn(tested, most, seed), public, k=k, seed=seed)
    except BadInput as refusal:
        reasons = {**(board.protocol.get("not_measured") or {}), KEY: f"{name}: {refusal}"}
        return replace(board, protocol={**board.protocol, "not_measured": reasons})
    return with_calibration(board, name, page)


def _draws(attack: Any) -> bool:
    return isinstance(attack, SamplesLike) and getattr(attack, "guidance", 1) == 1


def _drawn(release: Release, most: int, seed: int) -> Release:
    if len(release) <= most or release.truth is None:
        return release
    rows = np.sort(np.random.default_rng([seed, _DRAWN]).permutation(len(release))[:most])
    return Release(release.features[rows], release.metadata, release.truth.take(rows))
