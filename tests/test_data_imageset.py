"""An ImageSet gathers only what is asked, and its splits are disjoint, exhaustive, seeded and recorded."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featinv.data import ImageSet
from featinv.errors import BadInput


def some_images(count: int, size: int = 4, seed: int = 0) -> ImageSet:
    generator = np.random.default_rng(seed)
    return ImageSet(
        generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        ids=[f"image {row}" for row in range(count)],
        labels=generator.integers(0, 3, count),
        classes=("a", "b", "c"),
        factors={"height": np.arange(count)},
        provenance={"source": "random"},
    )


@given(count=st.integers(2, 40), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9))
def test_a_split_is_disjoint_exhaustive_and_repeatable(count: int, fraction: float, seed: int) -> None:
    whole = some_images(count)
    if not 0 < round(count * fraction) < count:
        with pytest.raises(BadInput, match="fraction"):
            whole.split(fraction, seed=seed)
        return
    first, second = whole.split(fraction, seed=seed)
    assert set(first.ids).isdisjoint(second.ids)
    assert set(first.ids) | set(second.ids) == set(whole.ids)
    assert len(first) == round(count * fraction)
    assert whole.split(fraction, seed=seed)[0].ids == first.ids


def test_another_seed_splits_otherwise() -> None:
    whole = some_images(40)
    assert whole.split(0.5, seed=0)[0].ids != whole.split(0.5, seed=1)[0].ids


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=9), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9)
)
def test_a_split_by_groups_divides_none(sizes: list[int], fraction: float, seed: int) -> None:
    people = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    whole = some_images(len(people))
    first, second = whole.split(fraction, seed=seed, groups=[f"person {number}" for number in people])
    sides = [{people[whole.ids.index(name)] for name in side.ids} for side in (first, second)]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)
    assert sorted(first.ids + second.ids) == sorted(whole.ids)
    assert list(first.ids) == [name for name in whole.ids if name in set(first.ids)]
    wanted = round(fraction * len(whole))
    last_group = len(second) == sizes[people[whole.ids.index(second.ids[0])]]
    assert len(first) >= wanted or last_group
    assert len(first) < max(1, wanted) + max(sizes)
    assert whole.split(fraction, seed=seed, groups=people)[0].ids == first.ids


def test_groups_are_drawn_by_the_seed_and_recorded() -> None:
    whole, people = some_images(40), np.arange(40) // 2
    first, second = whole.split(0.5, seed=0, groups=people)
    assert len(first) == len(second) == 20
    assert first.ids != whole.split(0.5, seed=1, groups=people)[0].ids
    assert first.provenance["splits"][0]["whole_groups"] is True


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        ([1, 2, 3], "^groups: expected one for each of 10 images, got 3"),
        ([7] * 10, "^groups: expected at least two, got only 7"),
    ],
)
def test_groups_that_cannot_be_split_are_refused(groups: list[int], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        some_images(10).split(0.5, groups=groups)


def test_a_split_is_recorded_and_a_second_one_after_it() -> None:
    whole = some_images(20)
    first, second = whole.split(0.7, seed=3)
    inner, _ = first.split(0.5, seed=4)
    (record,) = second.provenance["splits"]
    expected = hashlib.sha256("\n".join(second.ids).encode()).hexdigest()
    assert record == {
        "seed": 3, "fraction": 0.7, "side": "second", "count": 6, "of": 20, "ids_sha256": expected,
    }  # fmt: skip
    assert [entry["seed"] for entry in inner.provenance["splits"]] == [3, 4]
    assert "splits" not in whole.provenance
    json.dumps(inner.provenance)


@given(rows=st.lists(st.integers(0, 11), max_size=20))
def test_a_batch_is_the_bytes_over_255(rows: list[int]) -> None:
    whole = some_images(12)
    raw = whole.uint8(rows)
    batch = whole.batch(rows)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    expected = raw.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(batch.numpy(), expected)


@given(data=st.data())
def test_takes_compose(data: st.DataObject) -> None:
    whole = some_images(15)
    outer = data.draw(st.lists(st.integers(0, 14), min_size=1, unique=True))
    inner = data.draw(st.lists(st.integers(0, len(outer) - 1), min_size=1, unique=True))
    twice, once = whole.take(outer).take(inner), whole.take([outer[row] for row in inner])
    assert twice.ids == once.ids
    everything = np.arange(len(inner))
    np.testing.assert_array_equal(twice.uint8(everything), once.uint8(everything))
    np.testing.assert_array_equal(twice.labels, once.labels)
    np.testing.assert_array_equal(twice.factors["height"], once.factors["height"])
    assert twice.fingerprint == once.fingerprint


def test_taking_keeps_the_pixels_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "pixels"
    mapped = np.memmap(file, dtype=np.uint8, mode="w+", shape=(6, 4, 4, 3))
    mapped[:] = np.arange(6)[:, None, None, None]
    whole = ImageSet(mapped, ids=list("abcdef"))
    part = whole.take([4, 1])
    mapped[4] = 77
    assert part.uint8([0]).max() == 77, "a take must not have copied"
    copy = part.uint8([0])
    copy[:] = 0
    assert mapped[4].min() == 77, "what uint8 returns is the caller's own"
    assert not isinstance(copy, np.memmap)


def test_the_fingerprint_is_of_pixels_order_and_shape() -> None:
    whole = some_images(30, size=5)
    digest = hashlib.sha256(b"30x5" + whole.uint8(np.arange(30)).tobytes()).hexdigest()
    assert whole.fingerprint == digest
    assert whole.take(np.arange(30)[::-1]).fingerprint != digest
    assert [stop - start for start, stop in whole.blocks(5 * 5 * 3 * 7)] == [7, 7, 7, 7, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixels": np.zeros((2, 4, 4), np.uint8)}, "pixels: expected shape"),
        ({"pixels": np.zeros((2, 3, 4, 4), np.uint8)}, "pixels: expected shape"),
        ({"pixels": np.zeros((2, 4, 5, 3), np.uint8)}, "square"),
        ({"pixels": np.zeros((2, 4, 4, 3), np.float32)}, "uint8"),
        ({"pixels": np.zeros((0, 4, 4, 3), np.uint8), "ids": []}, "at least one"),
        ({"ids": ["a"]}, "ids: expected one for each of the 2"),
        ({"ids": ["a", "a"]}, "'a' twice"),
        ({"labels": [0]}, "labels: expected 2 whole numbers"),
        ({"labels": [0.0, 1.0]}, "labels: expected 2 whole numbers"),
        ({"labels": [0, 2], "classes": ("x", "y")}, r"labels: expected 0\.\.1"),
        ({"labels": [-1, 0], "classes": ("x", "y")}, "got -1"),
        ({"factors": {"size": [1]}}, "size"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict, words: str) -> None:
    arguments = {"pixels": np.zeros((2, 4, 4, 3), np.uint8), "ids": ["a", "b"], **change}
    with pytest.raises(BadInput, match=words) as caught:
        ImageSet(arguments.pop("pixels"), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0, 5], r"0\.\.4 for 5 images, got 5"),
        ([-1], "got -1"),
        ([True, False, True, False, True], "flatnonzero"),
        ([0.5], "whole numbers"),
        ([[0, 1]], "list of whole numbers"),
    ],
)
def test_indices_that_are_none_are_refused(rows: list, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        some_images(5).batch(rows)


@pytest.mark.parametrize(("rows", "words"), [([1, 1], "repeats"), ([], "at least one image")])
def test_a_take_is_a_set_of_images(rows: list[int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        some_images(5).take(rows)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan"), 0.01])
def test_a_fraction_that_leaves_a_side_empty_is_refused(fraction: float) -> None:
    with pytest.raises(BadInput, match="fraction"):
        some_images(10).split(fraction)
