"""What a vector says: the share of the images' variance that is recovered, by frequency and colour, and by cell."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from featinv.errors import BadInput
from featinv.evaluation.calibration_inputs import check_k, check_spread
from featinv.evaluation.frequency_bands import COLOURS, band_names, band_squares
from featinv.evaluation.intervals import LEVEL, Clusters, Interval
from featinv.evaluation.resampling import cluster_sums, resampled_means
from featinv.types import Images

CELLS = 8
"""cells a side of a map, where images are not smaller"""
NOTHING = 0.1
"""share of the variance below which a cell counts as not known, and is greyed"""
RESAMPLES = 2000
_GREY = 0.5
_LEAST = 2


@dataclass(frozen=True)
class RecoveredSpectrum:
    """The share of the variance recovered in each octave of frequency and each colour.

    1: all of it; 0: no more than the mean image says; below 0: the attack adds errors, as any single sample does.
    `shares` are by (octave, colour), `weights` have each one's share of all variance.
    """

    octaves: tuple[str, ...]
    shares: dict[tuple[str, str], Interval]
    weights: dict[tuple[str, str], float]


def recovered_spectrum(
    reconstructions: Images,
    originals: Images,
    mean: Float[Tensor, "3 S S"],
    *,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> RecoveredSpectrum:
    """Return 1 - |reconstruction - original|^2 / |original - mean image|^2 by octave of the DCT and colour.

    `mean` is the mean public image. Colours are luma, blue-yellow and red-green; octaves are of the larger index of a
    coefficient. Intervals are a bootstrap over images (percentiles of 2,000 resamples), or over `clusters` (an id an
    image: one person). It works for any attack, and is read best for one that reconstructs a mean. Raises BadInput for
    fewer than 2 images, other shapes, and NaN.
    """
    error, variance = _squares(reconstructions, originals, mean)
    return spectrum_of(error, variance, int(originals.shape[-1]), clusters=clusters, seed=seed)


def spectrum_of(
    error: Float64[np.ndarray, "N bands 3"],
    variance: Float64[np.ndarray, "N bands 3"],
    size: int,
    *,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> RecoveredSpectrum:
    """Return the spectrum of squared errors and squared distances from the mean image (`band_squares` of both)."""
    count, octaves = len(error), band_names(size)
    table = np.concatenate([error.reshape(count, -1), variance.reshape(count, -1)], axis=1)
    means = resampled_means(*cluster_sums(table, clusters), RESAMPLES, seed)
    half = table.shape[1] // 2
    shares = 1 - _ratio(means[:, :half], means[:, half:])
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    total = variance.mean(0).ravel()
    point = 1 - _ratio(error.mean(0).ravel(), total)
    keys = [(octave, colour) for octave in octaves for colour in COLOURS]
    weights = total / max(float(total.sum()), 1e-300)
    intervals = (Interval(float(p), float(a), float(b), count) for p, a, b in zip(point, low, high, strict=True))
    return RecoveredSpectrum(
        octaves, dict(zip(keys, intervals, strict=True)), dict(zip(keys, map(float, weights), strict=True))
    )


def recovered_cells(
    reconstructions: Images, originals: Images, mean: Float[Tensor, "3 S S"], *, cells: int = CELLS
) -> Float64[np.ndarray, "cells cells"]:
    """Return the share of the variance of each cell's mean colour that is recovered, over all images.

    As for `recovered_spectrum`; images smaller than `cells` a side have as many cells as pixels.
    """
    _check(reconstructions, originals, mean)
    error, variance = cell_squares(reconstructions, originals, mean, cells)
    return shares_of(error, variance)


def cell_squares(
    reconstructions: Images, originals: Images, mean: Float[Tensor, "3 S S"], cells: int = CELLS
) -> tuple[Float64[np.ndarray, "c c"], Float64[np.ndarray, "c c"]]:
    """Return each cell's summed squared error of its mean colour, and summed squared distance from the mean image."""
    images, truths, middle = (cell_colours(batch, cells).double() for batch in (reconstructions, originals, mean[None]))
    error, variance = (images - truths).square().sum((0, 1)), (truths - middle).square().sum((0, 1))
    return error.numpy(), variance.numpy()


