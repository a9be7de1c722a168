"""Representational similarity against a loop by hand, and the laws that it obeys."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featinv as fi
from featinv.evaluation import representational_similarity


def by_hand(features: np.ndarray, others: np.ndarray) -> float:
    def cosines(rows: list[list[float]]) -> list[float]:
        width, count = len(rows[0]), len(rows)
        mean = [sum(row[k] for row in rows) / count for k in range(width)]
        centred = [[row[k] - mean[k] for k in range(width)] for row in rows]
        norm = [math.sqrt(sum(x * x for x in row)) for row in centred]
        return [
            sum(a * b for a, b in zip(centred[i], centred[j], strict=True)) / norm[i] / norm[j]
            for i in range(count)
            for j in range(i)
        ]

    ours, theirs = cosines(features.tolist()), cosines(others.tolist())
    mine, other = sum(ours) / len(ours), sum(theirs) / len(theirs)
    covariance = sum((a - mine) * (b - other) for a, b in zip(ours, theirs, strict=True))
    return covariance / math.sqrt(sum((a - mine) ** 2 for a in ours) * sum((b - other) ** 2 for b in theirs))


@given(st.integers(0, 2**32 - 1))
def test_it_is_the_correlation_of_cosines_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, others = rng.normal(size=(12, 5)), rng.normal(size=(12, 3))
    assert representational_similarity(features, others) == pytest.approx(by_hand(features, others), abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_rotation_scale_and_shift_of_the_features_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, others = rng.normal(size=(40, 6)), rng.normal(size=(40, 9))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moved = 3.7 * features @ rotation + rng.normal(size=6)
    assert representational_similarity(features, moved) == pytest.approx(1)
    before = representational_similarity(features, others)
    assert representational_similarity(moved, others) == pytest.approx(before)
    assert representational_similarity(others, features) == pytest.approx(before)


def test_networks_that_see_different_things_are_not_alike() -> None:
    rng = np.random.default_rng(0)
    shared, own, others = (rng.normal(size=(400, 8)) for _ in range(3))
    assert abs(representational_similarity(own, others)) < 0.02
    half = representational_similarity(np.hstack([shared, own]), np.hstack([shared, others]))
    assert 0.3 < half < 0.7


@pytest.mark.parametrize(
    ("features", "others", "message"),
    [
        (np.ones((9, 2)), np.ones((9, 2)), "10 images or more, got 9 and 9"),
        (np.ones((12, 2)), np.ones((11, 2)), "got 12 and 11"),
        (np.full((12, 2), np.nan), np.eye(12), "expected finite numbers"),
        (np.ones((12, 2)), np.eye(12), "differ from the mean of all"),
        (np.eye(12), np.random.default_rng(0).normal(size=(12, 3)), "more alike than others"),
    ],
)
def test_what_says_nothing_is_refused(features: np.ndarray, others: np.ndarray, message: str) -> None:
    with pytest.raises(fi.BadInput, match=message):
        representational_similarity(features, others)
