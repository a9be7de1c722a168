"""Whether a difference is more than chance: exact tests for rates, t tests for means, Holm over many of them.

Every test is one-sided and made for all pairs of rows at once; `two_sided` turns a matrix of them.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import scipy.special
from jaxtyping import Bool, Float64, Int, Num

from featinv.errors import BadInput

Key = TypeVar("Key", bound=Hashable)
Clusters = Int[np.ndarray, " ids"]


def mcnemar(hits: Bool[np.ndarray, "A N"]) -> Float64[np.ndarray, "A A"]:
    """Return the exact one-sided McNemar p of "row i hits more often than row j" for all pairs of rows.

    Of the images that one row alone hits, each row has half when there is no difference: P(X >= b), X binomial.
    """
    counts = hits.astype(np.float64)
    alone = counts @ (1 - counts).T
    discordant = alone + alone.T
    # P(X >= b) = P(X <= n - b), by symmetry; nothing discordant is no evidence.
    p: np.ndarray = scipy.special.bdtr(discordant - alone, discordant.astype(np.int64), 0.5)
    return np.where(discordant > 0, p, 1.0)


def greater(values: Num[np.ndarray, "A N"], clusters: Clusters | None = None) -> Float64[np.ndarray, "A A"]:
    """Return the one-sided p of "the mean of row i is above that of row j", from paired t tests.

    With `clusters` (an id an image) images of one cluster count as one draw. Differences without any spread are
    tested by their sign. Raises BadInput for fewer than two images or clusters.
    """
    means = values.mean(axis=1, dtype=np.float64)
    draws = _draws(values - means[:, None], clusters)
    variance, freedom = _pair_variances(draws, values.shape[1])
    return _t_tail(means[:, None] - means[None, :], variance, freedom)


def above(values: Num[np.ndarray, " N"], level: int | float, clusters: Clusters | None = None) -> float:
    """Return the one-sided p of "the mean is above `level`" (a t test; clusters as in `greater`)."""
    both = np.stack([values.astype(np.float64), np.full(len(values), float(level))])
    return float(greater(both, clusters)[0, 1])


def mean_limits(
    values: Num[np.ndarray, " N"], clusters: Clusters | None, level: int | float
) -> tuple[float, float, float]:
    """Return the mean and Student's limits around it (clusters as in `greater`)."""
    mean = float(values.mean(dtype=np.float64))
    draws = _draws(values[None].astype(np.float64) - mean, clusters)
    count = draws.shape[1]
    error = float(np.sqrt((draws**2).sum() * count / (count - 1))) / len(values)
    reach = error * float(scipy.special.stdtrit(count - 1, 0.5 + level / 2))
    return mean, mean - reach, mean + reach


def rate_above(hits: Bool[np.ndarray, " N"], level: int | float, clusters: Clusters | None = None) -> float:
    """Return the exact one-sided binomial p of "the rate is above `level`".

    With clusters the counts are divided by the design effect: the hits of one person are no independent finds.
    """
    count = effective_count(hits, clusters)
    successes = int(np.floor(hits.mean() * count))
    if level >= 1 or successes == 0:
        return 1.0
    return float(scipy.special.bdtrc(successes - 1, count, level)) if level > 0 else 0.0


def effective_count(hits: Bool[np.ndarray, " N"], clusters: Clusters | None) -> int:
    """Return how many independent images the hits are worth: N over the design effect (Kish 1965), at most N.

    Where all or none are hits the effect cannot be seen, and each cluster counts as one image.
    """
    n = len(hits)
    if clusters is None:
        return n
    rate = float(hits.mean())
    draws = _draws(hits[None].astype(np.float64) - rate, clusters)
    if rate in (0.0, 1.0):
        return draws.shape[1]
    of_clusters = float((draws**2).sum()) * draws.shape[1] / (draws.shape[1] - 1) / n**2
    # Clusters of one rate do not vary at all: n is the most that they can be worth.
    return n if of_clusters * n <= rate * (1 - rate) else max(1, int(rate * (1 - rate) / of_clusters))


