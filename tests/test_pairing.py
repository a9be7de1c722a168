"""Vectors and images that belong together are confirmed, and any other order is not."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

import featinv as fi
from featinv.evaluation.pairing import exchange_test

PUBLIC, PRIVATE = 200, 100


def sides(seed: int, public: int = PUBLIC, private: int = PRIVATE) -> tuple[fi.Pairs, fi.Release]:
    """Scenes in the order of their classes, as class folders are read, with the vectors of the packaged encoder."""
    images = fi.data.scenes(public + private, size=32, seed=seed)
    encoder = fi.encoders.tiny()
    made = []
    for rows in (np.arange(public), np.arange(public, public + private)):
        ordered = images.take(rows[np.argsort(images.labels[rows], kind="stable")])
        made.append((encoder(ordered.batch(range(len(ordered)))).numpy(), ordered))
    (x, a), (y, b) = made
    return fi.Pairs(x, a), fi.Release(y, {}, b)


@pytest.fixture(scope="module")
def clean() -> tuple[fi.Pairs, fi.Release]:
    return sides(3)


def damaged(release: fi.Release, order: np.ndarray) -> fi.Release:
    return fi.Release(release.features[order], {}, release.truth)


def test_the_exchange_test_agrees_with_all_permutations() -> None:
    """Against every permutation of blocks of 7: mean, variance, and p where the normal approximation is asked for."""
    scores = np.random.default_rng(0).normal(size=(7, 7)) + 0.55 * np.eye(7)
    sums = np.array([sum(scores[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(7))])
    z = (np.trace(scores) - sums.mean()) / sums.std()
    assert exchange_test([scores]) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-9)
    assert exchange_test([scores]) == pytest.approx((sums >= np.trace(scores) - 1e-12).mean(), abs=0.01)


def test_its_p_is_uniform_where_nothing_is_paired() -> None:
    rng = np.random.default_rng(1)
    p = [exchange_test([rng.normal(size=(30, 30)) for _ in range(3)]) for _ in range(400)]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01
    assert exchange_test([np.zeros((30, 30))]) == 1.0


def test_clean_sides_are_confirmed(clean: tuple[fi.Pairs, fi.Release]) -> None:
    pairing = fi.evaluation.check_pairing(*clean)
    assert pairing.confirmed
    assert pairing.agreement > 0.85
    assert "confirmed (public p < 0.0001, private p < 0.0001)" in pairing.text


@pytest.mark.parametrize("kind", ["all", "within classes", "tail shifted by one", "half", "reversed"])
@pytest.mark.parametrize("side", ["public", "private"])
def test_rows_in_another_order_are_not(clean: tuple[fi.Pairs, fi.Release], kind: str, side: str) -> None:
    """To know the class is not enough, and a missing image in the middle moves only what follows."""
    pairs, release = clean
    images = pairs.images if side == "public" else release.truth
    rng, order = np.random.default_rng(5), np.arange(len(images))
    match kind:
        case "all":
            order = rng.permutation(order)
        case "within classes":
            for label in np.unique(images.labels):
                rows = np.flatnonzero(images.labels == label)
                order[rows] = rng.permutation(rows)
        case "tail shifted by one":
            order[len(order) // 2 :] = np.roll(order[len(order) // 2 :], 1)
        case "half":
            rows = np.sort(rng.choice(len(order), len(order) // 2, replace=False))
            order[rows] = rng.permutation(rows)
        case "reversed":
            order = order[::-1].copy()
    if side == "public":
        pairs = fi.Pairs(pairs.features(order), pairs.images)
    else:
        release = damaged(release, order)
    pairing = fi.evaluation.check_pairing(pairs, release)
    assert not pairing.confirmed
    assert "confirmed (" not in pairing.text


def test_vectors_that_hold_nothing_are_not(clean: tuple[fi.Pairs, fi.Release]) -> None:
    pairs, release = clean
    for private in (np.ones_like(release.features), np.random.default_rng(0).normal(size=release.features.shape)):
        pairing = fi.evaluation.check_pairing(pairs, fi.Release(private.astype(np.float32), {}, release.truth))
        assert not pairing.confirmed
    constant = fi.Pairs(np.zeros((len(pairs), 64), np.float32), pairs.images)
    assert not fi.evaluation.check_pairing(constant, release).confirmed


def test_maps_and_long_vectors_are_projected() -> None:
    """(C, h, w) maps above 512-d; a vector with one huge number does not hide the others."""
    pairs, release = sides(8, 120, 60)
    wide = np.random.default_rng(0).normal(size=(64, 16 * 8 * 8)).astype(np.float32)
    maps = [x @ wide for x in (pairs.features(range(120)), release.features)]
    shaped = [m.reshape(len(m), 16, 8, 8) for m in maps]
    pairing = fi.evaluation.check_pairing(fi.Pairs(shaped[0], pairs.images), fi.Release(shaped[1], {}, release.truth))
    assert pairing.confirmed


def test_clean_sides_are_never_refused() -> None:
    """Eight clean audits (docs/fail_closed.md has a hundred) at the sizes that docs/fail_closed.md gives 99 % power."""
    refused = [seed for seed in range(8) if not fi.evaluation.check_pairing(*sides(100 + seed, 120, 60)).confirmed]
    assert refused == []


def test_too_few_rows_are_refused() -> None:
    pairs, release = sides(3, 60, 10)
    with pytest.raises(fi.BadInput, match="at least 8 public and 2 private rows, got 7 and 10"):
        fi.evaluation.check_pairing(pairs.take(range(7)), release)
    with pytest.raises(fi.BadInput, match="needs the private images"):
        fi.evaluation.check_pairing(pairs, fi.Release(release.features, {}))
    assert math.isfinite(fi.evaluation.check_pairing(pairs, release).p_private)