def shares_of(error: Float64[np.ndarray, "c c"], variance: Float64[np.ndarray, "c c"]) -> Float64[np.ndarray, "c c"]:
    """Return 1 - error/variance, and 0 where nothing varies: there nothing is to be recovered, and nothing is wrong."""
    return 1 - _ratio(error, variance)


def known_map(
    samples: Float[Tensor, "B k 3 S S"], prior: Float[Tensor, "P 3 H W"], *, cells: int = CELLS
) -> Float64[np.ndarray, "B cells cells"]:
    """Return for each image the share of each cell's prior variance that its samples do not have: 1 known, 0 nothing.

    The cell's colours vary by v among the samples, without bias, and by V among the `prior` images, public ones: the
    share is 1 - v/V, cut off at 0. One scale for all images: maps may be compared. It says what is known only at scales
    at which the samples are calibrated (`calibrate`). Raises BadInput for fewer than 2 samples or prior images, for
    samples that are all alike, for other sizes, and for NaN.
    """
    if len(prior) < _LEAST or prior.shape[-1] != samples.shape[-1]:
        raise BadInput(
            f"prior: expected at least 2 public images of {samples.shape[-1]} px, got {len(prior)} of {prior.shape[-1]}"
        )
    _demand_finite("prior", prior)
    return known_share(samples, cell_variance(prior, cells))


def cell_variance(prior: Images, cells: int = CELLS) -> Float64[np.ndarray, "c c"]:
    """Return how much each cell's mean colour varies over (public) images, summed over the colours."""
    return cell_colours(prior, cells).double().var(dim=0).sum(0).numpy()


def known_share(
    samples: Float[Tensor, "B k 3 S S"], variance: Float64[np.ndarray, "c c"]
) -> Float64[np.ndarray, "B c c"]:
    """Return the share of the cells' `variance` that the samples of each vector do not have; see `known_map`."""
    check_k(int(samples.shape[1]), _LEAST, "a map")
    _demand_finite("samples", samples)
    check_spread(samples.flatten(2).numpy(), "a map")
    drawn = cell_colours(samples.flatten(0, 1), len(variance)).double().unflatten(0, samples.shape[:2])
    within = drawn.var(dim=1).sum(1).numpy()
    return np.clip(1 - _ratio(within, variance[None]), 0, 1)


def greyed(images: Images, known: Float64[np.ndarray, "B cells cells"], *, least: int | float = NOTHING) -> Images:
    """Return the images with every cell in which less than `least` of the variance is known painted mid-grey."""
    size = images.shape[-1]
    shown = torch.from_numpy(known >= least).float()[:, None]
    mask = F.interpolate(shown, size=(size, size), mode="nearest")
    return images * mask + _GREY * (1 - mask)


def cell_colours(images: Images, cells: int) -> Float[Tensor, "B 3 c c"]:
    """Return the mean colours of cells x cells cells, or of the pixels where these are fewer."""
    side = min(cells, images.shape[-1])
    return F.interpolate(images, size=(side, side), mode="area")


def _squares(reconstructions: Images, originals: Images, mean: Tensor) -> tuple[np.ndarray, np.ndarray]:
    _check(reconstructions, originals, mean)
    error = band_squares((reconstructions - originals).numpy())
    return error, band_squares((originals - mean).numpy())


def _check(reconstructions: Tensor, originals: Tensor, mean: Tensor) -> None:
    if reconstructions.shape != originals.shape or mean.shape != originals.shape[1:] or len(originals) < _LEAST:
        raise BadInput(
            f"reconstructions: expected as many and as large images as the 2 or more originals and a mean image, got "
            f"{tuple(reconstructions.shape)}, {tuple(originals.shape)} and {tuple(mean.shape)}"
        )
    for name, images in (("reconstructions", reconstructions), ("originals", originals), ("mean", mean[None])):
        _demand_finite(name, images)


def _demand_finite(name: str, images: Tensor) -> None:
    finite = images.flatten(1).isfinite().all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise BadInput(f"{name}: expected finite numbers, got NaN or infinity for image {row}; correct it")


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top/bottom; where nothing varies nothing can be known: 1."""
    return np.divide(top, bottom, out=np.ones(np.broadcast_shapes(top.shape, bottom.shape)), where=bottom > 1e-12)
