"""Ranks against a naive loop, by hand, and at their extremes: perfect, constant, random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featinv import BadInput
from featinv.evaluation import ranks, wilson
from featinv.evaluation.reidentification import chance_mrr, chance_top, gallery_blocks


def naive(reconstructed: np.ndarray, gallery: np.ndarray) -> list[int]:
    """The rule of the design, one pair at a time, in float64."""
    mean = gallery.astype(np.float64).mean(axis=0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a.astype(np.float64) - mean, b.astype(np.float64) - mean
        length = np.sqrt((a * a).sum()) * np.sqrt((b * b).sum())
        return float((a * b).sum() / length) if length > 0 else 0.0

    result = []
    for i, row in enumerate(reconstructed):
        scores = [cosine(row, candidate) for candidate in gallery]
        result.append(1 + sum(scores[j] >= scores[i] - 1e-12 for j in range(len(gallery)) if j != i))
    return result


def features(count: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 40), width=st.integers(1, 6), noise=st.floats(0.0, 3.0))
def test_equals_a_naive_loop(seed: int, count: int, width: int, noise: float) -> None:
    gallery = features(count, width, seed)
    reconstructed = gallery + np.float32(noise) * features(count, width, seed + 1)
    assert ranks(reconstructed, gallery).tolist() == naive(reconstructed, gallery)


def test_by_hand() -> None:
    # The mean is 0, so that the cosines are those of the plane: candidates at 0, 90, 180 and 270 degrees.
    gallery = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.float32)
    reconstructed = np.array(
        [
            [5, 0.1],  # nearest to its own: rank 1
            [1, 0.9],  # own second, after candidate 0
            [1, 0.0],  # opposite to its own: last
            [1, 0.0],  # own at right angles, tied with candidate 1, behind candidate 0: the tie counts against it
        ],
        dtype=np.float32,
    )
    assert ranks(reconstructed, gallery).tolist() == [1, 2, 4, 3]


def test_perfect_copies_are_found_whatever_their_scale() -> None:
    gallery = features(60, 8, 0)
    assert ranks(gallery, gallery).tolist() == [1] * 60


def test_the_centre_is_the_gallerys_mean_and_not_the_origin() -> None:
    gallery = features(50, 8, 0)
    far = gallery + 1000
    reconstructed = gallery + 0.3 * features(50, 8, 1)
    assert ranks(reconstructed + 1000, far).tolist() == pytest.approx(ranks(reconstructed, gallery).tolist(), abs=1)


def test_everything_equal_is_the_worst_rank() -> None:
    constant = np.full((30, 4), 0.1, dtype=np.float32)
    assert ranks(features(30, 4, 0), constant).tolist() == [30] * 30
    assert ranks(np.tile(features(30, 4, 0).mean(axis=0, dtype=np.float64), (30, 1)), features(30, 4, 0)).min() == 30


def test_one_image_for_all_is_chance_and_no_more() -> None:
    """A constant reconstruction ranks every original once: each rank from 1 to N occurs exactly once."""
    gallery = features(200, 16, 0)
    found = ranks(np.tile(gallery[:1] + 0.5, (200, 1)), gallery)
    assert sorted(found.tolist()) == list(range(1, 201))


def test_duplicates_in_the_gallery_count_against_the_attacker() -> None:
    gallery = np.concatenate([features(20, 8, 0)] * 2)
    assert ranks(gallery, gallery).tolist() == [2] * 40


def test_random_features_are_at_chance() -> None:
    found = ranks(features(2000, 32, 1), features(2000, 32, 2))
    for k in (1, 10, 200):
        interval = wilson(int((found <= k).sum()), 2000, level=0.999)
        assert interval.low <= chance_top(k, 2000) <= interval.high
    assert (1 / found).mean() == pytest.approx(chance_mrr(2000), rel=0.5)
    assert found.mean() == pytest.approx(1000.5, rel=0.05)


def test_the_order_of_the_images_does_not_matter() -> None:
    gallery, reconstructed = features(80, 8, 0), features(80, 8, 0) + features(80, 8, 1)
    order = np.random.default_rng(0).permutation(80)
    assert ranks(reconstructed[order], gallery[order]).tolist() == ranks(reconstructed, gallery)[order].tolist()


def testgallery_blocks_of_memory_do_not_change_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, reconstructed = features(100, 8, 0), features(100, 8, 0) + features(100, 8, 1)
    whole = ranks(reconstructed, gallery)
    monkeypatch.setattr("featinv.evaluation.reidentification._CELLS", 100 * 7)
    assert ranks(reconstructed, gallery).tolist() == whole.tolist()


def test_what_is_not_finite_is_found_last() -> None:
    gallery = features(10, 4, 0)
    reconstructed = gallery.copy()
    reconstructed[3, 1] = np.nan
    reconstructed[5, 0] = np.inf
    assert ranks(reconstructed, gallery).tolist() == [1, 1, 1, 10, 1, 10, 1, 1, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n), st.integers(0, 99))))
def test_galleries_score_every_image_once_among_exactly_their_size(case: tuple[int, int, int]) -> None:
    count, size, seed = case
    blocks = gallery_blocks(count, size, seed)
    assert all(len(block) == size == len(set(block.tolist())) for block, _ in blocks)
    assert sorted(np.concatenate([block[:scored] for block, scored in blocks]).tolist()) == list(range(count))


def test_a_smaller_gallery_ranks_within_itsgallery_blocks() -> None:
    gallery, reconstructed = features(50, 6, 0), features(50, 6, 0) + features(50, 6, 1)
    found = ranks(reconstructed, gallery, size=20, seed=4)
    for block, scored in gallery_blocks(50, 20, 4):
        assert found[block[:scored]].tolist() == naive(reconstructed[block], gallery[block])[:scored]
    assert ranks(reconstructed, gallery, size=50).tolist() == ranks(reconstructed, gallery).tolist()


def test_a_smaller_gallery_is_a_function_of_the_seed() -> None:
    gallery, reconstructed = features(90, 6, 0), features(90, 6, 0) + features(90, 6, 1)
    assert (
        ranks(reconstructed, gallery, size=30, seed=1).tolist()
        == ranks(reconstructed, gallery, size=30, seed=1).tolist()
    )
    assert (
        ranks(reconstructed, gallery, size=30, seed=1).tolist()
        != ranks(reconstructed, gallery, size=30, seed=2).tolist()
    )


def test_chance() -> None:
    assert (chance_top(1, 5000), chance_top(10, 5000)) == (0.0002, 0.002)
    assert chance_top(10, 4) == 1.0
    # H_1000 / 1000 of the methods page: .0075.
    assert chance_mrr(1000) == pytest.approx(0.0075, abs=5e-5)
    assert chance_mrr(3) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_refusals() -> None:
    gallery = features(12, 4, 0)
    with pytest.raises(BadInput, match="gallery of 1000 asked for, 12 private images given"):
        ranks(gallery, gallery, size=1000)
    with pytest.raises(BadInput, match="at least 2 candidates"):
        ranks(gallery, gallery, size=1)
    broken = gallery.copy()
    broken[0, 0] = np.nan
    with pytest.raises(BadInput, match="originals are not finite"):
        ranks(gallery, broken)
    with pytest.raises(BadInput, match="one row an image in both"):
        ranks(gallery, gallery[:5].repeat(2, axis=1).reshape(10, 4))
