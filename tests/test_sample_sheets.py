"""Sheets of samples: the right images in the right rows, and a map whose scale is the same for all images."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import featinv as fi
from featinv.errors import BadInput
from featinv.evaluation import draw_samples, public_cell_variance, sample_sheet
from featinv.evaluation.sample_sheets import DrawnSamples

SIZE, ZOOM = 16, 6
SIDE, ROW = SIZE * ZOOM, SIZE * ZOOM + 18 + 4


def images(count: int, seed: int) -> fi.data.ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(count, SIZE, SIZE, 3)).astype(np.uint8)
    return fi.data.ImageSet(pixels, ids=[f"{seed}-{row}" for row in range(count)])


class LeftHalf:
    """Knows the left half of an image, which its row number names, and draws the right half anew."""

    guidance = 1

    def __init__(self, truth: fi.data.ImageSet) -> None:
        self.truth = truth

    def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> torch.Tensor:
        drawn = []
        for row in range(first_row, first_row + len(features)):
            own = self.truth.batch(np.array([row])).expand(k, -1, -1, -1)
            other = images(k, 1000 + row + 17 * seed).batch(np.arange(k))
            drawn.append(torch.where(torch.arange(SIZE) < SIZE // 2, own, other))
        return torch.stack(drawn)


TRUTH = images(30, 0)
RELEASE = fi.Release(np.arange(30, dtype=np.float32)[:, None], {}, TRUTH)
CHOSEN = np.array([7, 2, 19])


def drawn(k: int = 40, **options: Any) -> DrawnSamples:
    variance = public_cell_variance(images(400, 1))
    return draw_samples("half", LeftHalf(TRUTH), RELEASE, CHOSEN, variance, k=k, **options)


def tile(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    top, left = 4 + row * ROW + 18, 4 + column * (SIDE + 4)
    return np.asarray(sheet)[top : top + SIDE : ZOOM, left : left + SIDE : ZOOM]


def test_the_sheet_has_originals_samples_mean_map_and_what_is_known_of_the_same_images() -> None:
    shown = drawn()
    sheet = sample_sheet(shown)
    whole = LeftHalf(TRUTH).sample(torch.zeros(30, 1), 40, 0)
    for column, row in enumerate(CHOSEN):
        assert np.array_equal(tile(sheet, 0, column), TRUTH.uint8(np.array([row]))[0])
        for number in range(3):
            expected = (255 * whole[row, number]).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(tile(sheet, 1 + number, column), expected)
        mean = (255 * whole[row].mean(0)).permute(1, 2, 0).numpy()
        assert np.abs(tile(sheet, 4, column) - mean).max() <= 0.51
        # The right half of all cells varies as public images do, the left half not at all.
        assert (tile(sheet, 5, column)[:, :8] == 0).all()
        assert tile(sheet, 5, column)[:, 8:].mean() > 230
        assert np.array_equal(tile(sheet, 6, column)[:, :8], tile(sheet, 1, column)[:, :8])
    known = np.repeat(np.repeat(shown.known, 2, axis=1), 2, axis=2)
    grey = np.stack([tile(sheet, 6, column) for column in range(3)])
    assert (grey[known < 0.1] == 128).all()
    assert (known[:, :, 8:] < 0.1).mean() > 0.3


def test_a_map_that_is_not_calibrated_greys_nothing() -> None:
    with_it, without = sample_sheet(drawn()), sample_sheet(drawn(), trusted=False)
    assert with_it.height - without.height == ROW
    assert np.array_equal(np.asarray(with_it)[: without.height - 4, : without.width], np.asarray(without)[:-4])


def test_the_deviation_is_that_of_the_samples_over_that_of_public_images() -> None:
    shown = drawn(k=200)
    # Twelve cells' deviations of eight colours of the same distribution: 1, but for chance.
    assert shown.deviation[:, :, 4:].mean() == pytest.approx(0.98, abs=0.03)
    assert shown.deviation[:, :, :4].max() == 0
    assert shown.known.min() >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1}, "k: expected at least 2 samples an image for a map, got 1"),
        ({"rows": np.array([], dtype=np.int64)}, "rows: expected at least one image"),
        ({"attack": fi.attacks.MeanImage()}, "x: expected an attack with sample"),
        ({"release": fi.Release(RELEASE.features, {})}, "needs the private images"),
    ],
)
def test_bad_input_gets_one_line(change: dict[str, Any], message: str) -> None:
    given = {"attack": LeftHalf(TRUTH), "release": RELEASE, "rows": CHOSEN, "k": 4, **change}
    with pytest.raises(BadInput, match=message) as refusal:
        draw_samples("x", given["attack"], given["release"], given["rows"], np.ones((8, 8)), k=given["k"])
    assert "\n" not in str(refusal.value)


def test_one_public_image_says_nothing_of_how_images_vary() -> None:
    with pytest.raises(BadInput, match="public: expected at least 2 images, got 1"):
        public_cell_variance(images(1, 1))
