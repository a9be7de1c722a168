"""Alignment of a release with the attacker's own vectors, with known pairs and without."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from alignment_clouds import cloud, rotation
from attack_pairs import make_pairs

import featinv as fi
from featinv.attacks.aligned import align
from featinv.attacks.alignment import align_pairs
from featinv.attacks.unpaired_alignment import align_unpaired, nearest_fit


def linked(alignment: Any, released: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of released vectors whose own vector is the nearest, by scipy's distances."""
    from scipy.spatial.distance import cdist

    distances = cdist(alignment.determined(alignment(released)), alignment.determined(truth))
    return float((distances.argmin(axis=1) == np.arange(len(truth))).mean())


@pytest.mark.parametrize("pairs", [16, 17, 40])
def test_a_rotation_is_recovered_exactly_from_as_many_pairs_as_dimensions(pairs: int) -> None:
    own, truth, turn = cloud(300), cloud(200, seed=1), rotation(16)
    released = (truth @ turn).astype(np.float32)
    alignment = align_pairs(released[:pairs], truth[:pairs], released, own)
    np.testing.assert_allclose(alignment.weight, turn.T, atol=1e-4)
    np.testing.assert_allclose(alignment(released), truth, atol=1e-3)
    assert alignment.identified
    assert alignment.pairs == pairs


def test_few_pairs_determine_few_directions_and_all_inner_products_in_them() -> None:
    own, truth, turn = cloud(300), cloud(200, seed=1), rotation(16)
    released = truth @ turn.astype(np.float32)
    alignment = align_pairs(released[:4], truth[:4], released, own)
    assert alignment.basis.shape == (16, 4)
    np.testing.assert_allclose(alignment.basis.T @ alignment.basis, np.eye(4), atol=1e-10)
    # Hand derivation: a rotation keeps <x, a_i>, so that coordinates in the span of the pairs agree.
    np.testing.assert_allclose(alignment.determined(alignment(released)), alignment.determined(truth), atol=1e-3)
    assert linked(alignment, released, truth) == 1.0


def test_what_few_pairs_leave_open_is_filled_with_its_expectation() -> None:
    own, truth, turn = cloud(2000), cloud(400, seed=1), rotation(16)
    released = truth @ turn.astype(np.float32)
    filled = align_pairs(released[:8], truth[:8], released, own)
    centre = own.mean(axis=0)
    left_out = (truth - centre) @ filled.basis @ filled.basis.T + centre
    assert np.square(filled(released) - truth).mean() < 0.9 * np.square(left_out - truth).mean()


def test_ridge_is_chosen_where_the_map_is_no_rotation() -> None:
    own, truth = cloud(300), cloud(400, seed=1)
    map_ = np.random.default_rng(0).standard_normal((16, 12)) * np.geomspace(0.1, 10, 12)
    released = (truth @ rotation(16) @ np.diag(np.geomspace(0.05, 20, 16))).astype(np.float32)
    alignment = align_pairs(released[:100], truth[:100], released, own)
    assert alignment.method.startswith("ridge")
    assert linked(alignment, released[100:], truth[100:]) > 0.9
    narrow = (truth @ map_).astype(np.float32)
    assert align_pairs(narrow[:60], truth[:60], narrow, own).weight.shape == (12, 16)


def test_a_rotation_is_found_without_any_pair() -> None:
    own, truth, turn = cloud(2000), cloud(500, seed=1), rotation(16)
    released = truth @ turn.astype(np.float32)
    alignment = align_unpaired(released, own, runs=1)
    assert alignment.identified
    assert alignment.pairs == 0
    assert linked(alignment, released, truth) > 0.98
    again = align_unpaired(released, own, runs=1)
    np.testing.assert_array_equal(alignment.weight, again.weight)


def test_a_rotation_under_noise_is_found_without_any_pair() -> None:
    own, truth, turn = cloud(2000), cloud(500, seed=1), rotation(16)
    noise = 0.1 * np.random.default_rng(0).standard_normal(truth.shape)
    released = ((truth + noise) @ turn).astype(np.float32)
    alignment = align_unpaired(released, own, runs=1)
    known = align_pairs((truth @ turn).astype(np.float32), truth, released, own)  # the true rotation
    assert linked(alignment, released, truth) > 0.9 * linked(known, released, truth)


@pytest.mark.parametrize("space", [1, 2, 3])
def test_unrelated_spaces_fail_and_the_attacker_knows(space: int) -> None:
    own, truth = cloud(1000), cloud(300, seed=1)
    released = cloud(300, space=space, seed=7)
    alignment = align_unpaired(released, own, runs=1)
    assert not alignment.identified
    assert linked(alignment, released, truth) < 0.05
    pairs = align_pairs(released[:30], truth[:30], released, own)
    assert linked(pairs, released[30:], truth[30:]) < 0.2


def test_unrelated_pairs_are_not_believed() -> None:
    own, noise = cloud(300), np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    believed = [
        align_pairs(noise[start : start + 20], cloud(20, seed=100 + start), noise, own).identified
        for start in range(0, 200, 20)
    ]
    assert sum(believed) <= 1


