"""Training anew with another seed is a second source of chance, beside the pictures."""

import math

import numpy as np
import scipy.special
from jaxtyping import Float64, Num

from featinv.errors import BadInput
from featinv.evaluation.intervals import (
    LEVEL,
    RESAMPLES,
    Clusters,
    Interval,
    cluster_sums,
    resampled_means,
)


def hierarchical(
    first: Num[np.ndarray, "S N"],
    second: Num[np.ndarray, "T M"],
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of `first - second` with its hierarchical bootstrap interval: seeds drawn anew, then pictures.

    Rows are trainings of one attack that differ in their seed only. Drawing S seeds from S makes their spread too
    small, and few seeds know it badly: each side's drawn deviations are widened by sqrt(S/(S - 1)) and by the ratio of
    Student's quantile to the normal one. A side of one seed says nothing of seeds, and the interval is then of this
    training only. Percentile limits. Raises BadInput when the two do not hold the same pictures.
    """
    if first.shape[1] != second.shape[1]:
        raise BadInput(f"seeds: expected values of the same pictures, got {first.shape[1]} and {second.shape[1]}")
    table = np.concatenate([first, second]).astype(np.float64).T
    means = resampled_means(*cluster_sums(table, clusters), resamples, seed)
    freedom = sum(len(side) - 1 for side in (first, second))
    quantile = 0.5 + level / 2
    wide = float(scipy.special.stdtrit(freedom, quantile) / scipy.special.ndtri(quantile)) if freedom else 1.0
    generator = np.random.default_rng([seed, 4])
    one = _redrawn(means[:, : len(first)], generator, wide)
    two = _redrawn(means[:, len(first) :], generator, wide)
    low, high = np.quantile(one - two, [(1 - level) / 2, quantile])
    gap = float(first.mean(dtype=np.float64) - second.mean(dtype=np.float64))
    return Interval(gap, float(low), float(high), first.shape[1])


def _redrawn(
    means: Float64[np.ndarray, "R S"], generator: np.random.Generator, wide: float
) -> Float64[np.ndarray, " R"]:
    """Return the mean over seeds of each resample of the pictures, the seeds drawn anew."""
    rows, count = means.shape
    centre = means.mean(axis=1)
    if count == 1:
        return centre
    drawn = generator.integers(0, count, size=(rows, count))
    deviation = np.take_along_axis(means, drawn, axis=1).mean(axis=1) - centre
    return centre + wide * math.sqrt(count / (count - 1)) * deviation
