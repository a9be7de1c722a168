"""Whether an encoder is a function of the image, and whether a gradient passes from features back to images."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.processes import seeded

TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
DEFAULT_TOLERANCE = 1e-4
"""largest difference between two calls, relative to the largest number (or to 1, if that is larger)"""


@torch.no_grad()
def check_function(encoder: Any, images: Tensor) -> None:
    """Raise BadInput unless `encoder` gives images (B, 3, H, W) the same features whenever it is called.

    Dropout that is left on, statistics of the batch and random crops break it: then a released vector depends on
    something else than its image, and no attack can be measured. A module's mode is left as it was.
    """
    name = getattr(encoder, "name", type(encoder).__name__)
    tolerance = _tolerance(encoder)
    first = encoder(images)
    _must_equal(encoder(images), first, tolerance, f"{name}: gives other features to the same images at a second call")
    last = len(images) - 1
    alone = encoder(images[last:])
    _must_equal(alone, first[last:], tolerance, f"{name}: gives an image other features alone than in a batch")
    if isinstance(encoder, nn.Module):
        modes = {module: module.training for module in encoder.modules()}
        encoder.train()
        try:
            _must_equal(encoder(images), first, tolerance, f"{name}: gives other features after train()")
        finally:
            for module, mode in modes.items():
                module.training = mode


def _tolerance(encoder: Any) -> float:
    parameters = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    return max((TOLERANCE.get(parameter.dtype, 0.0) for parameter in parameters), default=0.0) or DEFAULT_TOLERANCE


def _must_equal(got: Tensor, expected: Tensor, tolerance: float, sentence: str) -> None:
    if got.shape == expected.shape:
        largest = max(1.0, float(expected.abs().max()))
        difference = float((got.double() - expected.double()).abs().max()) / largest
        if difference <= tolerance:
            return
        sentence += f" (they differ by {difference:.2g} of the largest number)"
    raise BadInput(
        f"{sentence}; an encoder must be a function of the image: put it into eval mode, and leave out dropout, "
        "statistics of the batch and random crops"
    )


# What autograd raises on .numpy() of a tensor that needs a gradient, and on operations without a derivative.
_STOPPED = (RuntimeError, NotImplementedError, TypeError)


def why_no_gradient(features_of: Callable[[Tensor], Tensor], images: Tensor) -> str:
    """Return why no gradient passes from the features to these images (B, 3, S, S), and "" where one does.

    The gradient of a random weighting of the features is taken: that of their sum vanishes for outputs that add up to
    a constant, such as probabilities. An accelerator that is out of memory raises as ever.
    """
    with torch.inference_mode(False), torch.enable_grad(), seeded(0):
        leaf = images.clone().requires_grad_(True)
        try:
            features = features_of(leaf)
            if not features.requires_grad:
                return "it computes under no_grad, or detaches"
            weights = torch.randn(features.shape, device=features.device, dtype=features.dtype)
            gradient = _gradient((features * weights).sum(), leaf)
        except torch.OutOfMemoryError:
            raise
        except _STOPPED as error:
            return f"differentiating it fails: {(str(error).strip().splitlines() or [type(error).__name__])[0][:200]}"
    if gradient is None:
        return "its features do not depend on the images by any differentiable path"
    if not bool(gradient.isfinite().all()):
        return "its gradient is not finite"
    return "" if bool(gradient.count_nonzero()) else "its gradient is zero everywhere, as after rounding"


def _gradient(output: Tensor, leaf: Tensor) -> Tensor | None:
    """Return the gradient of a number, None where it does not depend on the leaf."""
    return torch.autograd.grad(output, leaf, allow_unused=True)[0]
