"""Callables on 8-bit images as encoders: what they are given, what they may answer, what works without gradients."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import featinv as fi
from featinv.audit.live_source import why_black_box
from featinv.doctor import examine_victim

SIDE = 16
IMAGES = torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
BYTES = (IMAGES * 255).round().to(torch.uint8)


def means(pixels: np.ndarray) -> np.ndarray:
    """The mean colour of each quarter, (B, 12)."""
    quarters = pixels.reshape(len(pixels), 2, SIDE // 2, 2, SIDE // 2, 3).mean((2, 4))
    return quarters.reshape(len(pixels), 12)


def black_box(function: Any = means, **more: Any) -> fi.encoders.BlackBox:
    return fi.encoders.black_box(function, input_size=SIDE, name="service", **more)


EXPECTED = torch.from_numpy(means(BYTES.permute(0, 2, 3, 1).numpy())).float()


@pytest.mark.parametrize(
    ("takes", "kind", "function"),
    [
        ("uint8", np.ndarray, lambda x: means(x)),
        ("uint8", np.ndarray, lambda x: means(x).tolist()),
        ("uint8", np.ndarray, lambda x: list(torch.from_numpy(means(x)))),
        ("tensor", torch.Tensor, lambda x: torch.from_numpy(means(x.permute(0, 2, 3, 1).numpy()))),
        ("float", torch.Tensor, lambda x: torch.from_numpy(means(x.permute(0, 2, 3, 1).double().numpy() * 255))),
        ("pil", list, lambda x: [means(np.asarray(image)[None])[0] for image in x]),
    ],
)
def test_it_is_given_bytes_as_asked_and_answers_as_it_likes(takes: Any, kind: type, function: Any) -> None:
    given = []

    def service(images: Any) -> Any:
        given.append(images)
        return function(images)

    encoder = black_box(service, takes=takes)
    torch.testing.assert_close(encoder(IMAGES), EXPECTED, atol=1e-4, rtol=0)
    assert all(isinstance(images, kind) for images in given)
    if takes == "pil":
        assert all(isinstance(image, Image.Image) and image.size == (SIDE, SIDE) for image in given[-1])
    assert encoder.feature_shape == (12,)


def test_batches_are_as_small_as_asked() -> None:
    sizes = []
    encoder = black_box(lambda x: (sizes.append(len(x)), means(x))[1], batch_size=3)
    sizes.clear()
    torch.testing.assert_close(encoder(IMAGES), EXPECTED, atol=1e-4, rtol=0)
    assert sizes == [3, 3, 1]


def test_it_is_a_victim_that_extracts_releases_and_is_attacked(tmp_path: Path) -> None:
    images = fi.data.scenes(80, size=2 * SIDE, seed=1)
    public, private = images.take(range(60)), images.take(range(60, 80))
    victim = fi.Victim(black_box(), fi.defences.GaussianNoise(std=0.1))
    pairs = fi.extract(victim, public, to=tmp_path, flips=True)
    release = fi.release(victim, private)
    attack = fi.attacks.Ridge().fit(pairs)
    assert attack.reconstruct(torch.from_numpy(release.features)).shape == (20, 3, 2 * SIDE, 2 * SIDE)
    assert victim.metadata["encoder"] == "service"
    fi.encoders.check_function(victim.encoder, IMAGES[:3])


def test_what_needs_gradients_says_so() -> None:
    encoder = black_box()
    assert not encoder.differentiable
    assert why_black_box(encoder) == "it is a black box"
    with pytest.raises(fi.BadInput, match=r"Perceptual: no gradient passes through service.*surrogate"):
        fi.losses.Perceptual(encoder)
    with pytest.raises(fi.BadInput, match="no gradient"):
        fi.losses.FeatureConsistency(encoder)


def test_its_fingerprint_is_of_its_answers() -> None:
    assert black_box().fingerprint == black_box().fingerprint
    assert black_box().fingerprint != black_box(lambda x: means(x)[:, ::-1]).fingerprint
    assert black_box(fingerprint="mine").fingerprint == "mine"


def test_it_resizes_and_crops_before_it_asks() -> None:
    sides = []
    encoder = fi.encoders.black_box(
        lambda x: (sides.append(x.shape[1:3]), x.mean((1, 2)))[1], input_size=fi.ResizeCrop(12, SIDE, "crop")
    )
    expected = BYTES[..., 2:-2, 2:-2].float().mean((2, 3))
    torch.testing.assert_close(encoder(IMAGES), expected, atol=1e-3, rtol=0)
    assert set(sides) == {(12, 12)}
    torch.testing.assert_close(encoder.of_cropped(IMAGES[..., 2:-2, 2:-2]), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: means(x)[:1], "one row of finite numbers for each of 2 images"),
        (lambda x: means(x) * np.nan, "with NaN or infinity"),
        (lambda x: {"vector": means(x)}, "expected one vector of numbers an image, got dict"),
        (lambda x: [[1, 2], [3]], "expected one vector of numbers an image, got list"),
        (lambda x: x.nothing, "fails on two images of 16 px"),
        ("embed", r"expected an import path"),
    ],
)
def test_other_answers_are_refused_in_one_line(function: Any, words: str) -> None:
    with pytest.raises(fi.BadInput) as caught:
        black_box(function)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_command_line_names_it_and_the_doctor_describes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_service.py").write_text("def embed(pixels):\n    return pixels.mean((1, 2))\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    findings = {finding.what: str(finding) for finding in examine_victim("black_box:my_service.embed,input_size=16")}
    assert "my_service.embed" in findings["encoder"]
    assert "both sides resized to 16 px" in findings["preprocessing"]
    assert "left out: attacks and losses that look through" in findings["gradients"]
    assert "3 numbers an image" in findings["features"]


def test_the_fingerprint_of_a_callable_knows_its_scale() -> None:
    """Vectors of twice the length are other vectors, and a store of the one is not one of the other."""
    boxes = [
        fi.encoders.black_box(lambda x, gain=gain: gain * x.mean((1, 2)), input_size=8) for gain in (1.0, 2.0, 1.0)
    ]
    first, twice, again = (box.fingerprint for box in boxes)
    assert first == again != twice
