"""Is an encoder a function of the image? The quick part of `featinv.testing.check_encoder`, before every long run."""

from typing import Any

import torch
from torch import Tensor, nn

from featinv.errors import BadInput

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
    return max((TOLERANCE.get(one.dtype, 0.0) for one in parameters), default=0.0) or DEFAULT_TOLERANCE


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
