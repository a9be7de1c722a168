"""SSIM and multi-scale SSIM as losses, against scikit-image and against sums over SciPy's windows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from featinv import BadInput
from featinv.losses import MSSSIM, SSIM
from featinv.testing.synthetic import synthetic_images


def pair(size: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    original = synthetic_images(3, size=size)
    return (original + noise * torch.randn_like(original)).clamp(0, 1), original


@pytest.mark.parametrize("size", [11, 32, 50])
def test_ssim_is_one_minus_scikit_image_s(size):
    made, original = pair(size)
    expected = [
        1
        - structural_similarity(
            a.permute(1, 2, 0).double().numpy(),
            b.permute(1, 2, 0).double().numpy(),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for a, b in zip(made, original, strict=True)
    ]
    torch.testing.assert_close(SSIM()(made, original), torch.tensor(expected).float(), atol=1e-4, rtol=0)


def terms(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean contrast-structure and mean SSIM over the windows inside (3, H, W) images, from moments by SciPy."""

    def mean(x: np.ndarray) -> np.ndarray:
        return np.stack([gaussian_filter(channel, 1.5, radius=5)[5:-5, 5:-5] for channel in x])

    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    contrast = (2 * cov + 0.03**2) / (var_a + var_b + 0.03**2)
    luminance = (2 * mu_a * mu_b + 0.01**2) / (mu_a**2 + mu_b**2 + 0.01**2)
    return float(contrast.mean()), float((contrast * luminance).mean())


@pytest.mark.parametrize(("scales", "size"), [(1, 16), (2, 32), (3, 45), (5, 176)])
def test_multi_scale_ssim_is_the_product_of_the_papers_equation(scales, size):
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    exponents = exponents / exponents.sum()
    made, original = pair(size)
    for row in range(3):
        a, b, product = made[row].double().numpy(), original[row].double().numpy(), 1.0
        for scale, exponent in enumerate(exponents):
            contrast, whole = terms(a, b)
            product *= (whole if scale == scales - 1 else contrast) ** exponent
            half = [size_ // 2 for size_ in a.shape[1:]]
            a, b = (x[:, : 2 * half[0], : 2 * half[1]].reshape(3, half[0], 2, half[1], 2).mean((2, 4)) for x in (a, b))
        assert MSSSIM(scales)(made, original)[row].item() == pytest.approx(1 - product, abs=1e-4)
    assert MSSSIM()(*pair(176)).shape == (3,)


def test_one_scale_is_ssim():
    made, original = pair(24)
    torch.testing.assert_close(MSSSIM(1)(made, original), SSIM()(made, original), atol=1e-5, rtol=1e-5)


@settings(max_examples=8, deadline=None)
@given(noise=st.floats(0.01, 0.3), seed=st.integers(0, 100))
def test_both_lie_between_their_bounds_and_are_zero_for_a_copy(noise, seed):
    torch.manual_seed(seed)
    made, original = pair(32, noise)
    for loss, most in ((SSIM(), 2), (MSSSIM(2), 1)):
        values = loss(made, original)
        assert ((values > 0) & (values <= most)).all()
        torch.testing.assert_close(loss(original, original), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(loss(original, made), values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loss", [SSIM(), MSSSIM(2)], ids=repr)
def test_the_gradient_is_finite_everywhere_and_goes_downhill(loss):
    made, original = pair(32)
    for start in (made, 1 - original, torch.full_like(original, 0.5), original.round()):
        moved = start.clone().requires_grad_()
        loss(moved, original).sum().backward()
        assert moved.grad.isfinite().all()
    moved = made.clone().requires_grad_()
    before = loss(moved, original)
    before.sum().backward()
    after = loss((moved - 0.5 * moved.grad).detach().clamp(0, 1), original)
    assert (after < before).all()


@pytest.mark.parametrize("loss", [SSIM(), MSSSIM(2)], ids=repr)
def test_numbers_are_float32_under_autocast_float64_for_float64_and_nan_for_nan(loss):
    made, original = pair(32)
    expected = loss(made.bfloat16().float(), original)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = loss(made.bfloat16(), original)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected)
    assert loss(made.double(), original.double()).dtype == torch.float64
    made[1, 0, 0, 0] = torch.nan
    assert loss(made, original).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("loss", "size", "says"),
    [
        (SSIM(), 10, "at least 11 pixels a side, got 10; use L1 or MSE"),
        (MSSSIM(), 32, "at least 176 pixels a side, got 32; give scales=2"),
        (MSSSIM(), 64, "give scales=3"),
        (MSSSIM(4), 87, "at least 88 pixels a side, got 87; give scales=3"),
        (MSSSIM(2), 8, "use L1 or MSE"),
    ],
)
def test_small_images_are_refused_with_the_scales_they_have(loss, size, says):
    with pytest.raises(BadInput, match=says):
        loss(*pair(size))


@pytest.mark.parametrize("scales", [0, 6, -1, True])
def test_another_number_of_scales_is_refused(scales):
    with pytest.raises(BadInput, match="expected 1 to 5 scales"):
        MSSSIM(scales)


def test_the_range_is_checked():
    for loss in (SSIM(), MSSSIM(2)):
        with pytest.raises(BadInput, match=r"pixels in \[0, 1\]"):
            loss(2 * pair(32)[0] - 1, pair(32)[1])
