"""Resizing and cropping: held against torchvision's transforms, on Pillow images and on tensors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

import featinv as fi

CASES = [
    (fi.ResizeCrop(24, 32, "crop", "bicubic"), [v2.Resize(32, InterpolationMode.BICUBIC), v2.CenterCrop(24)]),
    (fi.ResizeCrop(24, 31, "crop", "bilinear"), [v2.Resize(31), v2.CenterCrop(24)]),
    (fi.ResizeCrop(24, 0, "crop", "bilinear"), [v2.Resize(24), v2.CenterCrop(24)]),
    (fi.ResizeCrop(24, 27, "stretch", "bicubic"), [v2.Resize((27, 27), InterpolationMode.BICUBIC), v2.CenterCrop(24)]),
    (fi.ResizeCrop(24), [v2.Resize((24, 24))]),
    (fi.ResizeCrop(64, 70, "crop", "bicubic"), [v2.Resize(70, InterpolationMode.BICUBIC), v2.CenterCrop(64)]),
]
SIDES = [(50, 50), (40, 67), (53, 41), (24, 24), (32, 90)]


def photograph(height: int, width: int) -> Image.Image:
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize(("resize_crop", "transforms"), CASES, ids=lambda case: str(case)[:40])
def test_both_forms_are_torchvisions(resize_crop: fi.ResizeCrop, transforms: list, sides: tuple[int, int]) -> None:
    image = photograph(*sides)
    theirs = v2.Compose(transforms)
    assert np.array_equal(np.asarray(resize_crop.of_image(image)), np.asarray(theirs(image)))
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    expected = theirs(pixels).clamp(0, 1)  # 8 bits cannot overshoot
    torch.testing.assert_close(resize_crop.of_tensors(pixels), expected, atol=1e-6, rtol=0)


def test_lanczos_and_nearest_are_pillows() -> None:
    image = photograph(40, 40)
    for name in ("lanczos", "nearest"):
        resized = fi.ResizeCrop(17, interpolation=name).of_image(image)  # type: ignore[arg-type]
        assert np.array_equal(np.asarray(resized), np.asarray(image.resize((17, 17), Image.Resampling[name.upper()])))
    # Lanczos and cubic filters differ by little, nearest is exact.
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    exact = np.asarray(fi.ResizeCrop(80, interpolation="nearest").of_image(image))
    ours = fi.ResizeCrop(80, interpolation="nearest").of_tensors(pixels)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, exact / 255, atol=1e-6)


def test_a_gradient_reaches_the_pixels_that_are_kept_and_no_others() -> None:
    pixels = torch.rand(1, 3, 20, 20, requires_grad=True)
    fi.ResizeCrop(10, 20, "crop", "bicubic").of_tensors(pixels).sum().backward()
    kept = torch.zeros(20, 20)
    kept[5:15, 5:15] = 1
    assert torch.equal(pixels.grad[0, 0], kept)  # type: ignore[index]


def test_where_an_odd_rest_is_cut_off() -> None:
    """torchvision rounds half to even, transformers down: of 27 px, 24 begin at 2 or at 1."""
    pixels = torch.arange(27.0).expand(1, 3, 27, 27) / 27
    starts = [
        round(float(fi.ResizeCrop(24, 27, "crop", offset=offset).of_tensors(pixels)[0, 0, 0, 0] * 27))
        for offset in ("round", "floor")
    ]
    assert starts == [2, 1]


def test_it_reads_as_a_sentence_and_refuses_what_cannot_be() -> None:
    assert str(fi.ResizeCrop(224, 256, "crop", "bicubic")) == (
        "the short side resized to 256 px (bicubic), then the central 224 px"
    )
    assert str(fi.ResizeCrop(224)) == "both sides resized to 224 px (bilinear)"
    with pytest.raises(fi.BadInput, match=r"resize: expected 224 .*got 200"):
        fi.ResizeCrop(224, 200)
    with pytest.raises(fi.BadInput, match=r"input_size: expected 1 to 4096"):
        fi.ResizeCrop(0)
