"""Structural similarity."""

import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from featinv.errors import BadInput
from featinv.metrics.value_range import ImageTensor, checked_pair
from featinv.types import Images, PerImage

WINDOW = 11
SHARES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang et al. 2003, section 3.2)."""
SMALLEST = WINDOW * 2 ** (len(SHARES) - 1)
"""Smallest side in pixels for five scales."""
_PIXELS = 2**16
"""Pixels that are filtered at once: torchmetrics makes about twenty copies of them, which should fit the cache."""


def ssim(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """SSIM of each image, 1 for a perfect copy: 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, mean over RGB.

    Averaged over the windows that lie wholly inside the image, as in Wang et al. 2004 and scikit-image
    (`gaussian_weights=True, sigma=1.5, use_sample_covariance=False`). torchmetrics' own average also counts the 5
    border pixels, whose windows it fills by reflection; at 32 px that is over half of the image, and the mean image
    of CIFAR-10 gets .187 there and .132 here.

    Raises BadInput on different shapes, on values that are not in [0, 1], and on images smaller than the window.
    """
    reconstruction, original = checked_pair(reconstruction, original)
    if min(original.shape[2:]) < WINDOW:
        raise BadInput(
            f"images: SSIM needs at least {WINDOW} x {WINDOW} pixels, got {original.shape[2]} x {original.shape[3]}"
        )
    step = max(1, _PIXELS // original[0, 0].numel())
    blocks = zip(reconstruction.split(step), original.split(step), strict=True)
    return torch.cat([window_ssim(*block) for block in blocks])


def ms_ssim(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """Multi-scale SSIM of each image, 1 for a perfect copy: five scales, each half the size of the previous one.

    Contrast and structure at every scale, luminance at the coarsest, all over windows wholly inside the image and
    averaged over RGB. A negative similarity of a scale counts as 0 (its root is undefined, and torchmetrics returns NaN
    by default). torchmetrics' own luminance also counts windows filled by reflection, as in `ssim`. Source: Wang et al.
    2003, "Multi-scale structural similarity for image quality assessment", equation 7.

    Raises BadInput on different shapes, values outside [0, 1], and images below 176 pixels a side.
    """
    reconstruction, original = checked_pair(reconstruction, original)
    if min(original.shape[2:]) < SMALLEST:
        raise BadInput(
            f"images: MS-SSIM needs at least {SMALLEST} x {SMALLEST} pixels, "
            f"got {original.shape[2]} x {original.shape[3]}"
        )
    step = max(1, _PIXELS // original[0, 0].numel())
    blocks = zip(reconstruction.split(step), original.split(step), strict=True)
    return torch.cat([_block_ms_ssim(*block) for block in blocks])


def _block_ms_ssim(reconstruction: Images, original: Images) -> PerImage:
    by_scale = similarity_by_scale(reconstruction, original, len(SHARES))
    powers = [similarity.clamp(min=0) ** share for similarity, share in zip(by_scale, SHARES, strict=True)]
    return torch.stack(powers).prod(0)


def similarity_by_scale(reconstruction: Images, original: Images, scales: int) -> list[PerImage]:
    """Return contrast and structure of each scale, finest first, and the SSIM of the coarsest; unchecked."""
    contrasts = []
    for _ in range(scales - 1):
        _, contrast = structural_similarity_index_measure(
            reconstruction,
            original,
            sigma=1.5,
            kernel_size=WINDOW,
            data_range=1.0,
            reduction="none",
            return_contrast_sensitivity=True,
        )
        contrasts.append(contrast)
        reconstruction, original = (torch.nn.functional.avg_pool2d(images, 2) for images in (reconstruction, original))
    return [*contrasts, window_ssim(reconstruction, original)]


def window_ssim(reconstruction: Images, original: Images) -> PerImage:
    """Return the SSIM of each image over the windows inside it; unchecked: NaN gives NaN, float64 stays float64."""
    _, similarities = structural_similarity_index_measure(
        # On a CPU the grouped convolution is twice as fast in this memory order.
        reconstruction.contiguous(memory_format=torch.channels_last),
        original.contiguous(memory_format=torch.channels_last),
        gaussian_kernel=True,
        sigma=1.5,
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    border = WINDOW // 2
    return similarities[:, :, border:-border, border:-border].mean(dim=(1, 2, 3))
