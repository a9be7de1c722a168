"""Calibration tests on a Gaussian whose posterior is known in closed form: x = A f + noise of covariance C."""

from collections.abc import Callable

import numpy as np
import pytest

from featinv.errors import BadInput
from featinv.evaluation.calibration_inputs import ranks_among
from featinv.evaluation.calibration_tests import coverage, rank_histograms, two_sample
from featinv.evaluation.mean_square_law import mean_square_law

IMAGES, SAMPLES, WIDTH, FEATURES = 400, 32, 4, 3
MIXING = np.random.default_rng(1).normal(size=(FEATURES, WIDTH))
FACTOR = np.linalg.cholesky(np.cov(np.random.default_rng(2).normal(size=(WIDTH, 50))) + 0.1 * np.eye(WIDTH))


def gaussian(seed: int, *, width: float = 1, shift: float = 0, images: int = IMAGES, k: int = SAMPLES):
    """Vectors, truths, and samples of the posterior, `width` times as wide as it is and `shift` deviations off."""
    draw = np.random.default_rng([seed, 9])
    features = draw.normal(size=(images, FEATURES))
    mean = features @ MIXING
    truth = mean + draw.normal(size=(images, WIDTH)) @ FACTOR.T
    noise = width * draw.normal(size=(images, k, WIDTH)) + shift
    return features, truth, mean[:, None] + noise @ FACTOR.T


def p_of_ranks(features: np.ndarray, truth: np.ndarray, samples: np.ndarray) -> float:
    return float(rank_histograms(truth, samples).adjusted.min())


def p_of_law(features: np.ndarray, truth: np.ndarray, samples: np.ndarray) -> float:
    return mean_square_law(truth, samples).p


def p_of_coverage(features: np.ndarray, truth: np.ndarray, samples: np.ndarray) -> float:
    references = np.random.default_rng(5).normal(size=truth.shape) @ np.linalg.cholesky(np.cov(truth.T)).T
    return coverage(truth, samples, references).p


def p_of_two_sample(features: np.ndarray, truth: np.ndarray, samples: np.ndarray) -> float:
    return two_sample(truth, samples, features, swaps=199).p


TESTS: dict[str, Callable[..., float]] = {
    "law": p_of_law,
    "ranks": p_of_ranks,
    "coverage": p_of_coverage,
    "two_sample": p_of_two_sample,
}


@pytest.mark.parametrize("name", TESTS)
def test_a_perfect_sampler_is_refuted_as_rarely_as_the_level_says(name: str) -> None:
    values = np.array([TESTS[name](*gaussian(seed, images=150, k=16)) for seed in range(60)])
    # P(binomial(60, .05) > 8) is .0035; a p that is never small would not be one either.
    assert (values <= 0.05).sum() <= 8
    assert values.min() < 0.35
    assert 0.2 < values.mean() < 0.85


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("width", [0.6, 1.6], ids=["under-dispersed", "over-dispersed"])
def test_a_sampler_of_the_wrong_width_fails(name: str, width: float) -> None:
    values = [TESTS[name](*gaussian(seed, width=width)) for seed in range(3)]
    assert max(values) < 0.01


@pytest.mark.parametrize("name", TESTS)
def test_a_biased_sampler_fails(name: str) -> None:
    assert max(TESTS[name](*gaussian(seed, shift=0.9)) for seed in range(3)) < 0.01


def test_a_sampler_that_ignores_the_vector_fails_though_its_marginal_is_right() -> None:
    features, truth, _ = gaussian(0)
    _, other, _ = gaussian(1, images=IMAGES * SAMPLES)
    prior = other.reshape(IMAGES, SAMPLES, WIDTH)
    # The prior is a calibrated answer to an empty vector: ranks and law cannot refute it, the joint test must.
    assert mean_square_law(truth, prior).p > 0.01
    assert rank_histograms(truth, prior).adjusted.min() > 0.01
    assert two_sample(truth, prior, features, swaps=199).p < 0.01


def test_the_law_says_the_width_and_the_error_that_are_known() -> None:
    variance = float((FACTOR**2).sum() / WIDTH)
    for width in (0.6, 1, 1.6):
        law = mean_square_law(*gaussian(3, width=width, images=1500)[1:])
        assert law.spread == pytest.approx(width**2 * variance, rel=0.03)
        assert law.error == pytest.approx(variance, rel=0.08)
        assert law.ratio.low < width**2 < law.ratio.high


def test_the_law_is_the_mean_over_all_subsets_of_the_samples() -> None:
    from itertools import combinations

    _, truth, samples = gaussian(4, images=60, k=5)
    law = mean_square_law(truth, samples)
    for size in (1, 2, 3, 5):
        errors = [((samples[:, list(rows)].mean(axis=1) - truth) ** 2).mean() for rows in combinations(range(5), size)]
        assert law.at(size) == pytest.approx(np.mean(errors), rel=1e-9)


def test_dispersion_and_regions_say_in_which_direction_it_fails() -> None:
    _, truth, narrow = gaussian(6, width=0.6)
    wide = gaussian(6, width=1.6)[2]
    assert rank_histograms(truth, narrow).dispersion.min() > 1.2
    assert rank_histograms(truth, wide).dispersion.max() < 0.8
    centres = truth + 1e3 * np.random.default_rng(0).normal(size=truth.shape)  # far away: a projection
    assert coverage(truth, narrow, centres).regions[0.9].high < 0.9
    assert coverage(truth, wide, centres).regions[0.9].low > 0.9


def test_ties_are_broken_so_that_ranks_stay_uniform() -> None:
    draw = np.random.default_rng(0)
    values = draw.integers(0, 2, size=(4000, 10)).astype(np.float64)
    ranks = ranks_among(values[:, 0], values[:, 1:], draw)
    assert np.abs(np.bincount(ranks, minlength=10) - 400).max() < 5 * np.sqrt(400)


def replaced(values: np.ndarray, value: float) -> np.ndarray:
    damaged = values.copy()
    damaged[7] = value
    return damaged


def test_bad_input_gets_one_line() -> None:
    features, truth, samples = gaussian(0, images=60)
    refusals: dict[str, Callable[[], object]] = {
        "k: expected at least 2 samples": lambda: mean_square_law(truth, samples[:, :1]),
        "k: expected at least 16 samples": lambda: rank_histograms(truth, samples[:, :15]),
        "k: expected at least 16 samples an image for coverage": lambda: coverage(truth, samples[:, :15], truth),
        "samples: .*infinity for image 7": lambda: rank_histograms(truth, replaced(samples, np.nan)),
        "truth: .*infinity for image 7": lambda: mean_square_law(replaced(truth, np.inf), samples),
        "sampler is deterministic": lambda: two_sample(truth, samples[:, :1].repeat(9, axis=1), features),
        "at least 50 images": lambda: mean_square_law(truth[:49], samples[:49]),
        "references: expected finite": lambda: coverage(truth, samples, truth[:9]),
        "features: expected a finite vector": lambda: two_sample(truth, samples, features[:9]),
        "names: expected one for each of 4": lambda: rank_histograms(truth, samples, names=("a",)),
        "beside truths": lambda: mean_square_law(truth, samples[:, :, :2]),
    }
    for message, call in refusals.items():
        with pytest.raises(BadInput, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
