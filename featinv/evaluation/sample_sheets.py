"""Samples of p(image | vector) to look at: a few of each vector, their mean, and how much they differ where."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float64, Int64, UInt8
from PIL import Image
from torch.nn import functional as F

from featinv.errors import BadInput
from featinv.evaluation.calibration_inputs import check_k
from featinv.evaluation.contact_sheets import paint_rows
from featinv.evaluation.judging import as_uint8
from featinv.evaluation.recovered import greyed, known_share
from featinv.types import SamplesLike
from featinv.victim import Release

SHOWN = 3
"""samples of a vector on a sheet"""
K = 16
"""samples of a vector from which the mean and the map are made"""
_LEAST = 2


@dataclass(frozen=True, eq=False)
class DrawnSamples:
    """What a sampler draws from P vectors of a release, as 8-bit images, beside the private originals.

    `samples` are the first 3 of `k`, `mean` is that of all of them. `known` is the share of each cell's variance over
    public images that the samples do not have: 1 where all of them agree, 0 where they vary as public images do.
    """

    attack: str
    k: int
    rows: Int64[np.ndarray, " P"]
    originals: UInt8[np.ndarray, "P S S 3"]
    samples: UInt8[np.ndarray, "P n S S 3"]
    mean: UInt8[np.ndarray, "P S S 3"]
    known: Float64[np.ndarray, "P c c"]

    @property
    def deviation(self) -> Float64[np.ndarray, "P c c"]:
        """The samples' standard deviation in each cell over that of public images, 1 at most: one scale for all."""
        return np.sqrt(1 - self.known)

    @property
    def deviation_image(self) -> UInt8[np.ndarray, "P S S 3"]:
        """The deviation as grey images: black where all samples agree, white where they vary as public images do."""
        return _painted(self.deviation, self.originals.shape[1])


def draw_samples(
    name: str,
    attack: Any,
    release: Release,
    rows: Int64[np.ndarray, " P"],
    variance: Float64[np.ndarray, "c c"],
    *,
    k: int = K,
    seed: int = 0,
) -> DrawnSamples:
    """Draw k samples of each of the chosen rows of a release, those that `calibrate` draws with the same seed.

    `variance` is how much the cells of the public images vary (`public_cell_variance`). Raises BadInput for no row, for
    k below 2, for a release without images, for an attack that cannot draw, and for samples that are all alike.
    """
    if release.truth is None:
        raise BadInput("release: a sheet of samples needs the private images, but this release has none")
    if len(rows) == 0:
        raise BadInput("rows: expected at least one image to show, got none")
    if not isinstance(attack, SamplesLike):
        raise BadInput(f"{name}: expected an attack with sample(features, k, seed), got one without; it cannot draw")
    check_k(k, _LEAST, "a map")
    vectors = torch.from_numpy(release.features[rows])
    drawn = torch.cat(
        [attack.sample(vectors[at : at + 1], k, seed, first_row=int(row)).cpu() for at, row in enumerate(rows)]
    )
    known = known_share(drawn, variance)
    shown = as_uint8(drawn[:, :SHOWN].flatten(0, 1))
    samples = rearrange(shown, "(p n) h w c -> p n h w c", p=len(rows))
    return DrawnSamples(name, k, rows, release.truth.uint8(rows), samples, as_uint8(drawn.mean(1)), known)


def sample_sheet(drawn: DrawnSamples, *, trusted: bool = True) -> Image.Image:
    """Return a sheet: the originals, three samples of each, the mean, the standard deviations, and what is known.

    The map has one fixed scale: black where all samples agree, white where they vary as much as public images do. The
    last row is the first sample with grey cells where less than a tenth of the variance is known; it is left out unless
    the map is `trusted`, as it is where `calibrate` finds the colours of 8 x 8 cells calibrated, or too wide.
    """
    rows = {"original": drawn.originals}
    rows |= {f"sample {number + 1}": drawn.samples[:, number] for number in range(drawn.samples.shape[1])}
    rows[f"mean of {drawn.k} samples"] = drawn.mean
    rows["standard deviation (black: 0, white: that of public images)"] = drawn.deviation_image
    if trusted:
        first = rearrange(torch.from_numpy(drawn.samples[:, 0]), "p h w c -> p c h w").float().div(255)
        rows["sample 1, grey where the vector says nothing"] = as_uint8(greyed(first, drawn.known))
    return paint_rows(rows)


def _painted(shares: Float64[np.ndarray, "P c c"], size: int) -> UInt8[np.ndarray, "P S S 3"]:
    image = F.interpolate(torch.from_numpy(shares)[:, None].float(), size=(size, size), mode="nearest")
    return as_uint8(image.expand(-1, 3, -1, -1))
