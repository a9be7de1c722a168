"""Rule 10: equal images are an error, near-duplicates are found, counted, and left out only when asked."""

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from featinv.data import ImageSet, disjoint, folder, overlap, scenes
from featinv.data.image_likeness import close_hashes, difference_hashes, thumbnails
from featinv.errors import BadInput


def jpeg(image: np.ndarray, quality: int = 60) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def brighter(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.2))


def paler(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(0.7))


def shifted(image: np.ndarray) -> np.ndarray:
    by = len(image) // 32
    return np.pad(image, ((by, 0), (by, 0), (0, 0)), mode="edge")[: len(image), : len(image)]


def noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def one_pixel(image: np.ndarray) -> np.ndarray:
    changed = image.copy()
    changed[0, 0, 0] ^= 1
    return changed


def named(pixels: np.ndarray, prefix: str) -> ImageSet:
    return ImageSet(pixels, ids=[f"{prefix}{row}" for row in range(len(pixels))])


@pytest.fixture(scope="module")
def base() -> np.ndarray:
    return scenes(40, size=32, seed=5).uint8(np.arange(40))


@pytest.fixture(scope="module")
def strangers() -> np.ndarray:
    return scenes(40, size=32, seed=6).uint8(np.arange(40))


@pytest.mark.parametrize(
    ("change", "least"),
    [(jpeg, 0.9), (brighter, 0.95), (paler, 0.95), (shifted, 0.7), (noisy, 0.95), (one_pixel, 1.0)],
)
def test_changed_copies_are_found_and_nothing_else(
    base: np.ndarray, strangers: np.ndarray, change: Callable[[np.ndarray], np.ndarray], least: float
) -> None:
    public = named(np.concatenate([np.stack([change(image) for image in base]), strangers]), "public ")
    found = overlap(public, named(base, "private "))
    assert found.exact == []
    pairs = [(int(ours.split()[1]), int(theirs.split()[1])) for ours, theirs in found.near]
    assert all(ours == theirs for ours, theirs in pairs), "only an image's own copy"
    assert len(pairs) >= least * len(base)


def test_large_images_are_compared_too() -> None:
    large = scenes(6, size=128, seed=5).uint8(np.arange(6))
    public = named(np.stack([brighter(jpeg(image)) for image in large]), "public ")
    assert len(overlap(public, named(large, "private ")).near) == 6


def test_equal_images_are_exact_and_not_also_near(base: np.ndarray, strangers: np.ndarray) -> None:
    public = named(np.concatenate([strangers, base[[3, 3, 7]]]), "a")
    found = overlap(public, named(base, "b"))
    assert found.exact == [("a40", "b3"), ("a41", "b3"), ("a42", "b7")]
    assert found.near == []
    assert "3 pairs of equal images" in str(found)


def test_the_same_image_in_public_and_private_is_an_error(base: np.ndarray, strangers: np.ndarray) -> None:
    public, private = named(np.concatenate([strangers, base[[9]]]), "photos/"), named(base, "secret/")
    for drop in (False, True):
        with pytest.raises(BadInput, match="photos/40, private secret/9") as caught:
            disjoint(public, private, drop_near=drop)
        assert "\n" not in str(caught.value)


def test_near_duplicates_are_counted_and_dropped_only_when_asked(
    base: np.ndarray, strangers: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    public = named(np.concatenate([strangers[:20], np.stack([brighter(p) for p in base[:5]])]), "a")
    private = named(base, "b")
    with caplog.at_level(logging.WARNING, logger="featinv"):
        kept, found = disjoint(public, private)
        left, _ = disjoint(public, private, drop_near=True)
    assert found.near == [(f"a{20 + row}", f"b{row}") for row in range(5)]
    assert kept.ids == public.ids
    assert left.ids == public.ids[:20]
    assert kept.provenance["near_duplicates"] == {"pairs": 5, "public": 5, "dropped": False}
    assert left.provenance["near_duplicates"] == {"pairs": 5, "public": 5, "dropped": True}
    first, second = (record.getMessage() for record in caplog.records)
    assert first.endswith("(kept; drop_near=True leaves them out)")
    assert second.endswith("(left out)")


def test_sets_without_a_common_image_stay_as_they_are(
    base: np.ndarray, strangers: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    public = named(strangers, "a")
    with caplog.at_level(logging.WARNING, logger="featinv"):
        kept, found = disjoint(public, named(base, "b"), drop_near=True)
    assert (found.exact, found.near) == ([], [])
    assert kept.ids == public.ids
    assert caplog.records == []


def test_a_public_set_of_nothing_but_near_duplicates_is_refused(base: np.ndarray) -> None:
    public = named(np.stack([brighter(image) for image in base[:3]]), "a")
    with pytest.raises(BadInput, match="all nearly equal"):
        disjoint(public, named(base, "b"), drop_near=True)


def test_two_sizes_cannot_be_compared(base: np.ndarray) -> None:
    with pytest.raises(BadInput, match="one size, got 32 and 16 px"):
        overlap(named(base, "a"), named(np.ascontiguousarray(base[:, :16, :16]), "b"))


def test_flat_images_are_not_all_the_same() -> None:
    """Nothing can be correlated in them; only equal ones count."""
    public = named(np.stack([np.full((16, 16, 3), value, np.uint8) for value in (10, 90, 200)]), "a")
    private = named(np.stack([np.full((16, 16, 3), value, np.uint8) for value in (11, 90)]), "b")
    found = overlap(public, private)
    assert found.exact == [("a1", "b1")]
    assert found.near == []


def test_the_hash_is_the_textbook_dhash() -> None:
    """Against Pillow: nine by eight greys by area, each compared with its left neighbour."""
    image = scenes(1, size=72, seed=1).uint8([0])
    grey = Image.fromarray((image[0] @ np.array([0.299, 0.587, 0.114])).astype(np.float32))
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = (small[:, 1:] > small[:, :-1]).reshape(64)
    expected = np.packbits(bits).view(np.uint64)[0]
    assert int(np.bitwise_count(difference_hashes(image)[0, 0] ^ expected)) <= 1, "a tie may fall either way"


@given(data=st.data())
def test_close_hashes_are_all_pairs_within_reach(data: st.DataObject) -> None:
    word = st.integers(0, 2**64 - 1)
    row = st.tuples(word, word)
    first = np.array(data.draw(st.lists(row, min_size=1, max_size=6)), dtype=np.uint64)
    second = np.array(data.draw(st.lists(row, min_size=1, max_size=6)), dtype=np.uint64)
    most = data.draw(st.integers(0, 128))
    by_hand = {
        (i, j)
        for i, one in enumerate(first.tolist())
        for j, other in enumerate(second.tolist())
        if sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) <= most
    }
    assert {tuple(pair) for pair in close_hashes(first, second, most).tolist()} == by_hand


def test_thumbnails_are_area_averages() -> None:
    images = scenes(2, size=64, seed=1).uint8([0, 1])
    expected = images.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(thumbnails(images), expected, atol=1e-3)
    np.testing.assert_array_equal(thumbnails(images[:, :20, :20]), images[:, :20, :20].transpose(0, 3, 1, 2))


@pytest.mark.real
@pytest.mark.slow
def test_cifar10_has_the_near_duplicates_that_the_literature_reports(real_data: Path) -> None:
    """arXiv 1902.00423: 3.3 % of the test images, and none is equal to a training image."""
    train, test = folder(real_data / "train", size=32), folder(real_data / "test", size=32)
    found = overlap(train, test)
    share = len({private for _, private in found.near}) / len(test)
    assert found.exact == []
    assert 0.028 < share < 0.042
