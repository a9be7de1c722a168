"""Metrics against scikit-image, against numbers worked out by hand, and against the contracts of metrics."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from featinv import BadInput
from featinv.metrics import low_pass_psnr, ms_ssim, mse, psnr, ssim

METRICS = [mse, psnr, ssim, low_pass_psnr]
Metric = Callable[[Tensor, Tensor], Tensor]


def eight_bit(count: int, size: int, seed: int) -> Tensor:
    """Images with structure (smooth blobs and noise), on the 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    noisy = smooth + 0.1 * torch.randn(count, 3, size, size, generator=generator)
    return noisy.clamp(0, 1).mul(255).round() / 255


def pairs(kind: str) -> tuple[Tensor, Tensor]:
    original = eight_bit(12, 32, seed=0)
    return {
        "another image": (original.roll(1, 0), original),
        "noise": ((original + 0.05 * torch.randn_like(original)).clamp(0, 1).mul(255).round() / 255, original),
        "its mean colour": (original.mean((2, 3), keepdim=True).expand_as(original).mul(255).round() / 255, original),
        "white": (torch.ones_like(original), original),
        "larger": (eight_bit(3, 70, seed=1), eight_bit(3, 70, seed=2)),
    }[kind]


def as_numpy(images: Tensor) -> list[np.ndarray]:
    return [image.permute(1, 2, 0).double().numpy() for image in images]


@pytest.mark.parametrize("kind", ["another image", "noise", "its mean colour", "white", "larger"])
def test_agrees_with_scikit_image(kind: str) -> None:
    reconstruction, original = pairs(kind)
    both = list(zip(as_numpy(original), as_numpy(reconstruction), strict=True))
    # truncate=3.5 and sigma=1.5 make skimage's window 11 wide, and it crops 5 pixels a side before it averages.
    similarity = [
        structural_similarity(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=1.0
        )
        for x, y in both
    ]
    assert ssim(reconstruction, original).numpy() == pytest.approx(similarity, abs=1e-4)
    decibel = [peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in both]
    assert psnr(reconstruction, original).numpy() == pytest.approx(decibel, abs=1e-4)
    assert mse(reconstruction, original).numpy() == pytest.approx([mean_squared_error(x, y) for x, y in both], abs=1e-6)


def test_numbers_worked_out_by_hand() -> None:
    black = torch.zeros(3, 3, 16, 16)
    off = torch.tensor([51.0, 102.0, 255.0]).div(255)[:, None, None, None].expand_as(black)
    # Errors 0.2, 0.4 and 1 everywhere: MSE is the square, PSNR -20 log10 of the error.
    assert mse(off, black).tolist() == pytest.approx([0.04, 0.16, 1.0])
    assert psnr(off, black).tolist() == pytest.approx([-20 * math.log10(e) for e in (0.2, 0.4, 1.0)], abs=1e-4)
    # Two constants leave only the luminance term (2ab + C1)/(a^2 + b^2 + C1), C1 = 0.01^2.
    assert ssim(off, black).tolist() == pytest.approx([1e-4 / (e * e + 1e-4) for e in (0.2, 0.4, 1.0)], abs=1e-6)


