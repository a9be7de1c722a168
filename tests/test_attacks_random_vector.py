"""Random vectors: their distribution, what keys them, and what the control refuses."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from scipy import stats

from featinv.attacks import MeanImage, RandomVector, Ridge
from featinv.errors import BadInput
from featinv.features import Pairs

PUBLIC = make_pairs(200)


def drawn(attack: RandomVector, count: int = 2000) -> np.ndarray:
    return attack.draw(torch.randn(count, 6)).numpy()


def test_normal_vectors_are_normal() -> None:
    vectors = drawn(RandomVector(Ridge().fit(PUBLIC)).fit(PUBLIC))
    assert stats.kstest(vectors.flatten(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(vectors.T) - np.eye(6)).max() < 0.1


def test_matched_vectors_have_the_public_moments_and_range() -> None:
    features = PUBLIC.features(np.arange(200))
    vectors = drawn(RandomVector(Ridge().fit(PUBLIC), source="matched").fit(PUBLIC), 5000)
    assert (vectors >= features.min(0)).all()
    assert (vectors <= features.max(0)).all()
    np.testing.assert_allclose(vectors.mean(0), features.mean(0), atol=0.1 * features.std(0).max())
    np.testing.assert_allclose(vectors.std(0), features.std(0), rtol=0.1)


def test_matched_vectors_of_positive_features_are_positive() -> None:
    features = np.abs(np.random.default_rng(0).normal(size=(200, 6))).astype(np.float32)
    pairs = Pairs(features, PUBLIC.images)
    assert drawn(RandomVector(Ridge().fit(pairs), source="matched").fit(pairs)).min() >= 0
    assert drawn(RandomVector(Ridge().fit(pairs)).fit(pairs)).min() < 0


def test_it_shows_the_attack_the_drawn_vectors() -> None:
    ridge = Ridge().fit(PUBLIC)
    control = RandomVector(ridge, source="matched").fit(PUBLIC)
    features = torch.randn(5, 6)
    torch.testing.assert_close(control.reconstruct(features), ridge.reconstruct(control.draw(features)))


def test_a_draw_depends_on_seed_and_vector_and_on_neither_row_nor_batch() -> None:
    control, other = (RandomVector(Ridge().fit(PUBLIC), seed=seed).fit(PUBLIC) for seed in (0, 1))
    features = torch.randn(7, 6)
    assert torch.equal(control.draw(features), control.draw(features))
    assert torch.equal(control.draw(features.flip(0)), control.draw(features).flip(0))
    assert torch.equal(control.draw(features[3:5]), control.draw(features)[3:5])
    assert not torch.equal(control.draw(features), other.draw(features))


def test_draws_say_nothing_of_the_vectors_that_they_replace() -> None:
    features = torch.randn(4000, 6)
    vectors = RandomVector(Ridge().fit(PUBLIC)).fit(PUBLIC).draw(features)
    assert abs(np.corrcoef(features.T.numpy(), vectors.T.numpy())[:6, 6:]).max() < 0.08


def test_spatial_features_keep_their_shape() -> None:
    pairs = make_pairs(40, shape=(3, 2, 2))
    control = RandomVector(Ridge().fit(pairs)).fit(pairs)
    assert control.reconstruct(torch.randn(4, 3, 2, 2)).shape == (4, 3, 8, 8)


def test_it_counts_the_parameters_of_the_attack() -> None:
    mean = MeanImage().fit(PUBLIC)
    assert RandomVector(mean).fit(PUBLIC).parameters == mean.parameters + 4 * 6


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(BadInput, match=r"source: expected normal or matched, got 'uniform'"):
        RandomVector(Ridge(), source="uniform")


def test_an_attack_that_is_not_fitted_on_such_pairs_is_refused() -> None:
    with pytest.raises(BadInput, match=r"attack: expected one fitted on .* shape \(6,\), got Ridge.* before fit"):
        RandomVector(Ridge()).fit(PUBLIC)
    with pytest.raises(BadInput, match=r"of shape \(6,\), got Ridge.* fitted on \(7,\)"):
        RandomVector(Ridge().fit(make_pairs(20, width=7))).fit(PUBLIC)


def test_vectors_are_checked_although_only_their_bytes_count() -> None:
    control = RandomVector(Ridge().fit(PUBLIC)).fit(PUBLIC)
    with pytest.raises(BadInput, match=r"expected shape \(B, 6\)"):
        control.reconstruct(torch.zeros(2, 7))
    with pytest.raises(BadInput, match=r"NaN or infinity in row 1"):
        control.reconstruct(torch.tensor([[0.0] * 6, [torch.nan] * 6]))
    with pytest.raises(BadInput, match=r"expected a fitted attack, got one before fit"):
        RandomVector(Ridge().fit(PUBLIC)).reconstruct(torch.zeros(2, 6))
