"""Whether samples vary as much as the truth does: the mean of K misses it by (1 + 1/K) times the smallest error."""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float, Float64

from featinv.evaluation.calibration_inputs import check_samples
from featinv.evaluation.intervals import LEVEL, Interval
from featinv.evaluation.resampling import resampled_means

RESAMPLES = 2000


@dataclass(frozen=True)
class MeanSquareLaw:
    """Slope over intercept of MSE(mean of K) against 1/K: 1 of a calibrated sampler.

    Below 1 the samples are too alike, or their mean is not the posterior's; above 1 they are too different. `error` is
    the intercept, the error that the mean of infinitely many samples would have (per number of the space), `spread` the
    slope, the variance of the samples. `p` tests that both are equal. `k` samples an image were drawn.
    """

    ratio: Interval
    error: float
    spread: float
    p: float
    k: int

    def at(self, k: int) -> float:
        """Return the expected squared error of the mean of k samples."""
        return self.error + self.spread / k


def mean_square_law(
    truth: Float[np.ndarray, "N D"], samples: Float[np.ndarray, "M K E"], *, seed: int = 0
) -> MeanSquareLaw:
    """Test MSE(mean of K) = (1 + 1/K) MMSE on N images in a space of D numbers, from K >= 2 samples of each.

    Samples s_k of the posterior of x have E|mean(s) - x|^2 = |E s - x|^2 + Var(s)/K. Averaged over all subsets of the
    samples, the curve against 1/K is exactly the line whose slope is the samples' unbiased variance, so nothing is
    fitted. The interval of the ratio is a bootstrap over images (percentiles of 2,000 resamples), p a paired t test of
    slope minus intercept. Raises BadInput as `check_samples` does.
    """
    truth, samples = check_samples(truth, samples, least=2, what="the mean-square law")
    spread, error = law_terms(truth, samples)
    return law_of(spread.mean(axis=1), error.mean(axis=1), samples.shape[1], seed=seed)


def law_terms(
    truth: Float64[np.ndarray, "N D"], samples: Float64[np.ndarray, "N K D"]
) -> tuple[Float64[np.ndarray, "N D"], Float64[np.ndarray, "N D"]]:
    """Return each number's slope and intercept without bias: the samples' variance, and the error of their mean."""
    spread = samples.var(axis=1, ddof=1)
    return spread, (samples.mean(axis=1) - truth) ** 2 - spread / samples.shape[1]


def law_of(
    spread: Float64[np.ndarray, " N"], error: Float64[np.ndarray, " N"], k: int, *, seed: int = 0
) -> MeanSquareLaw:
    """Return the law of slopes and intercepts, one of each an image."""
    table = np.stack([spread, error], axis=1)
    means = resampled_means(table, np.ones(len(table)), RESAMPLES, seed)
    # The intercept is an unbiased estimate, which few images may leave at or below 0: the ratio is then unbounded.
    ratios = np.divide(means[:, 0], means[:, 1], out=np.full(len(means), np.inf), where=means[:, 1] > 0)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="closest_observation")
    mean = float(spread.mean() / error.mean()) if error.mean() > 0 else float("inf")
    p = _same_mean(spread - error)
    return MeanSquareLaw(
        Interval(mean, float(low), float(high), len(table)), float(error.mean()), float(spread.mean()), p, k
    )


def _same_mean(difference: Float64[np.ndarray, " N"]) -> float:
    if float(difference.std()) <= 1e-12 * max(1e-300, float(np.abs(difference).max())):
        return 1.0 if bool((difference == 0).all()) else 0.0
    return float(scipy.stats.ttest_1samp(difference, 0.0).pvalue)
