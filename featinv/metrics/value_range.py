"""Checks of the images that all metrics share."""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.errors import BadInput
from featinv.types import Images

ImageTensor: TypeAlias = Float[Tensor, "..."]
"""Expected to be (B, 3, H, W); the metrics check this, so that their message names the fix."""

SLACK = 1e-3
"""Allowed excess beyond [0, 1] (the overshoot of an interpolation), which is clipped; more is refused."""


def checked_pair(
    reconstruction: ImageTensor, original: ImageTensor
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    """Return both batches clipped to [0, 1] in float32.

    Raises BadInput when their shapes differ (nothing is broadcast), when they are not (B, 3, H, W), when a number is
    not finite, or when a value lies beyond [0, 1]: images in [-1, 1] or [0, 255] are an error and are not clipped.
    """
    if reconstruction.shape != original.shape:
        raise BadInput(
            f"images: expected one shape, got {tuple(reconstruction.shape)} and {tuple(original.shape)}; "
            "resize or repeat them yourself"
        )
    return _checked(reconstruction), _checked(original)


def rounded(images: Images) -> Images:
    """Return the images as in an 8-bit file: clipped to [0, 1] and rounded to multiples of 1/255."""
    return images.clamp(0, 1).mul(255).round().div(255)


def _checked(images: ImageTensor) -> Float[Tensor, "B 3 H W"]:
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[0] == 0:
        raise BadInput(f"images: expected (B, 3, H, W) with B > 0, got {tuple(images.shape)}")
    low, high = (float(bound) for bound in torch.aminmax(images.detach()))
    # NaN makes the comparisons false, so it is refused too.
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise BadInput(
            f"images must lie in [0, 1]; got min {low:.4g}, max {high:.4g}; divide by 255, or shift and scale"
        )
    return images.float().clamp(0, 1)
