"""How sure a number is: bootstrap intervals for means, Wilson intervals for rates, and what follows from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Num

from featinv.errors import BadInput

RESAMPLES = 10_000
LEAST_RESAMPLES = 100
LEVEL = 0.95
_CELLS = 2**21
"""Entries of one block of resampling counts (16 MiB), so that memory does not grow with the number of resamples."""


@dataclass(frozen=True)
class Interval:
    """An estimate, the bounds of its interval, the number of pictures behind it, and what chance alone would give."""

    mean: float
    low: float
    high: float
    n: int
    chance: float | None = None


def bootstrap(
    values: Num[np.ndarray, " N"], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Return the mean with its BCa bootstrap interval over pictures (Efron 1987); the same seed gives the same bounds.

    Raises BadInput for fewer than two values, any that is not finite, and fewer than 100 resamples.
    """
    return bootstrap_all({"values": values}, resamples=resamples, seed=seed, level=level)["values"]


def bootstrap_all(
    columns: Mapping[str, Num[np.ndarray, " N"]], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Interval]:
    """Return the BCa interval of each column's mean, all from the same resamples of the pictures."""
    if not columns:
        return {}
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    if len(table) < 2:
        raise BadInput(f"values: an interval needs at least 2 pictures, got {len(table)}")
    if resamples < LEAST_RESAMPLES:
        raise BadInput(f"resamples: expected at least {LEAST_RESAMPLES}, got {resamples}; 10,000 serve most")
    for name, column in zip(columns, table.T, strict=True):
        if not np.isfinite(column).all():
            raise BadInput(f"{name}: expected finite values, got {int((~np.isfinite(column)).sum())} that are not")
    means = _resampled_means(table, resamples, seed)
    return {name: _bca(table[:, position], means[:, position], level) for position, name in enumerate(columns)}


def paired(
    first: Num[np.ndarray, " N"],
    second: Num[np.ndarray, " M"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of `first - second`, picture by picture, with its BCa interval.

    Raises BadInput when the two do not hold the same pictures (different lengths).
    """
    if first.shape != second.shape:
        raise BadInput(f"paired: expected values of the same pictures, got {len(first)} and {len(second)}")
    difference = first.astype(np.float64) - second.astype(np.float64)
    return bootstrap(difference, resamples=resamples, seed=seed, level=level)


def wilson(hits: int, n: int, *, chance: float | None = None, level: float = LEVEL) -> Interval:
    """Return the rate hits/n with its Wilson score interval (Wilson 1927), which stays honest at 0 and at n hits.

    Raises BadInput unless 0 <= hits <= n and n >= 1.
    """
    if not (n >= 1 and 0 <= hits <= n):
        raise BadInput(f"wilson: expected 0 <= hits <= n and n >= 1, got {hits} hits of {n}")
    z = _normal_quantile(level)
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return Interval(rate, low, high, n, chance)


def excess_risk(hits: int, control_hits: int, n: int, *, level: float = LEVEL) -> Interval:
    """Return R = (p - p0) / (1 - p0), the risk that an attack adds to a control's, with its interval.

    p = hits/n, p0 = control_hits/n. R = 1 - (1 - p)/(1 - p0) is one minus a ratio of two rates, so that its limits
    follow from the two Wilson intervals by square-and-add for ratios (MOVER-R: Donner & Zou 2012; for a difference the
    same rule is Newcombe's method 10, 1998; that one divided by 1 - p0 takes p0 for known, and covers 85 % instead of
    95 % where an attack falls far behind its control). R itself is Anonymeter's risk (Giomi et al., arXiv 2211.10459);
    they propagate symmetric errors. That both rates come from the same pictures is ignored: where the two hit the same
    pictures the interval is too wide.

    Raises BadInput when the control hits every picture, which leaves no risk to add.
    """
    attack, control = wilson(hits, n, level=level), wilson(control_hits, n, level=level)
    if control_hits == n:
        raise BadInput(f"excess_risk: the control hits all {n} pictures, so that no attack can add to it")
    miss, control_miss = 1 - attack.mean, 1 - control.mean
    low, high = _ratio_limits(
        (miss, 1 - attack.high, 1 - attack.low), (control_miss, 1 - control.high, 1 - control.low)
    )
    return Interval(1 - miss / control_miss, 1 - high, 1 - low, n)


def _ratio_limits(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> tuple[float, float]:
    """MOVER-R limits of top/bottom from (estimate, low, high) of each (Donner & Zou 2012, equation 9)."""
    (a, a_low, a_high), (b, b_low, b_high) = top, bottom
    square = (a * b) ** 2
    inner = square - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    low = (a * b - math.sqrt(max(inner, 0.0))) / (b_high * (2 * b - b_high))
    inner = square - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    high = (a * b + math.sqrt(max(inner, 0.0))) / (b_low * (2 * b - b_low))
    return low, high


def _resampled_means(table: Float[np.ndarray, "N M"], resamples: int, seed: int) -> Float[np.ndarray, "R M"]:
    count = len(table)
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, _CELLS // count))
    means = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(0, count, size=(rows, count))
        drawn += (np.arange(rows) * count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        means[start : start + rows] = weights.astype(np.float64) @ table / count
    return means


def _bca(values: Float[np.ndarray, " N"], means: Float[np.ndarray, " R"], level: float) -> Interval:
    """Bias-corrected and accelerated limits (Efron 1987), with the acceleration of a mean in closed form."""
    mean = float(values.mean())
    centred = values - mean
    spread = float((centred**2).sum())
    # Equal values leave the mean certain; rounding may leave a spread of 1e-30 that must not be divided by.
    if spread <= len(values) * (1e-12 * max(1.0, abs(mean))) ** 2:
        return Interval(mean, mean, mean, len(values))
    acceleration = float((centred**3).sum()) / (6 * spread**1.5)
    below = (float((means < mean).sum()) + float((means <= mean).sum())) / (2 * len(means))
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    z = _normal_quantile(level)
    points = [normal.cdf(bias + (bias + side) / (1 - acceleration * (bias + side))) for side in (-z, z)]
    low, high = np.quantile(means, points)
    return Interval(mean, float(low), float(high), len(values))


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise BadInput(f"level: expected a probability between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)
