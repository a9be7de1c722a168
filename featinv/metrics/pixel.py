"""Pixel metrics."""

import torch
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.functional.regression import mean_squared_error

from featinv.metrics.value_range import ImageTensor, checked_pair, rounded
from featinv.types import PerImage

CELLS = 8
"""Side of the grid of cells on which colour and layout are compared."""
CAP = 100.0
"""PSNR of a perfect copy in dB; it would otherwise be infinite, and so would every mean."""


def mse(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """Mean squared error of each image over its pixels and channels, on [0, 1].

    Raises BadInput on different shapes and on values that are not in [0, 1].
    """
    reconstruction, original = checked_pair(reconstruction, original)
    # torchmetrics has no per-image form; with one output for each image it computes the same sum.
    columns = mean_squared_error(reconstruction.flatten(1).T, original.flatten(1).T, num_outputs=len(original))
    return torch.as_tensor(columns).reshape(-1)


def psnr(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """Peak signal-to-noise ratio of each image in dB, after clipping and 8-bit rounding, at most 100 dB.

    Report the mean of these. The PSNR of the mean error is another number (0.6 dB lower on CIFAR-10).
    Raises BadInput on different shapes and on values that are not in [0, 1].
    """
    reconstruction, original = checked_pair(reconstruction, original)
    decibel = peak_signal_noise_ratio(
        rounded(reconstruction), rounded(original), data_range=1.0, dim=(1, 2, 3), reduction="none"
    )
    return decibel.clamp(max=CAP)


def low_pass_psnr(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """PSNR of the mean colours in an 8 x 8 grid of cells, in dB, at most 100: colour and layout without any detail.

    Cells that do not divide the size share pixels (adaptive means); an image of up to 8 pixels is compared as it is.
    After clipping and 8-bit rounding of the images; the means are not rounded again. Raises BadInput as `psnr` does.
    """
    reconstruction, original = checked_pair(reconstruction, original)
    grid = (min(CELLS, original.shape[2]), min(CELLS, original.shape[3]))
    pool = torch.nn.functional.adaptive_avg_pool2d
    reconstructed, expected = pool(rounded(reconstruction), grid), pool(rounded(original), grid)
    decibel = peak_signal_noise_ratio(reconstructed, expected, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return decibel.clamp(max=CAP)
