"""The closed forms against their definition, written as another computation."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from scipy import stats

from featinv.attacks import MeanImage, RandomFourier, Ridge
from featinv.attacks.random_fourier import PENALTIES
from featinv.data import ImageSet
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


def test_ridge_reconstructs_images_that_depend_linearly_on_the_vector() -> None:
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


def kernel_ridge(attack: RandomFourier, features: np.ndarray, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The same prediction from the dual: n x n kernel of the lifted, centred rows instead of normal equations."""
    t = {name: tensor.double().numpy() for name, tensor in attack.tensors.items()}

    def lift(rows: np.ndarray) -> np.ndarray:
        z = (rows - features.mean(0)) / features.std(0)
        return np.concatenate([np.cos(z @ t["frequencies"] + t["phases"]), z], axis=1)

    rows, asked = lift(features), lift(queries)
    kernel = (rows - rows.mean(0)) @ (rows - rows.mean(0)).T
    dual = np.linalg.solve(kernel + attack.chosen["penalty"] * np.eye(len(rows)), targets - targets.mean(0))
    return np.asarray(targets.mean(0) + (asked - rows.mean(0)) @ (rows - rows.mean(0)).T @ dual)


@pytest.mark.parametrize(("scale", "penalty"), [(0.3, 2.0), (None, 2), (1, None), (None, None)])
def test_random_fourier_is_kernel_ridge(scale: float | None, penalty: float | None) -> None:
    pairs, queries = make_pairs(60), make_pairs(11, seed=1)
    attack = RandomFourier(count=50, scale=scale, penalty=penalty).fit(pairs)
    expected = kernel_ridge(attack, *parts(pairs), parts(queries)[0])
    got = attack.reconstruct(queries.batch(np.arange(11))[0])
    np.testing.assert_allclose(got.flatten(1).numpy(), expected.clip(0, 1), atol=1e-4)
    assert scale is None or attack.chosen["scale"] == scale
    assert penalty is None or attack.chosen["penalty"] == penalty


def test_random_fourier_draws_normal_frequencies_and_uniform_phases() -> None:
    tensors = RandomFourier(count=4000, scale=0.05, penalty=1).fit(make_pairs(20, size=2)).tensors
    assert stats.kstest(tensors["frequencies"].flatten().numpy(), "norm", args=(0, 0.05)).pvalue > 1e-3
    assert stats.kstest(tensors["phases"].numpy(), "uniform", args=(0, 2 * np.pi)).pvalue > 1e-3


def test_random_fourier_beats_ridge_where_the_image_is_not_linear_in_the_vector() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(1200, 2)).astype(np.float32)
    brightness = 127.5 + 100 * np.sin(2 * features[:, 0]) * np.cos(features[:, 1])
    pixels = np.broadcast_to(brightness[:, None, None, None], (1200, 2, 2, 3)).astype(np.uint8)
    images = ImageSet(np.ascontiguousarray(pixels), ids=[str(row) for row in range(1200)])
    public, private = Pairs(features[:900], images.take(np.arange(900))), images.batch(np.arange(900, 1200))
    unseen = torch.from_numpy(features[900:])
    errors = {
        name: (attack.fit(public).reconstruct(unseen) - private).square().mean()
        for name, attack in (("ridge", Ridge()), ("random features", RandomFourier(count=200)))
    }
    assert errors["random features"] < 0.2 * errors["ridge"]


def test_random_fourier_chooses_on_held_out_pairs() -> None:
    # Pure noise: the strongest penalty that is tried predicts best, and only pairs that are held out can tell.
    generator = np.random.default_rng(0)
    images = make_pairs(200, size=4).images
    pairs = Pairs(generator.normal(size=(200, 6)).astype(np.float32), images)
    attack = RandomFourier(count=300).fit(pairs)
    assert attack.chosen["penalty"] == pytest.approx(max(PENALTIES) * 200)


def test_random_fourier_finds_a_weak_signal_in_long_vectors_of_few_pairs() -> None:
    """Between a penalty that fits the noise of 1,280 numbers and one that gives the mean image there are others."""
    generator = np.random.default_rng(0)
    latent = generator.normal(size=(400, 8))
    features = 0.2 * latent @ generator.normal(size=(8, 1280)) + generator.normal(size=(400, 1280))
    pixels = 128 + 15 * latent @ generator.normal(size=(8, 48)) / 8**0.5 + 50 * generator.normal(size=(400, 48))
    pixels = pixels.clip(0, 255).astype(np.uint8).reshape(400, 4, 4, 3)
    images = ImageSet(pixels, ids=[str(row) for row in range(400)])
    public = Pairs(features[:200].astype(np.float32), images.take(np.arange(200)))
    unseen, originals = torch.from_numpy(features[200:].astype(np.float32)), images.batch(np.arange(200, 400))
    errors = [
        float((attack.fit(public).reconstruct(unseen) - originals).square().mean())
        for attack in (RandomFourier(count=50), MeanImage())
    ]
    assert errors[0] < 0.99 * errors[1]


def test_random_fourier_is_the_same_for_the_same_seed_only() -> None:
    pairs, queries = make_pairs(40), make_pairs(4, seed=1).batch(np.arange(4))[0]
    first, again, other = (RandomFourier(count=30, seed=seed).fit(pairs).reconstruct(queries) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_random_fourier_refuses_what_it_cannot_use() -> None:
    with pytest.raises(BadInput, match=r"count: expected at least 1 random feature, got 0"):
        RandomFourier(count=0)
    with pytest.raises(BadInput, match=r"scale: expected a finite number above 0, got -1"):
        RandomFourier(scale=-1)
    with pytest.raises(BadInput, match=r"penalty: expected a finite number above 0, got 0"):
        RandomFourier(penalty=0)
    with pytest.raises(BadInput, match=r"expected at least 10 to choose scale and penalty on, got 9"):
        RandomFourier(count=5).fit(make_pairs(9))
    RandomFourier(count=5, scale=0.1, penalty=1.0).fit(make_pairs(9))
