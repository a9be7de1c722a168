"""Which private images a report shows: one of each tenth, and the worst leaks; never picked by hand."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int64

from featinv.errors import BadInput
from featinv.evaluation import DrawnSamples, Scoreboard, decile_indices, draw_samples, read_calibration, sample
from featinv.evaluation.judging import TREATMENTS, as_uint8
from featinv.evaluation.recovered_record import read_cell_variance
from featinv.evaluation.sampler_test import strongest_sampler
from featinv.report.entries import best_control, leading_attack
from featinv.report.exhibit import DECILES, WORST, Exhibit
from featinv.report.sample_exhibit import MOST, map_holds
from featinv.types import Attack, SamplesLike
from featinv.victim import Release

COUNT = 10


def choose_images(
    board: Scoreboard, attacks: Mapping[str, Attack], release: Release, *, seed: int = 0
) -> Exhibit | None:
    """Reconstruct ten images, one of each tenth of the leading attack's PSNR, and the ten worst leaks.

    The worst leaks are the images with the best ranks in the weakest view; equal ranks are sorted by SSIM. The images
    of the tenths are drawn by `seed`. All are reconstructed by the best of the given controls and by every attack. Of
    six of the tenths the strongest attack that draws adds samples. None where no attack was measured. Raises BadInput
    when the release has no images.
    """
    if release.truth is None:
        raise BadInput("release: a report's images need the private ones, but this release has none")
    leader = leading_attack(board)
    if leader is None:
        return None
    # Rows that the scorer made are not among the attacks.
    control = best_control([row for row in board.attacks if row.name in attacks])
    displayed = [*([control] if control else []), *(row for row in board.attacks if row.kind == "attack")]
    chosen = {row.name: attacks[row.name] for row in displayed}
    rows = {DECILES: _deciles(board, leader.name, seed), WORST: _worst(board, leader.name)}
    reconstructions = {group: sample(chosen, release, places) for group, places in rows.items()}
    drawn = _drawn(board, attacks, release, rows[DECILES], seed)
    return Exhibit(
        leader=leader.name,
        rows=rows,
        originals={group: release.truth.uint8(places) for group, places in rows.items()},
        reconstructions={
            group: {name: as_uint8(torch.nan_to_num(images, nan=0.0)) for name, images in by_name.items()}
            for group, by_name in reconstructions.items()
        },
        drawn=drawn,
        map_holds=drawn is not None and map_holds(read_calibration(board.protocol), drawn.attack),
    )


def _drawn(
    board: Scoreboard, attacks: Mapping[str, Attack], release: Release, rows: np.ndarray, seed: int
) -> DrawnSamples | None:
    """Draw samples of some images of the tenths by the strongest sampler; None where no attack draws.

    Nor without public images, whose variance is the scale of the map, or where the samples are all alike.
    """
    name, variance = strongest_sampler(board, attacks), read_cell_variance(board.protocol)
    if name is None or variance is None:
        return None
    attack = attacks[name]
    assert isinstance(attack, SamplesLike)
    places = np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(np.int64)
    try:
        return draw_samples(name, attack, release, rows[places], variance, seed=seed)
    except BadInput:
        return None  # the calibration, which refuses the same samples, says why under what was not measured


def _deciles(board: Scoreboard, leader: str, seed: int) -> Int64[np.ndarray, " P"]:
    values = board.per_image[f"{leader}/psnr"]
    if len(values) < COUNT:
        return np.argsort(values, kind="stable").astype(np.int64)
    return decile_indices(values, seed)


def _worst(board: Scoreboard, leader: str) -> Int64[np.ndarray, " P"]:
    keys = [f"{leader}/rank", *(f"{leader}/rank/{view}" for view in TREATMENTS)]
    ranks = np.max([board.per_image[key] for key in keys if key in board.per_image], axis=0)
    return np.lexsort((-board.per_image[f"{leader}/ssim"], ranks))[:COUNT].astype(np.int64)
