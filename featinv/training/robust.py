"""Images moved inside a ball, where a student's error is largest: adversarial training of surrogates."""

from collections.abc import Callable

import torch
from torch import Tensor

from featinv.types import Images

from .settings import Ball

_STEP = 2.5
"""size of all steps together, in radii: enough to reach the edge from any start (arXiv:1706.06083)"""
_REFERENCE = 32
"""side in pixels of the images for which `radius` is stated"""


def moved(images: Images, errors: Callable[[Images], Tensor], ball: Ball, generator: torch.Generator) -> Images:
    """Return images (B, 3, H, W) inside the ball around the given ones, moved so that `errors` (B,) grow.

    Projected gradient ascent with normalised steps from a random start (arXiv:1706.06083, L2 form). All randomness
    comes from `generator` (see `dice_for`). Pixels are not clipped: like the noise of distillation they may leave
    [0, 1].
    """
    radius = ball.radius * images.shape[-1] / _REFERENCE
    step = radius * (1.25 if ball.steps == 1 else _STEP / ball.steps)
    start = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    reach = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device).to(images)
    change = radius * reach * _directions(start)
    for _ in range(ball.steps):
        change.requires_grad_()
        (gradient,) = torch.autograd.grad(errors(images + change).sum(), change)
        change = change.detach() + step * _directions(gradient)
        change = change * (radius / _lengths(change)).clamp(max=1)
    return (images + change).detach()


def _lengths(images: Tensor) -> Tensor:
    return images.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)


def _directions(images: Tensor) -> Tensor:
    return images / _lengths(images)
