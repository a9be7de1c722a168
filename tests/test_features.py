"""Pairs: rows in the order asked for, disjoint splits, mirrored views, live re-encoding."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import featinv.features
from featinv.data import ImageSet
from featinv.defences import GaussianNoise
from featinv.errors import BadInput
from featinv.features import Pairs, extract, live
from featinv.victim import Victim, release

COUNT = 23


class Grey(nn.Module):
    """A stand-in encoder that mirroring changes: the mean of each column of the grey image."""

    name, family, trained_on, layer, fingerprint = "grey", "linear", "nothing", None, "a" * 64
    feature_shape, image_size = (8,), 8

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2))


def some_images(count: int = COUNT) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageSet(pixels, ids=[f"p{i}" for i in range(count)], labels=np.arange(count) % 3)


IMAGES = some_images()
PIXELS = IMAGES.uint8(range(COUNT))
COLUMNS = PIXELS.mean((1, 3), dtype=np.float64) / 255
PAIRS = {
    "in memory": extract(Victim(Grey()), IMAGES, flips=True, block=7),
    "live": live(Victim(Grey()), IMAGES),
}

every_kind = pytest.mark.parametrize("kind", PAIRS)
rows = st.lists(st.tuples(st.integers(0, COUNT - 1), st.booleans()), max_size=40)


@every_kind
@settings(max_examples=40, deadline=None)
@given(chosen=rows)
def test_batches_hold_the_rows_asked_for_in_their_order(kind: str, chosen: list[tuple[int, bool]]) -> None:
    indices, flip = [i for i, _ in chosen], np.array([f for _, f in chosen], dtype=bool)
    features, images = PAIRS[kind].batch(indices, flip)
    assert features.dtype == images.dtype == torch.float32
    assert images.shape == (len(chosen), 3, 8, 8)
    assert features.shape == (len(chosen), 8)
    for row, (index, mirrored) in enumerate(chosen):
        step = -1 if mirrored else 1
        assert np.allclose(images[row].permute(1, 2, 0) * 255, PIXELS[index][:, ::step], atol=1e-4)
        assert np.allclose(features[row], COLUMNS[index][::step], atol=1e-6)


@every_kind
def test_features_are_those_of_the_images_as_they_are(kind: str) -> None:
    assert np.allclose(PAIRS[kind].features(range(COUNT)), COLUMNS, atol=1e-6)


@every_kind
@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0.05, 0.95), seed=st.integers(0, 2**31))
def test_splits_are_disjoint_complete_and_keep_pairs_together(kind: str, fraction: float, seed: int) -> None:
    sides = PAIRS[kind].split(fraction, seed=seed)
    assert len(sides[0]) == round(fraction * COUNT)
    names = [name for side in sides for name in side.images.ids]
    assert sorted(names) == sorted(IMAGES.ids)
    for side in sides:
        original = [int(name[1:]) for name in side.images.ids]
        assert original == sorted(original)
        assert np.allclose(side.features(range(len(side))), COLUMNS[original], atol=1e-6)
        assert np.array_equal(side.labels, np.array(original) % 3)


def test_taking_twice_is_taking_the_composition() -> None:
    twice = PAIRS["in memory"].take([9, 4, 11, 0]).take([3, 0])
    assert twice.images.ids == ("p0", "p9")
    features, images = twice.batch([1, 0])
    assert np.allclose(features, COLUMNS[[9, 0]], atol=1e-6)
    assert torch.equal(images, IMAGES.batch([9, 0]))


def test_splits_repeat_with_their_seed() -> None:
    pairs = PAIRS["in memory"]
    assert pairs.split(0.5, seed=3)[0].images.ids == pairs.split(0.5, seed=3)[0].images.ids
    assert pairs.split(0.5, seed=3)[0].images.ids != pairs.split(0.5, seed=4)[0].images.ids


def test_pairs_say_what_they_are() -> None:
    pairs = PAIRS["in memory"]
    assert (len(pairs), pairs.feature_shape, pairs.image_size, pairs.views) == (COUNT, (8,), 8, 2)
    assert pairs.metadata == Victim(Grey()).metadata
    assert "23" in repr(pairs)
    assert "grey" in repr(pairs)


def test_live_noise_is_fresh_and_cached_noise_is_not() -> None:
    victim = Victim(Grey(), GaussianNoise(0.1))
    fresh, cached = live(victim, IMAGES), extract(victim, IMAGES)
    assert not torch.equal(fresh.batch([0])[0], fresh.batch([0])[0])
    assert torch.equal(cached.batch([0])[0], cached.batch([0])[0])


def test_pairs_repeat_with_their_seed_and_never_repeat_the_noise_of_the_release() -> None:
    victim = Victim(Grey(), GaussianNoise(0.1))
    noise = {seed: extract(victim, IMAGES, seed=seed).features(range(COUNT)) - COLUMNS for seed in (0, 1)}
    assert np.array_equal(noise[0], extract(victim, IMAGES).features(range(COUNT)) - COLUMNS)
    published = release(victim, IMAGES, seed=0).features - COLUMNS
    for other in (noise[1], published):
        assert abs(np.corrcoef(noise[0].ravel(), other.ravel())[0, 1]) < 0.3


def test_pairs_can_be_made_of_an_array() -> None:
    pairs = Pairs(COLUMNS.astype(np.float32), IMAGES)
    assert pairs.views == 1
    assert pairs.metadata["fingerprint"] is None
    assert np.allclose(pairs.batch([5])[0], COLUMNS[[5]])


BAD: dict[str, tuple[Callable[[Pairs], object], str]] = {
    "an index too large": (lambda p: p.batch([COUNT]), r"^indices: expected 0\.\.22 for 23 pairs, got 23"),
    "a negative index": (lambda p: p.features([-1]), r"^indices: expected 0\.\.22 for 23 pairs, got -1"),
    "a mask": (lambda p: p.batch(np.ones(COUNT, dtype=bool)), "^indices: expected a list of whole numbers"),
    "a nested list": (lambda p: p.batch([[1], [2]]), "^indices: expected a list of whole numbers"),
    "flips of another count": (lambda p: p.batch([1, 2], [True]), "^flip: expected 2 bools"),
    "flips that are numbers": (lambda p: p.batch([1], [1]), "^flip: expected 1 bools"),
    "an empty side": (lambda p: p.split(0.01), "^fraction: expected one that leaves neither side"),
    "a fraction over one": (lambda p: p.split(1.5), "^fraction: expected one that leaves neither side"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused(name: str) -> None:
    request, complaint = BAD[name]
    with pytest.raises(BadInput, match=complaint):
        request(PAIRS["in memory"])


def test_mirrored_features_that_were_not_extracted_are_refused() -> None:
    pairs = extract(Victim(Grey()), IMAGES)
    assert torch.equal(pairs.batch([1], [False])[0], pairs.batch([1])[0])
    with pytest.raises(BadInput, match=r"^flip: there are no features of mirrored images; extract with flips=True"):
        pairs.batch([1], [True])


def test_another_count_than_the_images_is_refused() -> None:
    with pytest.raises(BadInput, match="one vector for each of the 23 images, got 22"):
        Pairs(np.zeros((22, 4), dtype=np.float32), IMAGES)


@pytest.mark.parametrize("array", [np.zeros((COUNT, 4)), np.zeros((COUNT,), dtype=np.float32)])
def test_arrays_that_are_no_features_are_refused(array: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"^features: expected float32 of shape"):
        Pairs(array, IMAGES)


def test_a_block_of_no_images_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^block: expected at least 1 image, got 0"):
        extract(Victim(Grey()), IMAGES, block=0)


def test_every_export_exists() -> None:
    assert all(hasattr(featinv.features, name) for name in featinv.features.__all__)
