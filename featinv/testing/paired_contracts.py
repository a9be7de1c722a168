"""Contracts that losses and metrics share: one number for each pair of images."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from featinv.testing.contracts import demand_same, demand_tensor
from featinv.types import Images


def worse_reconstructions(original: Images) -> Iterator[tuple[str, Images]]:
    """Yield reconstructions that are clearly worse than a perfect copy, with their names."""
    yield "a noisy image", (original + 0.2 * torch.randn_like(original)).clamp(0, 1)
    yield "a dark image", 0.4 * original
    yield "another image", original.roll(1, dims=0)
    yield "a grey image", torch.full_like(original, 0.5)


def demand_pairwise(score: Callable[[Any, Any], Any], original: Images, name: str) -> None:
    """Demand (B,) finite float32, independent of the other pairs of the batch, and equal in repeated calls."""
    noisy = (original + 0.1 * torch.randn_like(original)).clamp(0, 1)
    # Pairs of very different quality, so that a mean over the batch is detected.
    noisy[0], noisy[1] = original[0], 1 - original[1]
    whole: Tensor = score(noisy, original)
    demand_tensor(whole, (len(original),), f"{name}(reconstruction, original)")
    demand_same(score(noisy, original), whole, f"{name} must give the same number for the same images", 0.0)
    for rows in ([0], [1], [2, 3], [3, 2, 1, 0]):
        alone: Tensor = score(noisy[rows], original[rows])
        demand_same(alone, whole[rows], f"{name} must give each image its own number: reduce over pixels only")
