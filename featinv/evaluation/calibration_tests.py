"""Tests that samples are draws of the posterior: ranks of projections, coverage, and a two-sample test.

Truth and samples of one vector are exchangeable where the sampler is right. Each test below is of a consequence of
that, and is exact whatever the posterior is. Images must be independent draws: of several of one person take one.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float, Float64, Int64
from scipy.spatial.distance import cdist

from featinv.errors import BadInput
from featinv.evaluation.calibration_inputs import LEAST_RANKED, check_samples, ranks_among
from featinv.evaluation.intervals import Interval, wilson

MOST_BINS = 16
EXPECTED_IN_BIN = 10
REGIONS = (0.5, 0.9)
"""credibility of the regions whose coverage is reported"""
SWAPS = 999
_RANKS, _COVERAGE, _SWAPS = 1, 2, 3


@dataclass(frozen=True)
class RankHistograms:
    """Histograms of the rank of the truth among its samples, a row a projection, and whether they are flat.

    `expected` has the counts that a right sampler has on average. `dispersion` is the mean squared distance of the
    relative rank from 1/2 over that of flat ranks: above 1 the truth lies outside the samples too often. `adjusted`
    are the p-values after Benjamini and Hochberg's correction over the projections.
    """

    names: tuple[str, ...]
    counts: Int64[np.ndarray, "D bins"]
    expected: Float64[np.ndarray, " bins"]
    dispersion: Float64[np.ndarray, " D"]
    p: Float64[np.ndarray, " D"]
    adjusted: Float64[np.ndarray, " D"]


def rank_histograms(
    truth: Float[np.ndarray, "N D"],
    samples: Float[np.ndarray, "M K E"],
    *,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> RankHistograms:
    """Rank each of D projections of the truth among its K >= 16 samples and test that the ranks are uniform.

    Chi-square over at most 16 bins of as many ranks as can be. Source: simulation-based calibration, arXiv:1804.06788.
    Raises BadInput as `check_samples` does, and for another number of names than projections.
    """
    truth, samples = check_samples(truth, samples, least=LEAST_RANKED, what="rank histograms")
    count, k, width = samples.shape
    names = tuple(f"projection {number}" for number in range(width)) if names is None else names
    if len(names) != width:
        raise BadInput(f"names: expected one for each of {width} projections, got {len(names)}; name them all")
    ranks = ranks_among(truth, samples, np.random.default_rng([seed, _RANKS]))
    bins = np.array_split(np.arange(k + 1), max(2, min(MOST_BINS, k + 1, count // EXPECTED_IN_BIN)))
    member = np.concatenate([np.full(len(ranks_of_bin), number) for number, ranks_of_bin in enumerate(bins)])
    counts = np.stack([np.bincount(member[column], minlength=len(bins)) for column in ranks.T])
    expected = count * np.array([len(ranks_of_bin) for ranks_of_bin in bins]) / (k + 1)
    p = np.asarray(scipy.stats.chisquare(counts, expected, axis=1).pvalue, dtype=np.float64)
    flat = (np.arange(k + 1) - k / 2) ** 2
    dispersion = ((ranks - k / 2) ** 2).mean(axis=0) / flat.mean()
    return RankHistograms(names, counts, expected, dispersion, p, scipy.stats.false_discovery_control(p))


@dataclass(frozen=True)
class Coverage:
    """How often regions that should hold a share of the posterior hold the truth.

    `levels` and `curve` are the expected-coverage curve, which is the diagonal for a right sampler; `gap` is its
    largest distance from it, `p` of a Kolmogorov-Smirnov test. `regions` has the coverage of the 50 % and the 90 %
    regions: below these an over-confident sampler, above them one that is too wide.
    """

    levels: Float64[np.ndarray, " L"]
    curve: Float64[np.ndarray, " L"]
    gap: float
    p: float
    regions: dict[float, Interval]


def coverage(
    truth: Float[np.ndarray, "N D"],
    samples: Float[np.ndarray, "M K E"],
    references: Float[np.ndarray, " R *P"],
    *,
    seed: int = 0,
) -> Coverage:
    """Test expected coverage with random points (TARP): regions are balls around a reference point of each image.

    A reference is any point chosen without the truth: that of a public image drawn at random, or one that depends on
    the vector. The share of the K >= 16 samples nearer to it than the truth is uniform where the sampler is right. Use
    a space of tens of numbers: distances in thousands are all alike and hide errors. Source: arXiv:2302.03026; we test
    ranks with random ties, which is exact at any K. Raises BadInput as `check_samples` does, and for other references.
    """
    truth, samples = check_samples(truth, samples, least=LEAST_RANKED, what="coverage")
    if references.shape != truth.shape or not np.isfinite(references).all():
        raise BadInput(
            f"references: expected finite numbers of shape {truth.shape}, one point an image, got {references.shape}"
        )
    generator = np.random.default_rng([seed, _COVERAGE])
    centre = references.astype(np.float64)
    far = np.linalg.norm(truth - centre, axis=1)
    ranks = ranks_among(far, np.linalg.norm(samples - centre[:, None], axis=2), generator)
    k = samples.shape[1]
    level = (ranks + generator.random(len(ranks))) / (k + 1)  # uniform, not only on multiples of 1/(K + 1)
    test = scipy.stats.kstest(level, "uniform")
    levels = np.linspace(0, 1, 101)
    curve = np.searchsorted(np.sort(level), levels, side="right") / len(level)
    regions = {share: wilson(int((level <= share).sum()), len(level)) for share in REGIONS}
    return Coverage(levels, curve, float(test.statistic), float(test.pvalue), regions)


@dataclass(frozen=True)
class TwoSample:
    """Energy distance of (vector, truth) and (vector, sample) over its mean under swaps; about 1: no difference."""

    ratio: float
    p: float


def two_sample(
    truth: Float[np.ndarray, "N D"],
    samples: Float[np.ndarray, "M K E"],
    features: Float[np.ndarray, " V *F"],
    *,
    swaps: int = SWAPS,
    seed: int = 0,
) -> TwoSample:
    """Test that (vector, truth) and (vector, sample) are of one distribution, from K >= 2 samples of each vector.

    One sample of each image stands against the truth, both relative to the mean of the other samples, so that what the
    vector says does not hide what it leaves open. The kernel is that of the energy distance between images times one
    plus a Gaussian kernel between vectors (median bandwidth): differences that depend on the vector count too. Truth
    and sample of an image may be swapped where the sampler is right; so swapping gives an exact p. Source of the
    kernel: arXiv:1207.6076. Raises BadInput as `check_samples` does, and for other features.
    """
    truth, samples = check_samples(truth, samples, least=2, what="a two-sample test")
    if features.ndim != 2 or len(features) != len(truth) or not np.isfinite(features).all():
        raise BadInput(
            f"features: expected a finite vector of each of {len(truth)} images, flattened, got {features.shape}"
        )
    centre = samples[:, 1:].mean(axis=1)
    drawn, true = samples[:, 0] - centre, truth - centre
    across = cdist(true, drawn)
    differences = across + across.T - cdist(true, true) - cdist(drawn, drawn)
    differences *= 1 + _vector_kernel(features.astype(np.float64))
    signs = np.random.default_rng([seed, _SWAPS]).choice([-1.0, 1.0], size=(swaps, len(truth)))
    swapped = ((signs @ differences) * signs).sum(axis=1)
    # The diagonal is the same however pairs are swapped, and says nothing.
    own = float(np.trace(differences))
    statistic = float(differences.sum())
    p = (1 + int((swapped >= statistic - 1e-9 * abs(own)).sum())) / (1 + swaps)
    return TwoSample(statistic / max(own, 1e-300), float(p))


def _vector_kernel(features: Float64[np.ndarray, "N F"]) -> Float64[np.ndarray, "N N"]:
    scaled = features - features.mean(axis=0)
    scaled /= np.where(scaled.std(axis=0) > 0, scaled.std(axis=0), 1.0)
    squares = cdist(scaled, scaled, "sqeuclidean")
    median = float(np.median(squares[np.triu_indices(len(squares), 1)]))
    return np.exp(-squares / max(median, 1e-300))