def test_the_fit_is_one_for_the_same_distribution_and_less_for_another() -> None:
    own = cloud(2000)
    assert nearest_fit(cloud(500, seed=9), own) == pytest.approx(1, abs=0.08)
    assert nearest_fit(cloud(500, space=5, seed=9), own) < 0.7


def test_pairs_decide_between_both_kinds_of_alignment() -> None:
    own, truth, turn = cloud(2000), cloud(1000, seed=1), rotation(16)
    noise = 0.5 * np.random.default_rng(0).standard_normal(truth.shape)
    released = ((truth + noise) @ turn).astype(np.float32)
    known = released[:3], truth[:3]
    paired = align(released, own, known, unpaired=False)
    # What an alignment without pairs would find at best, and one that failed.
    free = dataclasses.replace(align_pairs(released, truth, released, own), method="free", identified=True)
    spoilt = dataclasses.replace(free, weight=free.weight[::-1])
    assert linked(free, released, truth) > linked(paired, released, truth) + 0.1
    assert align(released, own, known, unpaired=free) is free
    assert align(released, own, (released[:60], truth[:60]), unpaired=spoilt).pairs == 60


@pytest.fixture(scope="module")
def sides() -> tuple[Any, Any, np.ndarray]:
    """Own public pairs, private pairs and a rotation; the vectors say much of the images."""
    return make_pairs(300, width=12, seed=0), make_pairs(80, width=12, seed=1), rotation(12).astype(np.float32)


def test_an_aligned_attack_reconstructs_as_the_attack_within_does_without_the_key(sides: Any) -> None:
    public, private, turn = sides
    clean = private.features(np.arange(80))
    inner = fi.attacks.Ridge().fit(public)
    attack = fi.attacks.Aligned(inner, pairs=20).fit(public).align(clean @ turn, known=(clean[:20] @ turn, clean[:20]))
    expected = inner.reconstruct(torch.from_numpy(clean))
    torch.testing.assert_close(attack.reconstruct(torch.from_numpy(clean @ turn)), expected, atol=1e-3, rtol=0)
    assert attack.alignment is not None
    assert attack.alignment.pairs == 20
    with pytest.raises(fi.BadInput, match=r"at least 20 known pairs, got none"):
        attack.align(clean @ turn)


def test_alignment_reads_vectors_and_metadata_of_a_release_and_nothing_else(sides: Any) -> None:
    public, private, turn = sides
    clean = private.features(np.arange(80))

    class Guarded:
        def __init__(self) -> None:
            self.features = clean @ turn
            self.metadata = {**private.metadata, "fingerprint": "k", "seed": 3, "private_fingerprint": "secret"}

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the attack asked for {name}")

    attack = fi.attacks.Aligned(fi.attacks.Ridge().fit(public), pairs=12).fit(public)
    attack.align(Guarded(), known=(clean[:12] @ turn, clean[:12]))
    assert attack.victim["fingerprint"] == "k"
    assert "private_fingerprint" not in attack.victim


def test_bad_input_of_alignment_is_one_line(sides: Any) -> None:
    public = sides[0]
    own = cloud(100)
    broken = own.copy()
    broken[3, 2] = np.nan
    with pytest.raises(fi.BadInput, match=r"at least 64 vectors, got 20; give more, or known pairs"):
        align_unpaired(own[:20], own)
    with pytest.raises(fi.BadInput, match=r"released: expected finite vectors"):
        align_unpaired(broken, own)
    with pytest.raises(fi.BadInput, match=r"runs: expected at least 1, got 0"):
        align_unpaired(own, own, runs=0)
    with pytest.raises(fi.BadInput, match=r"expected vectors that differ"):
        align_unpaired(np.ones((100, 4), dtype=np.float32), own)
    with pytest.raises(fi.BadInput, match=r"got 3 and 2"):
        align_pairs(own[:3], own[:2], own, own)
    with pytest.raises(fi.BadInput, match=r"own vectors of width 16, got shape \(3, 4\)"):
        align_pairs(own[:3], own[:3, :4], own, own)
    with pytest.raises(fi.BadInput, match=r"at least one pair, got 0 and 0"):
        align_pairs(own[:0], own[:0], own, own)
    with pytest.raises(fi.BadInput, match=r"known: expected finite"):
        align_pairs(broken[:5], own[:5], own, own)
    with pytest.raises(fi.BadInput, match=r"width 16, got 4"):
        align_pairs(own[:16], own[:16], own, own)(own[:, :4])
    with pytest.raises(fi.BadInput, match=r"known pairs of at least 0, got -1"):
        fi.attacks.Aligned(fi.attacks.Ridge(), pairs=-1)
    with pytest.raises(fi.BadInput, match=r"before fit\(pairs\); fit it on these pairs first"):
        fi.attacks.Aligned(fi.attacks.Ridge()).fit(public)
    with pytest.raises(fi.BadInput, match=r"expected fit\(pairs\) before align"):
        fi.attacks.Aligned(fi.attacks.Ridge()).align(own)
