"""The contracts of losses: (reconstruction, original) -> (B,)."""

from typing import Any

import torch
from torch import Tensor

from featinv.losses import Loss
from featinv.processes import seeded
from featinv.testing.contracts import demand, demand_gradient, demand_same, demand_tensor, demand_untouched, label
from featinv.testing.paired_contracts import demand_pairwise, worse_reconstructions
from featinv.testing.synthetic import synthetic_images

HALF_PRECISION = 1e-4
"""Largest relative difference that autocast may cause; numbers computed in bfloat16 differ by about 1e-2."""


def check_loss(loss: Any, *, size: int = 32) -> None:
    """Raise AssertionError unless `loss` is a featinv Loss that can be minimised in training.

    On images of `size` pixels it returns (B,) float32, finite also for pixels at 0 and 1. Each image's number is
    independent of the rest of the batch, smallest for the perfect copy, and strictly larger for clearly worse images. A
    finite gradient reaches every reconstruction, also at pixels 0 and 1. Inputs are not changed. The numbers are the
    same under bfloat16 autocast. `fingerprints` is a frozenset of strings. Check a random loss with its randomness off.
    """
    name = label(loss)
    demand(isinstance(loss, Loss), f"{name} must subclass featinv.losses.Loss, so that losses add up; got {name}")
    original = synthetic_images(4, size=size)
    with seeded(0):
        close = (original + 0.02 * torch.randn_like(original)).clamp(0, 1)

        def of_reconstruction(images: Tensor) -> Tensor:
            return torch.as_tensor(loss(images, original))

        demand_untouched(of_reconstruction, close, name)
        demand_pairwise(loss, original, name)
        perfect = loss(original, original)
        for what, worse in worse_reconstructions(original):
            values = loss(worse, original)
            demand(
                bool((perfect < values).all()),
                f"{name} must be smaller for a perfect copy than for {what}: got {perfect.tolist()} and "
                f"{values.tolist()}",
            )
        demand_gradient(of_reconstruction, close, name)
        saturated = (original > 0.5).float()
        demand_tensor(loss(saturated, original), (4,), f"{name} of pixels at 0 and 1")
        demand_gradient(of_reconstruction, saturated, f"{name} at pixels 0 and 1", zero_allowed=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = loss(close, original)
        demand_tensor(values, (4,), f"{name} under bfloat16 autocast")
        expected = loss(close, original)
        largest = float(expected.detach().abs().max())
        demand_same(
            values / largest,
            expected / largest,
            f"{name} must be computed in float32: disable autocast inside, because bfloat16 loses small differences",
            HALF_PRECISION,
        )
    names = loss.fingerprints
    demand(
        isinstance(names, frozenset) and all(isinstance(name, str) for name in names),
        f"{name}.fingerprints must be a frozenset of the fingerprints of its frozen networks, got {names!r}",
    )
