"""The closed forms against their definition, written as another computation."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs

from featinv.attacks import Ridge
from featinv.errors import BadInput
from featinv.features import Pairs


def ridge_by_svd(features: np.ndarray, targets: np.ndarray, queries: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge as ordinary least squares (an SVD) with sqrt(penalty) I appended to the inputs: no normal equations."""
    mean, deviation = features.mean(0), features.std(0)
    inputs = np.concatenate([(features - mean) / deviation, np.sqrt(penalty) * np.eye(features.shape[1])])
    outputs = np.concatenate([targets - targets.mean(0), np.zeros((features.shape[1], targets.shape[1]))])
    weight = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    return np.asarray(targets.mean(0) + (queries - mean) / deviation @ weight)


def parts(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    features, images = pairs.batch(np.arange(len(pairs)))
    return features.flatten(1).double().numpy(), images.flatten(1).double().numpy()


@pytest.mark.parametrize("penalty", [0.1, 10, 1000.0])
@pytest.mark.parametrize("rows", [7, 4096])
def test_ridge_is_penalised_least_squares(penalty: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.attacks.passes.MOST_ROWS", rows)
    pairs, queries = make_pairs(80), make_pairs(11, seed=1)
    features, targets = parts(pairs)
    expected = ridge_by_svd(features, targets, parts(queries)[0], penalty)
    got = Ridge(penalty=penalty).fit(pairs).reconstruct(queries.batch(np.arange(11))[0])
    np.testing.assert_allclose(got.flatten(1).numpy(), expected.clip(0, 1), atol=2e-5)


def test_ridge_flattens_spatial_features() -> None:
    flat, spatial = make_pairs(40, width=12), make_pairs(40, shape=(3, 2, 2))
    got = Ridge().fit(spatial).reconstruct(spatial.batch(np.arange(5))[0])
    torch.testing.assert_close(got, Ridge().fit(flat).reconstruct(flat.batch(np.arange(5))[0]))


def test_ridge_reconstructs_pictures_that_depend_linearly_on_the_vector() -> None:
    images = make_pairs(300, size=4, seed=3).images
    features = images.uint8(np.arange(300)).reshape(300, -1).astype(np.float32)
    got = Ridge(penalty=1e-6).fit(Pairs(features, images)).reconstruct(torch.from_numpy(features))
    torch.testing.assert_close(got, images.batch(np.arange(300)), atol=1e-4, rtol=0)


def test_ridge_survives_a_dimension_that_never_varies() -> None:
    pairs = make_pairs(40)
    features = np.concatenate([pairs.features(np.arange(40)), np.full((40, 1), 2.3, np.float32)], axis=1)
    got = Ridge().fit(Pairs(features, pairs.images)).reconstruct(torch.from_numpy(features[:4]))
    torch.testing.assert_close(got, Ridge().fit(pairs).reconstruct(torch.from_numpy(features[:4, :6])))


@pytest.mark.parametrize("penalty", [0, -1.0, float("nan"), float("inf")])
def test_ridge_refuses_a_penalty_that_is_not_above_zero(penalty: float) -> None:
    with pytest.raises(BadInput, match=r"penalty: expected a finite number above 0"):
        Ridge(penalty=penalty)
