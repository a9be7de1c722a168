"""Whether a gradient passes from features back to images: only then can an attacker look through the network."""

from collections.abc import Callable

import torch
from torch import Tensor

from featinv.processes import seeded

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
