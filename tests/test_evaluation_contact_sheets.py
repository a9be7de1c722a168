"""The images to look at: the right ones, in the right place, enlarged without smoothing."""

import numpy as np
import pytest
import torch
from evaluation_parts import SIZE, Stub, blurred, perfect, published, some_images, unflat
from PIL import Image

from featinv import BadInput
from featinv.evaluation import contact_sheet, decile_indices, grid, sample, samples
from featinv.victim import Release

ZOOM = 96 // SIZE
SIDE = SIZE * ZOOM
ROW = SIDE + 18 + 4


def tile(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    top, left = 4 + row * ROW + 18, 4 + column * (SIDE + 4)
    return np.asarray(sheet)[top : top + SIDE, left : left + SIDE]


def enlarged(image: np.ndarray) -> np.ndarray:
    return image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def test_originals_stand_above_the_reconstructions_of_the_same_images() -> None:
    truth, chosen = some_images(), np.array([3, 50, 17])
    made = sample({"blurred": blurred(), "perfect": perfect()}, published(), chosen)
    sheet = contact_sheet(truth, made, chosen)
    assert (sheet.mode, np.asarray(sheet).dtype) == ("RGB", np.uint8)
    originals = truth.uint8(chosen)
    blurs = (made["blurred"] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for column in range(3):
        assert np.array_equal(tile(sheet, 0, column), enlarged(originals[column]))
        assert np.array_equal(tile(sheet, 1, column), enlarged(blurs[column]))
        assert np.array_equal(tile(sheet, 2, column), enlarged(originals[column]))


def test_rows_carry_their_names() -> None:
    chosen = np.array([0])
    made = sample({"a": perfect()}, published(), chosen)
    named, other = contact_sheet(some_images(), made, chosen), contact_sheet(some_images(), {"b": made["a"]}, chosen)
    top = 4 + ROW
    strips = [np.asarray(sheet)[top : top + 18] for sheet in (named, other)]
    assert (strips[0] < 128).any()
    assert not np.array_equal(*strips)


def test_a_long_name_is_not_cut_off() -> None:
    chosen = np.array([0])
    made = sample({"x" * 60: perfect()}, published(), chosen)
    assert contact_sheet(some_images(), made, chosen).width > 300


def test_samples_are_drawn_by_the_seed_alone() -> None:
    attacks, release = {"perfect": perfect()}, published()
    first = samples(attacks, release, count=4, seed=1)
    assert first.tobytes() == samples(attacks, release, count=4, seed=1).tobytes()
    assert first.tobytes() != samples(attacks, release, count=4, seed=2).tobytes()
    assert samples(attacks, published(some_images(3)), count=10).width == 4 + 3 * (SIDE + 4)


def test_large_images_stay_as_they_are() -> None:
    truth = some_images(2, size=128)
    sheet = contact_sheet(truth, {}, np.array([0, 1]))
    assert sheet.size == (4 + 2 * 132, 128 + 18 + 8)


def test_a_grid_holds_every_image_in_order() -> None:
    images = some_images(5).batch(np.arange(5))
    sheet = np.asarray(grid(images, columns=2))
    assert sheet.shape == (4 + 3 * (SIDE + 4), 4 + 2 * (SIDE + 4), 3)
    fourth = sheet[4 + SIDE + 4 :][:SIDE, 4 + SIDE + 4 :][:, :SIDE]
    assert np.array_equal(fourth, enlarged(some_images(5).uint8(np.array([3]))[0]))


def test_nan_is_shown_black() -> None:
    images = torch.full((1, 3, SIZE, SIZE), float("nan"))
    assert tile(contact_sheet(some_images(), {"nan": images}, np.array([0])), 1, 0).max() == 0


def test_deciles_run_from_worst_to_best_one_from_each_tenth() -> None:
    values = np.random.default_rng(0).normal(size=237)
    chosen = decile_indices(values, seed=3)
    order = np.argsort(values)
    for tenth, index in zip(np.array_split(order, 10), chosen, strict=True):
        assert index in tenth
    assert decile_indices(values, seed=3).tolist() == chosen.tolist()
    assert decile_indices(values, seed=4).tolist() != chosen.tolist()


def test_refusals() -> None:
    release = published()
    with pytest.raises(BadInput, match="needs the private images"):
        samples({"perfect": perfect()}, Release(release.features, release.metadata))
    with pytest.raises(BadInput, match=r"small: expected images of shape \(2, 3, 16, 16\), got \(2, 3, 8, 8\)"):
        contact_sheet(some_images(), {"small": torch.zeros(2, 3, 8, 8)}, np.array([0, 1]))
    with pytest.raises(BadInput, match="at least one image"):
        contact_sheet(some_images(), {}, np.array([], dtype=np.int64))
    with pytest.raises(BadInput, match="at least one image"):
        grid(torch.zeros(0, 3, 8, 8))
    with pytest.raises(BadInput, match="at least 10 finite values"):
        decile_indices(np.arange(9.0))
    with pytest.raises(BadInput, match="at least 10 finite values"):
        decile_indices(np.full(20, np.nan))


def test_sample_gives_each_attacks_own_images() -> None:
    chosen = np.array([5, 2])
    release = published()
    made = sample({"perfect": perfect(), "inverse": Stub(lambda f: 1 - unflat(f))}, release, chosen)
    original = some_images().batch(chosen)
    assert torch.allclose(made["perfect"], original)
    assert torch.allclose(made["inverse"], 1 - original)
