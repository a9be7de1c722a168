"""The controls against plain NumPy, and what they refuse."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs

from featinv.attacks import MeanImage, NearestNeighbour, NeighbourAverage, PredictedClassMean
from featinv.attacks.neighbours import BANK_ROWS, nearest
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features import Pairs


def brute_force(queries: np.ndarray, bank: np.ndarray, count: int) -> np.ndarray:
    """Neighbours by definition: every distance in float64, then a stable sort."""
    distances = ((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(2)
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def standardised(features: np.ndarray, of: np.ndarray) -> np.ndarray:
    return ((features - of.mean(0, dtype=np.float64)) / of.std(0, dtype=np.float64)).astype(np.float32)


def test_mean_image_is_numpys_mean() -> None:
    pairs = make_pairs(40)
    expected = pairs.images.uint8(np.arange(40)).astype(np.float64).mean(0).transpose(2, 0, 1) / 255
    got = MeanImage().fit(pairs).reconstruct(torch.zeros(3, 6))
    np.testing.assert_allclose(got.numpy(), np.stack([expected] * 3), atol=1e-6)


def test_mean_image_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_pairs(40)
    whole = MeanImage().fit(pairs).reconstruct(torch.zeros(1, 6))
    monkeypatch.setattr("featinv.attacks.passes.MOST_ROWS", 7)
    torch.testing.assert_close(MeanImage().fit(pairs).reconstruct(torch.zeros(1, 6)), whole)


def test_nearest_neighbour_finds_what_brute_force_finds() -> None:
    pairs, queries = make_pairs(60, seed=1), make_pairs(25, seed=2).features(np.arange(25))
    bank = pairs.features(np.arange(60))
    rows = brute_force(standardised(queries, bank), standardised(bank, bank), 1)[:, 0]
    got = NearestNeighbour().fit(pairs).reconstruct(torch.from_numpy(queries))
    np.testing.assert_array_equal((got * 255).round().numpy(), pairs.images.uint8(rows).transpose(0, 3, 1, 2))


def test_neighbour_average_is_the_mean_of_the_k_nearest() -> None:
    pairs, queries = make_pairs(60, seed=1), make_pairs(25, seed=2).features(np.arange(25))
    bank = pairs.features(np.arange(60))
    rows = brute_force(standardised(queries, bank), standardised(bank, bank), 5)
    expected = (
        np.stack([pairs.images.uint8(row).astype(np.float64).mean(0) for row in rows]).transpose(0, 3, 1, 2) / 255
    )
    got = NeighbourAverage(k=5).fit(pairs).reconstruct(torch.from_numpy(queries))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


def test_a_public_vector_finds_its_own_image_where_one_dimension_never_varies() -> None:
    features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    features[:, 2] = 3.7
    pairs = Pairs(features, make_pairs(30).images)
    got = NearestNeighbour().fit(pairs).reconstruct(torch.from_numpy(features))
    torch.testing.assert_close(got, pairs.images.batch(np.arange(30)))


@pytest.mark.parametrize("count", [1, 16])
def test_search_is_exact_across_blocks_of_the_bank(count: int) -> None:
    generator = np.random.default_rng(3)
    bank = generator.normal(size=(BANK_ROWS + 300, 8)).astype(np.float32)
    queries = generator.normal(size=(40, 8)).astype(np.float32)
    got = nearest(torch.from_numpy(queries), torch.from_numpy(bank), count)
    np.testing.assert_array_equal(got.numpy(), brute_force(queries, bank, count))


def test_search_is_exact_where_float32_products_cannot_tell_neighbours_apart() -> None:
    # Far from the origin |b|^2 / 2 - q.b loses the differences that order the neighbours.
    generator = np.random.default_rng(4)
    bank = (10_000 + generator.normal(size=(500, 8))).astype(np.float32)
    queries = (10_000 + generator.normal(size=(20, 8))).astype(np.float32)
    got = nearest(torch.from_numpy(queries), torch.from_numpy(bank), 3)
    np.testing.assert_array_equal(got.numpy(), brute_force(queries, bank, 3))


def test_ties_go_to_the_lowest_row_whatever_the_batch() -> None:
    bank = torch.ones(2 * BANK_ROWS, 4)
    queries = torch.randn(9, 4)
    assert nearest(queries, bank, 2).tolist() == [[0, 1]] * 9
    assert nearest(queries[4:5], bank, 2).tolist() == [[0, 1]]


def test_predicted_class_mean_answers_with_the_mean_of_the_right_class() -> None:
    generator = np.random.default_rng(5)
    labels = np.repeat([0, 2, 3], 20)
    centres = 8 * np.eye(4, 6)
    features = (centres[labels] + generator.normal(size=(60, 6))).astype(np.float32)
    pixels = generator.integers(0, 256, size=(60, 8, 8, 3), dtype=np.uint8)
    images = ImageSet(pixels, ids=[f"{i}" for i in range(60)], labels=labels, classes=("a", "b", "c", "d"))
    got = PredictedClassMean().fit(Pairs(features, images)).reconstruct(torch.from_numpy(features))
    expected = np.stack([pixels[labels == label].astype(np.float64).mean(0) / 255 for label in labels])
    np.testing.assert_allclose(got.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_predicted_class_mean_refuses_images_without_labels() -> None:
    with pytest.raises(BadInput, match=r"labels for PredictedClassMean, got none"):
        PredictedClassMean().fit(make_pairs(10, labelled=False))


@pytest.mark.parametrize("k", [0, -3])
def test_neighbour_average_refuses_less_than_one_neighbour(k: int) -> None:
    with pytest.raises(BadInput, match=rf"at least 1 neighbour, got {k}"):
        NeighbourAverage(k=k)


def test_neighbour_average_refuses_more_neighbours_than_pairs() -> None:
    with pytest.raises(BadInput, match=r"at most the 10 public pairs, got 11"):
        NeighbourAverage(k=11).fit(make_pairs(10))


def test_images_are_not_copied_at_fit() -> None:
    pairs = make_pairs(20)
    attack = NearestNeighbour().fit(pairs)
    assert attack._images is pairs.images
    assert attack.parameters == 2 * 6 + 20 * 6 + 20 * 3 * 8 * 8