def seeds_greater(
    first: Num[np.ndarray, "S N"], second: Num[np.ndarray, "T N"], clusters: Clusters | None = None
) -> float:
    """Return the one-sided p of "the first mean is above the second" where rows are seeds of one attack.

    Seeds are a second source of chance: their variance is added to that of the images, with the degrees of freedom
    of Welch and Satterthwaite. One seed a side leaves the paired test over images.
    """
    both = np.stack([first.mean(axis=0, dtype=np.float64), second.mean(axis=0, dtype=np.float64)])
    draws = _draws(both - both.mean(axis=1, keepdims=True), clusters)
    variance, freedom = _pair_variances(draws, both.shape[1])
    parts = [(float(variance[0, 1]), freedom)]
    for rows in (first, second):
        if len(rows) > 1:
            parts.append((float(rows.mean(axis=1, dtype=np.float64).var(ddof=1)) / len(rows), len(rows) - 1))
    total = sum(part for part, _ in parts)
    spread = sum(part**2 / degrees for part, degrees in parts)
    # Only chance between seeds is known where the images leave none.
    degrees = total**2 / spread if spread > 0 else float(freedom)
    gap = np.array([[float(both[0].mean() - both[1].mean())]])
    return float(_t_tail(gap, np.array([[total]]), degrees)[0, 0])


def cluster_members(clusters: Clusters, count: int) -> Int[np.ndarray, " N"]:
    """Number the clusters from 0 and say of each image in which it is.

    Raises BadInput unless there is an id for each of `count` images, and at least two clusters.
    """
    if len(clusters) != count:
        raise BadInput(f"clusters: expected one id for each of {count} images, got {len(clusters)}")
    identifiers, member = np.unique(clusters, return_inverse=True)
    if len(identifiers) < 2:
        raise BadInput("clusters: expected at least 2 different ids, got 1; nothing can be said of one cluster")
    return member


def two_sided(p: Float64[np.ndarray, "A A"]) -> Float64[np.ndarray, "A A"]:
    """Return the two-sided p of each pair from the one-sided ones of both directions."""
    return np.minimum(1.0, 2 * np.minimum(p, p.T))


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """Return the p of each test after Holm's correction (1979): below alpha for any of them by chance, once in 1/alpha.

    Raises BadInput for what is no probability.
    """
    for key, value in p.items():
        if not 0 <= value <= 1:
            raise BadInput(f"holm: expected p between 0 and 1, got {value} for {key!r}")
    adjusted, largest = {}, 0.0
    for done, key in enumerate(sorted(p, key=lambda key: p[key])):
        largest = max(largest, min(1.0, (len(p) - done) * p[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p}


def _draws(centred: Float64[np.ndarray, "A N"], clusters: Clusters | None) -> Float64[np.ndarray, "A C"]:
    """Return what each cluster adds to the sums; an image is its own cluster where none are given."""
    draws = centred
    if clusters is not None:
        member = cluster_members(clusters, centred.shape[1])
        draws = np.zeros((len(centred), int(member.max()) + 1))
        np.add.at(draws.T, member, centred.T)
    if draws.shape[1] < 2:
        raise BadInput(f"a test needs at least 2 images, got {draws.shape[1]}")
    return draws


def _pair_variances(draws: Float64[np.ndarray, "A C"], count: int) -> tuple[Float64[np.ndarray, "A A"], int]:
    """Return the variance of the mean difference of each pair of rows, and its degrees of freedom."""
    clusters = draws.shape[1]
    rows = [((draws[row] - draws) ** 2).sum(axis=1) for row in range(len(draws))]
    return np.stack(rows) * clusters / (clusters - 1) / count**2, clusters - 1


def _t_tail(
    gap: Float64[np.ndarray, "A B"], variance: Float64[np.ndarray, "A B"], freedom: int | float
) -> Float64[np.ndarray, "A B"]:
    # Rounding may leave a spread of 1e-30 that must not be divided by.
    certain = variance <= (1e-12 * np.maximum(1.0, np.abs(gap))) ** 2
    t = np.divide(gap, np.sqrt(np.where(certain, 1.0, variance)))
    p: np.ndarray = scipy.special.stdtr(float(freedom), -t)
    sign = np.where(gap > 1e-12, 0.5 ** (freedom + 1), 1.0)
    return np.where(certain, sign, p)
