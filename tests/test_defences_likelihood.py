"""The likelihood of a release against densities of scipy, counting, and what has none."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from featinv import defences
from featinv.defences.noise import AdditiveNoise

DRAW = np.random.default_rng(0)
PUBLIC = torch.from_numpy((DRAW.normal(size=(300, 6)) @ DRAW.normal(size=(6, 6))).astype(np.float32))
CLEAN = PUBLIC[:20]


def densities(defence: nn.Module, released: torch.Tensor) -> np.ndarray:
    made = defences.log_likelihood(defence, released, CLEAN)
    assert made is not None
    assert made.dtype == torch.float64
    return made.numpy()


def test_gaussian_and_laplace_densities_are_those_of_scipy() -> None:
    released = PUBLIC[50:55]
    differences = released.double().numpy()[:, None] - CLEAN.double().numpy()
    for defence, expected in (
        (defences.GaussianNoise(0.7), stats.norm(scale=0.7).logpdf(differences).sum(axis=2)),
        (defences.Laplace(0.7), stats.laplace(scale=0.7).logpdf(differences).sum(axis=2)),
    ):
        np.testing.assert_allclose(densities(defence, released), expected, rtol=1e-9)


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_shaped_densities_are_those_of_the_noise_that_is_drawn(exponent: float) -> None:
    defence = defences.ShapedNoise(0.7, exponent).fit(PUBLIC)
    torch.manual_seed(0)
    covariance = np.cov(defence(torch.zeros(400_000, 6)).double().numpy(), rowvar=False)
    released = CLEAN[3:5] + 0.1
    expected = [[stats.multivariate_normal(c, covariance).logpdf(r) for c in CLEAN.numpy()] for r in released.numpy()]
    np.testing.assert_allclose(densities(defence, released), np.array(expected), rtol=0.02, atol=0.05)


@pytest.mark.parametrize(
    "defence",
    [
        defences.Codebook(2),
        defences.ProductCodes(2, 1),
        defences.Sign(),
        defences.Uniform(1),
        defences.Microaggregate(4),
        nn.Sequential(defences.PCA(2, coordinates=True), defences.Sign()),
    ],
    ids=repr,
)
def test_ties_are_equally_likely_and_everything_else_is_impossible(defence: nn.Module) -> None:
    defences.fit(defence, PUBLIC)
    released = defence(CLEAN)
    made = densities(defence, released)
    rows = [tuple(row) for row in released.tolist()]
    assert np.array_equal(made == 0, [[a == b for b in rows] for a in rows])
    assert np.isneginf(made[made != 0]).all()


def test_a_row_that_was_rounded_otherwise_still_finds_its_candidate() -> None:
    defence = defences.PCA(3).fit(PUBLIC)
    released = defence(CLEAN) * (1 + 1e-7)
    assert np.array_equal(densities(defence, released).argmax(axis=1), np.arange(20))
    assert np.isneginf(densities(defence, released + 1)).all()


def test_a_chain_has_the_likelihood_of_its_noise_behind_its_map() -> None:
    chain = defences.fit(nn.Sequential(defences.Clip(1), defences.PCA(2), defences.GaussianNoise(0.3)), PUBLIC)
    released = chain(CLEAN)
    mapped = chain[1](chain[0](CLEAN))
    expected = stats.norm(scale=0.3).logpdf(released.double().numpy()[:, None] - mapped.double().numpy()).sum(axis=2)
    np.testing.assert_allclose(densities(chain, released), expected, rtol=1e-9)


class Square(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.square()


class Declared(Square):
    deterministic = True


@pytest.mark.parametrize(
    "defence",
    [
        nn.Sequential(defences.GaussianNoise(1), defences.Clip(1)),
        nn.Sequential(defences.GaussianNoise(1), defences.Laplace(1)),
        nn.Sequential(Square(), defences.GaussianNoise(1)),
        Square(),
    ],
    ids=repr,
)
def test_without_an_exact_likelihood_there_is_none(defence: nn.Module) -> None:
    assert defences.log_likelihood(defence, CLEAN, CLEAN) is None
    assert defences.known_release(defence) is None


def test_noise_of_no_strength_and_declared_maps_keep_the_likelihood() -> None:
    chain = nn.Sequential(defences.GaussianNoise(0), Declared(), defences.Laplace(0.5))
    known = defences.known_release(chain)
    assert known is not None
    assert known.noise is chain[2]
    assert densities(nn.Sequential(defences.GaussianNoise(0)), CLEAN).argmax(axis=1).tolist() == list(range(20))
    assert densities(nn.Sequential(), CLEAN).argmax(axis=1).tolist() == list(range(20))


@pytest.mark.parametrize(
    "noise",
    [defences.GaussianNoise(0.7), defences.Laplace(0.4), defences.ShapedNoise(0.5, exponent=0.5)],
    ids=lambda noise: type(noise).__name__,
)
def test_scores_are_log_likelihoods_up_to_a_number_a_row(noise: defences.Defence) -> None:
    """Ceilings rank by scores: they must differ from the density by the same amount for every candidate."""
    drawn = np.random.default_rng(4)
    clean = torch.from_numpy((5 + drawn.standard_normal((30, 6)) * [3, 1, 1, 1, 0.5, 0.1]).astype(np.float32))
    if isinstance(noise, defences.ShapedNoise):
        noise.fit(clean)
    released = clean[:12] + torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    assert isinstance(noise, AdditiveNoise)
    difference = noise.scorer(clean)(released) - noise.log_likelihood(released, clean)
    assert float((difference - difference[:, :1]).abs().max()) < 1e-9
