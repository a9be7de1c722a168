"""What a vector says, on images whose recovered share is known by construction."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from featinv.errors import BadInput
from featinv.evaluation import greyed, known_map, recovered_cells, recovered_spectrum

MEAN = torch.full((3, 16, 16), 0.5)


def originals(count: int = 300) -> torch.Tensor:
    return 0.5 + 0.1 * torch.randn(count, 3, 16, 16)


def test_a_low_pass_recovers_what_it_keeps() -> None:
    images = originals()
    flat = images.mean((2, 3), keepdim=True).expand_as(images)
    spectrum = recovered_spectrum(flat, images, MEAN)
    assert spectrum.octaves == ("0", "1", "2-3", "4-7", "8-15")
    for (octave, _), share in spectrum.shares.items():
        assert share.mean == pytest.approx(1.0 if octave == "0" else 0.0, abs=1e-4)
    assert sum(spectrum.weights.values()) == pytest.approx(1)
    # White noise: each octave weighs as much as it has coefficients.
    assert spectrum.weights["8-15", "luma"] == pytest.approx((256 - 64) / 256 / 3, rel=0.05)


def test_the_share_is_that_of_a_shrunken_noisy_reconstruction_and_lies_in_its_interval() -> None:
    images = originals(2000)
    noisy = images + 0.05 * torch.randn_like(images)
    spectrum = recovered_spectrum(noisy, images, MEAN)
    for share in spectrum.shares.values():
        assert share.mean == pytest.approx(0.75, abs=0.02)
        assert share.low < share.mean < share.high
    assert recovered_cells(noisy, images, MEAN) == pytest.approx(0.75, abs=0.05)
    assert recovered_spectrum(originals(2000), images, MEAN).shares["0", "luma"].mean == pytest.approx(-1, abs=0.2)


def test_cells_are_where_they_are() -> None:
    images = originals()
    half = torch.where(torch.arange(16) < 8, images, MEAN)
    shares = recovered_cells(half, images, MEAN, cells=4)
    assert shares[:, :2] == pytest.approx(1)
    assert shares[:, 2:] == pytest.approx(0)


def test_a_map_says_which_cells_the_samples_share_and_the_rest_is_greyed() -> None:
    prior = originals(400)
    common = originals(5)[:, None].expand(-1, 60, -1, -1, -1)
    samples = torch.where(torch.arange(16) < 8, common, originals(300).unflatten(0, (5, 60)))
    known = known_map(samples, prior, cells=4)
    assert known[:, :, :2] == pytest.approx(1)
    assert known[:, :, 2:].mean() < 0.2
    wide = torch.where(torch.arange(16) < 8, common, 0.5 + 2 * (samples - 0.5))
    shown = greyed(samples[:, 0], known_map(wide, prior, cells=4))
    assert torch.equal(shown[..., :8], samples[:, 0, :, :, :8])
    assert torch.equal(shown[..., 8:], torch.full((5, 3, 16, 8), 0.5))


def test_half_the_variance_known_is_half_on_the_scale() -> None:
    colours = 0.5 + 0.1 * torch.randn(4000, 3, 1, 1)
    prior = functional.interpolate(colours, size=(16, 16))
    middle = 0.1 * 0.5**0.5
    samples = (0.5 + middle * torch.randn(50, 1, 3, 1, 1) + middle * torch.randn(50, 40, 3, 1, 1)).expand(
        -1, -1, -1, 16, 16
    )
    assert known_map(samples, prior).mean() == pytest.approx(0.5, abs=0.05)


def test_bad_input_gets_one_line() -> None:
    images = originals(4)
    samples = images[:, None].repeat(1, 3, 1, 1, 1) + 0.01 * torch.randn(4, 3, 3, 16, 16)
    damaged = images.clone()
    damaged[2] = torch.nan
    refusals: dict[str, Callable[[], object]] = {
        "k: expected at least 2 samples an image for a map, got 1": lambda: known_map(samples[:, :1], images),
        "the sampler is deterministic": lambda: known_map(samples[:, :1].repeat(1, 3, 1, 1, 1), images),
        "prior: expected at least 2 public images of 16 px": lambda: known_map(samples, images[..., :8, :8]),
        "reconstructions: expected finite numbers, got NaN or infinity for image 2": lambda: recovered_cells(
            damaged, images, MEAN
        ),
        "prior: expected finite": lambda: known_map(samples, damaged),
        "as many and as large": lambda: recovered_spectrum(images[:1], images[:1], MEAN),
    }
    for message, call in refusals.items():
        with pytest.raises(BadInput, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
