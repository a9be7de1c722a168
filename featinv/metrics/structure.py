"""Structural similarity."""

from torchmetrics.functional.image import structural_similarity_index_measure

from featinv.errors import BadInput
from featinv.metrics.value_range import Pictures, checked_pair
from featinv.types import PerImage

WINDOW = 11


def ssim(reconstruction: Pictures, original: Pictures) -> PerImage:
    """SSIM of each picture, 1 for a perfect copy: 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, mean over RGB.

    Averaged over the windows that lie wholly inside the picture, as in Wang et al. 2004 and scikit-image
    (`gaussian_weights=True, sigma=1.5, use_sample_covariance=False`). torchmetrics' own average also counts the 5
    border pixels, whose windows it fills by reflection; at 32 px that is over half of the picture, and the mean image
    of CIFAR-10 gets .187 there and .132 here.

    Raises BadInput on different shapes, on values that are not in [0, 1], and on pictures smaller than the window.
    """
    reconstruction, original = checked_pair(reconstruction, original)
    if min(original.shape[2:]) < WINDOW:
        raise BadInput(
            f"images: SSIM needs at least {WINDOW} x {WINDOW} pixels, got {original.shape[2]} x {original.shape[3]}"
        )
    _, everywhere = structural_similarity_index_measure(
        reconstruction,
        original,
        gaussian_kernel=True,
        sigma=1.5,
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    border = WINDOW // 2
    return everywhere[:, :, border:-border, border:-border].mean(dim=(1, 2, 3))
