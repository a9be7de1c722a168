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
"""Largest relative difference that autocast may make; numbers computed in bfloat16 differ by some 1e-2."""


def check_loss(loss: Any, *, size: int = 32) -> None:
    """Raise AssertionError unless `loss` is a featinv Loss whose numbers training may make small.

    Tried on images of `size` pixels: (B,) float32 and finite, also for pixels at 0 and 1; each image's number
    independent of its batch mates; smallest for the perfect copy, and strictly larger for clearly worse images; a
    finite gradient that reaches every reconstruction, and a way back from pixels at 0 and 1; inputs left alone; under
    bfloat16 autocast the same numbers; `fingerprints` a frozenset of names. A loss that draws random numbers is tried
    with its randomness off.
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
            f"{name} must be computed in float32: switch autocast off inside, or it loses the small differences",
            HALF_PRECISION,
        )
    names = loss.fingerprints
    demand(
        isinstance(names, frozenset) and all(isinstance(one, str) for one in names),
        f"{name}.fingerprints must be a frozenset of the fingerprints of its frozen networks, got {names!r}",
    )
