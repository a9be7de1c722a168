"""How sure a number is: bootstrap intervals for means, Wilson intervals for rates, and what follows from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float64, Int, Num

from featinv.errors import BadInput
from featinv.evaluation.resampling import cluster_sums, resampled_means
from featinv.evaluation.significance import cluster_members, effective_count

Clusters = Int[np.ndarray, " ids"]
RESAMPLES = 10_000
LEAST_RESAMPLES = 100
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate, the bounds of its interval, the number of images behind it, and what chance alone would give."""

    mean: float
    low: float
    high: float
    n: int
    chance: float | None = None

    def scaled(self, factor: int) -> "Interval":
        """Return the same in another unit, e.g. in percent by 100."""
        chance = None if self.chance is None else factor * self.chance
        return Interval(factor * self.mean, factor * self.low, factor * self.high, self.n, chance)


def bootstrap(
    values: Num[np.ndarray, " N"],
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean with its BCa bootstrap interval over images (Efron 1987); the same seed gives the same bounds.

    With `clusters` (an id an image: one person, one event) whole clusters are drawn. Raises BadInput for fewer than
    two values or clusters, any value that is not finite, and fewer than 100 resamples.
    """
    intervals = bootstrap_all({"values": values}, clusters=clusters, resamples=resamples, seed=seed, level=level)
    return intervals["values"]


def bootstrap_all(
    columns: Mapping[str, Num[np.ndarray, " N"]],
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Return the BCa interval of each column's mean, all from the same resamples of the images (or clusters)."""
    if not columns:
        return {}
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    if len(table) < 2:
        raise BadInput(f"values: an interval needs at least 2 images, got {len(table)}")
    if resamples < LEAST_RESAMPLES:
        raise BadInput(f"resamples: expected at least {LEAST_RESAMPLES}, got {resamples}; 10,000 serve most")
    for name, column in zip(columns, table.T, strict=True):
        if not np.isfinite(column).all():
            raise BadInput(f"{name}: expected finite values, got {int((~np.isfinite(column)).sum())} that are not")
    sums, sizes = cluster_sums(table, clusters)
    means = resampled_means(sums, sizes, resamples, seed)
    return {
        name: _bca(sums[:, position], sizes, means[:, position], level, len(table))
        for position, name in enumerate(columns)
    }


def paired(
    first: Num[np.ndarray, " N"],
    second: Num[np.ndarray, " M"],
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of `first - second`, image by image, with its BCa interval.

    Raises BadInput when the two do not hold the same images (different lengths).
    """
    if first.shape != second.shape:
        raise BadInput(f"paired: expected values of the same images, got {len(first)} and {len(second)}")
    difference = first.astype(np.float64) - second.astype(np.float64)
    return bootstrap(difference, clusters=clusters, resamples=resamples, seed=seed, level=level)


def wilson(hits: int, n: int, *, chance: float | None = None, level: float = LEVEL) -> Interval:
    """Return the rate hits/n with its Wilson score interval (Wilson 1927), which stays honest at 0 and at n hits.

    Raises BadInput unless 0 <= hits <= n and n >= 1.
    """
    if not (n >= 1 and 0 <= hits <= n):
        raise BadInput(f"wilson: expected 0 <= hits <= n and n >= 1, got {hits} hits of {n}")
    return Interval(hits / n, *_wilson_limits(hits / n, n, level), n, chance)


def rate(
    hits: Bool[np.ndarray, " N"],
    *,
    clusters: Clusters | None = None,
    chance: float | None = None,
    level: float = LEVEL,
) -> Interval:
    """Return the share of hits with its Wilson interval; with clusters, as of so many images as these are worth.

    N over the design effect (Kish 1965) takes the place of N in Wilson's formula; `n` still counts the images.
    """
    if len(hits) == 0:
        raise BadInput("rate: expected at least one image, got none")
    share, worth = float(hits.mean()), effective_count(hits, clusters)
    return Interval(share, *_wilson_limits(share, worth, level), len(hits), chance)


def mean_rate(
    shares: Float[np.ndarray, " N"],
    *,
    clusters: Clusters | None = None,
    chance: float | None = None,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of an image's success probabilities, each from 0 to 1, with the Wilson interval of a rate.

    A probability varies less than the hit or miss that it is the mean of, so that the interval is wide enough both for
    the mean over other images and for the rate of hits on these. With clusters each of them counts as one image.
    """
    if len(shares) == 0:
        raise BadInput("rate: expected at least one image, got none")
    worth = len(shares) if clusters is None else len(np.unique(clusters))
    share = min(1.0, max(0.0, float(shares.mean(dtype=np.float64))))
    return Interval(share, *_wilson_limits(share, worth, level), len(shares), chance)


def _wilson_limits(share: float, n: int, level: float) -> tuple[float, float]:
    z = _normal_quantile(level)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def excess_risk(hits: int, control_hits: int, n: int, *, level: float = LEVEL) -> Interval:
    """Return R = (p - p0) / (1 - p0), the risk that an attack adds to a control's, with its interval.

    p = hits/n, p0 = control_hits/n. R = 1 - (1 - p)/(1 - p0) is one minus a ratio of two rates, so that its limits
    follow from the two Wilson intervals by square-and-add for ratios (MOVER-R: Donner & Zou 2012; for a difference the
    same rule is Newcombe's method 10, 1998; that one divided by 1 - p0 takes p0 for known, and covers 85 % instead of
    95 % where an attack falls far behind its control). R itself is Anonymeter's risk (Giomi et al., arXiv 2211.10459);
    they propagate symmetric errors. That both rates come from the same images is ignored: where the two hit the same
    images the interval is too wide.

    Raises BadInput when the control hits every image, which leaves no risk to add.
    """
    if control_hits == n:
        raise BadInput(f"excess_risk: the control hits all {n} images, so that no attack can add to it")
    return excess_of(wilson(hits, n, level=level), wilson(control_hits, n, level=level))


def excess_of(attack: Interval, control: Interval) -> Interval:
    """Return the excess risk of two measured rates, as `excess_risk` does; the control's must be below 1."""
    miss, control_miss = 1 - attack.mean, 1 - control.mean
    low, high = _ratio_limits(
        (miss, 1 - attack.high, 1 - attack.low), (control_miss, 1 - control.high, 1 - control.low)
    )
    return Interval(1 - miss / control_miss, 1 - high, 1 - low, attack.n)


def ratio_of(top: Interval, bottom: Interval) -> Interval:
    """Return the ratio of two measured rates, bounded as in `excess_of`; the lower limit of the bottom is above 0."""
    low, high = _ratio_limits((top.mean, top.low, top.high), (bottom.mean, bottom.low, bottom.high))
    return Interval(top.mean / bottom.mean, low, high, top.n)


def _ratio_limits(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> tuple[float, float]:
    """MOVER-R limits of top/bottom from (estimate, low, high) of each (Donner & Zou 2012, equation 9)."""
    (a, a_low, a_high), (b, b_low, b_high) = top, bottom
    square = (a * b) ** 2
    inner = square - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    low = (a * b - math.sqrt(max(inner, 0.0))) / (b_high * (2 * b - b_high))
    inner = square - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    high = (a * b + math.sqrt(max(inner, 0.0))) / (b_low * (2 * b - b_low))
    return low, high


def cluster_ids(clusters: Sequence[object], count: int) -> Int[np.ndarray, " ids"]:
    """Number the clusters from 0. Raises BadInput for another number of ids than images, and for a single cluster."""
    order = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    return cluster_members(np.array([order[name] for name in clusters], dtype=np.int64), count)


def _bca(
    sums: Float[np.ndarray, " C"], sizes: Float[np.ndarray, " C"], means: Float[np.ndarray, " R"], level: float, n: int
) -> Interval:
    """Bias-corrected and accelerated limits (Efron 1987), with the acceleration of a mean in closed form."""
    mean = float(sums.sum() / sizes.sum())
    centred = sums - mean * sizes
    spread = float((centred**2).sum())
    # Equal values leave the mean certain; rounding may leave a spread of 1e-30 that must not be divided by.
    if spread <= len(sums) * (1e-12 * max(1.0, abs(mean))) ** 2:
        return Interval(mean, mean, mean, n)
    acceleration = float((centred**3).sum()) / (6 * spread**1.5)
    below = (float((means < mean).sum()) + float((means <= mean).sum())) / (2 * len(means))
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    z = _normal_quantile(level)
    points = [normal.cdf(bias + (bias + side) / (1 - acceleration * (bias + side))) for side in (-z, z)]
    low, high = np.quantile(means, points)
    return Interval(mean, float(low), float(high), n)


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise BadInput(f"level: expected a probability between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def hierarchical(
    first: Num[np.ndarray, "S N"],
    second: Num[np.ndarray, "T M"],
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of `first - second` with its hierarchical bootstrap interval: seeds drawn anew, then images.

    Rows are trainings of one attack that differ in their seed only. Drawing S seeds from S makes their spread too
    small, and few seeds know it badly: each side's drawn deviations are widened by sqrt(S/(S - 1)) and by the ratio of
    Student's quantile to the normal one. A side of one seed says nothing of seeds, and the interval is then of this
    training only. Percentile limits. Raises BadInput when the two do not hold the same images.
    """
    if first.shape[1] != second.shape[1]:
        raise BadInput(f"seeds: expected values of the same images, got {first.shape[1]} and {second.shape[1]}")
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
    """Return the mean over seeds of each resample of the images, the seeds drawn anew."""
    rows, count = means.shape
    centre = means.mean(axis=1)
    if count == 1:
        return centre
    drawn = generator.integers(0, count, size=(rows, count))
    deviation = np.take_along_axis(means, drawn, axis=1).mean(axis=1) - centre
    return centre + wide * math.sqrt(count / (count - 1)) * deviation