@pytest.mark.parametrize("size", [8, 32, 20, 5])
def test_low_pass_psnr_compares_mean_colours_of_cells(size: int) -> None:
    """Cell i of 8 covers the pixels from floor(i size / 8) to ceil((i + 1) size / 8), as adaptive pooling says."""
    first, second = eight_bit(3, size, seed=8), eight_bit(3, size, seed=9)
    grid = min(8, size)
    edges = [(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]
    for row, (x, y) in enumerate(zip(as_numpy(first), as_numpy(second), strict=True)):
        cells = [np.array([[image[a:b, c:d].mean((0, 1)) for c, d in edges] for a, b in edges]) for image in (x, y)]
        expected = peak_signal_noise_ratio(*cells, data_range=1.0)
        assert low_pass_psnr(first, second)[row].item() == pytest.approx(expected, abs=1e-4)


def test_low_pass_psnr_sees_colour_and_layout_but_no_detail() -> None:
    original = eight_bit(4, 32, seed=3)
    cells = original.reshape(4, 3, 8, 4, 8, 4)
    shuffled = cells[:, :, :, [2, 0, 3, 1]].reshape(original.shape)
    assert low_pass_psnr(shuffled, original).min() == 100
    assert psnr(shuffled, original).max() < 40
    assert low_pass_psnr(original.flip(3), original).max() < 30


def test_ms_ssim_agrees_with_an_evaluation_written_apart() -> None:
    """Gaussian windows by SciPy, five scales by hand, means of 2 x 2 between them (Wang et al. 2003, equation 7)."""
    original = eight_bit(3, 180, seed=1)
    noisy = (original + 0.1 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    shares = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

    def smooth(channel: np.ndarray) -> np.ndarray:
        return gaussian_filter(channel, 1.5, truncate=3.5)[5:-5, 5:-5]

    for row, (x, y) in enumerate(zip(as_numpy(noisy), as_numpy(original), strict=True)):
        expected = 1.0
        for scale, share in enumerate(shares):
            luminance, contrast = [], []
            for c in range(3):
                a, b = x[..., c], y[..., c]
                means = smooth(a), smooth(b)
                spread = smooth(a * a) - means[0] ** 2 + smooth(b * b) - means[1] ** 2
                together = smooth(a * b) - means[0] * means[1]
                contrast.append((2 * together + 0.03**2) / (spread + 0.03**2))
                luminance.append((2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2))
            last = scale == len(shares) - 1
            expected *= np.mean(np.multiply(luminance, contrast) if last else contrast) ** share
            half = x.shape[0] // 2
            x, y = (p[: 2 * half, : 2 * half].reshape(half, 2, half, 2, 3).mean((1, 3)) for p in (x, y))
        assert ms_ssim(noisy, original)[row].item() == pytest.approx(expected, abs=1e-4)
    assert ms_ssim(original, original).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_ms_ssim_of_a_negative_is_a_number() -> None:
    """Structure turned round is a negative similarity, whose root torchmetrics gives as NaN."""
    original = eight_bit(2, 176, seed=1)
    assert ms_ssim(1 - original, original).tolist() == [0.0, 0.0]
    with pytest.raises(BadInput, match="at least 176 x 176 pixels, got 175 x 175"):
        ms_ssim(original[:, :, 1:, 1:], original[:, :, 1:, 1:])


def test_psnr_is_taken_after_rounding_to_eight_bits() -> None:
    black = torch.zeros(1, 3, 16, 16)
    # 0.4/255 rounds to black, which is a perfect copy; 0.6/255 rounds to one step.
    assert psnr(black + 0.4 / 255, black).item() == 100.0
    assert psnr(black + 0.6 / 255, black).item() == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_a_perfect_copy_gets_the_best_value_and_no_infinity() -> None:
    images = eight_bit(5, 32, seed=3)
    assert mse(images, images).tolist() == [0.0] * 5
    assert psnr(images, images).tolist() == [100.0] * 5
    assert ssim(images, images).tolist() == pytest.approx([1.0] * 5, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_every_image_counts_for_itself(metric: Metric) -> None:
    reconstruction, original = eight_bit(9, 32, seed=4), eight_bit(9, 32, seed=5)
    together = metric(reconstruction, original)
    assert together.shape == (9,)
    alone = torch.cat([metric(reconstruction[i : i + 1], original[i : i + 1]) for i in range(9)])
    assert torch.allclose(alone, together, atol=1e-5, rtol=0)
    order = torch.randperm(9)
    assert torch.allclose(metric(reconstruction[order], original[order]), together[order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(11, 40))
def test_symmetric_and_bounded(metric: Metric, seed: int, size: int) -> None:
    first, second = eight_bit(2, size, seed), eight_bit(2, size, seed + 1)
    assert torch.allclose(metric(first, second), metric(second, first), atol=1e-5)
    low, high = {mse: (0, 1), psnr: (0, 100), ssim: (-1, 1), low_pass_psnr: (0, 100)}[metric]
    assert bool(((metric(first, second) >= low) & (metric(first, second) <= high)).all())


def test_psnr_of_each_image_is_averaged_not_the_errors() -> None:
    """Peers pool the squared error over a batch; the mean of per-image PSNR is another, higher number (Jensen)."""
    original = eight_bit(8, 32, seed=6)
    noise = torch.linspace(0.01, 0.3, 8)[:, None, None, None] * torch.randn_like(original)
    reconstruction = (original + noise).clamp(0, 1).mul(255).round() / 255
    pooled = -10 * math.log10(mse(reconstruction, original).mean().item())
    assert psnr(reconstruction, original).mean().item() > pooled + 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * 2 - 1, r"images must lie in \[0, 1\]; got min -"),
        (lambda x: x * 255, r"images must lie in \[0, 1\]; got min .*, max 2"),
        (lambda x: x.masked_fill(x > 0.9, float("nan")), r"images must lie in \[0, 1\]; got min nan"),
        (lambda x: x[:1], "one shape"),
        (lambda x: x[:, :1], "one shape"),
        (lambda x: x[:, :, :20, :20], "one shape"),
    ],
)
def test_refuses_other_ranges_and_shapes(metric: Metric, spoil: Callable[[Tensor], Tensor], message: str) -> None:
    images = eight_bit(4, 32, seed=7)
    with pytest.raises(BadInput, match=message):
        metric(spoil(images), images)


def test_refuses_images_that_are_too_small_for_the_window() -> None:
    with pytest.raises(BadInput, match="at least 11 x 11"):
        ssim(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))


@pytest.mark.parametrize("metric", METRICS)
def test_refuses_grey_images_and_empty_batches(metric: Metric) -> None:
    with pytest.raises(BadInput, match=r"\(B, 3, H, W\)"):
        metric(torch.zeros(0, 3, 32, 32), torch.zeros(0, 3, 32, 32))


@pytest.mark.parametrize("metric", METRICS)
def test_an_overshoot_of_rounding_is_clipped(metric: Metric) -> None:
    white = torch.ones(1, 3, 16, 16)
    assert metric(white + 5e-4, white).item() == metric(white, white).item()
