"""Linkage of released vectors, by distance and after alignment."""

import math

import numpy as np
import pytest
from alignment_clouds import cloud, rotation
from scipy.spatial.distance import cdist

from featinv.errors import BadInput
from featinv.evaluation import aligned_linkage, alignment_curve, nearest_linkage, ranks


def test_euclidean_ranks_are_those_of_scipys_distances() -> None:
    candidates = 100 + cloud(300)
    released = candidates + np.random.default_rng(0).standard_normal(candidates.shape).astype(np.float32)
    distances = cdist(released.astype(np.float64), candidates.astype(np.float64))
    expected = (distances <= np.diag(distances)[:, None]).sum(axis=1)
    found = nearest_linkage(released, candidates)
    np.testing.assert_array_equal(found.ranks, expected)
    assert found.gallery == 300
    assert found.top(1).mean == (expected == 1).mean()
    assert found.top(10).chance == pytest.approx(10 / 300)


def test_two_candidates_under_gaussian_noise_are_told_apart_as_often_as_the_formula_says() -> None:
    # P = Phi(d / 2 sigma), the likelihood ratio of two equal covariances.
    distance, sigma, count = 1.0, 0.8, 2000
    candidates = np.zeros((2 * count, 3), dtype=np.float32)
    candidates[1::2, 0] = distance
    candidates[:, 1] = np.repeat(np.arange(count), 2) * 20  # pairs far from each other
    released = (candidates + sigma * np.random.default_rng(0).standard_normal(candidates.shape)).astype(np.float32)
    expected = 0.5 * (1 + math.erf(distance / (2 * sigma) / math.sqrt(2)))
    assert nearest_linkage(released, candidates).top(1).mean == pytest.approx(expected, abs=0.02)


def test_equal_candidates_tie_against_the_attacker_and_galleries_are_disjoint() -> None:
    codes = np.repeat(cloud(10), 5, axis=0)
    np.testing.assert_array_equal(nearest_linkage(codes, codes).ranks, 5)
    np.testing.assert_array_equal(nearest_linkage(codes, codes, metric="cosine").ranks, 5)
    candidates = cloud(100)
    small = nearest_linkage(candidates, candidates, size=20)
    assert small.gallery == 20
    assert small.top(1).mean == 1
    noisy = candidates + 2 * np.random.default_rng(0).standard_normal(candidates.shape).astype(np.float32)
    assert nearest_linkage(noisy, candidates, size=20).top(1).mean > nearest_linkage(noisy, candidates).top(1).mean
    np.testing.assert_array_equal(
        nearest_linkage(noisy, candidates, metric="cosine", size=20, seed=3).ranks,
        ranks(noisy, candidates, size=20, seed=3),
    )


def test_a_key_hides_from_distance_and_not_from_alignment() -> None:
    own, candidates, turn = cloud(500), cloud(300, seed=1), rotation(16).astype(np.float32)
    released = candidates @ turn
    assert nearest_linkage(released, candidates).top(1).mean < 0.05
    found = aligned_linkage(released, candidates, own, known_rows=range(5))
    assert found.top(1).mean == 1
    assert found.top(1).n == 295
    assert found.alignment is not None
    assert found.alignment.pairs == 5


def test_the_curve_rises_with_the_pairs_and_says_what_was_believed() -> None:
    own, candidates, turn = cloud(500), cloud(300, seed=1), rotation(16)
    noise = np.random.default_rng(0).standard_normal(candidates.shape)
    released = ((candidates + noise) @ turn).astype(np.float32)
    points = alignment_curve(released, candidates, own, pairs=(2, 16, 128), draws=3, unpaired=False)
    first, middle, last = (point.top1.mean for point in points)
    assert first < middle < last
    ceiling = nearest_linkage((candidates + noise).astype(np.float32), candidates).top(1)  # no key at all
    assert last <= ceiling.high + 0.03
    assert [len(point.methods) for point in points] == [3, 3, 3]
    assert points[-1].identified == 1
    assert all(point.lowest <= point.top1.mean + 0.05 and point.top1.mean - 0.05 <= point.highest for point in points)
    again = alignment_curve(released, candidates, own, pairs=(2, 16, 128), draws=3, unpaired=False)
    assert points == again


def test_bad_input_of_linkage_is_one_line() -> None:
    vectors = cloud(100)
    with pytest.raises(BadInput, match=r"metric: expected euclidean or cosine, got 'manhattan'"):
        nearest_linkage(vectors, vectors, metric="manhattan")
    with pytest.raises(BadInput, match=r"got \(100, 16\) and \(100, 4\)"):
        nearest_linkage(vectors, vectors[:, :4])
    broken = vectors.copy()
    broken[0] = np.inf
    with pytest.raises(BadInput, match=r"finite"):
        nearest_linkage(broken, vectors)
    with pytest.raises(BadInput, match=r"distinct rows of 0\.\.99"):
        aligned_linkage(vectors, vectors, vectors, known_rows=[1, 1])
    with pytest.raises(BadInput, match=r"got 99 known"):
        aligned_linkage(vectors, vectors, vectors, known_rows=range(99))
    with pytest.raises(BadInput, match=r"pairs: expected 0 to 98 of 100 released vectors, got 99"):
        alignment_curve(vectors, vectors, vectors, pairs=[99])
    with pytest.raises(BadInput, match=r"draws"):
        alignment_curve(vectors, vectors, vectors, draws=0)
