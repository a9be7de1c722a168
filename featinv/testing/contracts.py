"""Helpers that all checks share, and the contracts of every component."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""Largest difference that the rest of a batch may cause, relative to the largest number (or to 1, if larger)."""


def demand(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence unless the contract holds (also under `python -O`)."""
    if not holds:
        raise AssertionError(sentence)


def label(value: Any) -> str:
    """Return the name of the object for a message."""
    return type(value).__name__


def difference(got: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest expected number or 1."""
    if got.shape != expected.shape:
        return float("inf")
    if got.numel() == 0:
        return 0.0
    largest = max(1.0, float(expected.detach().abs().max()))
    return float((got.detach().double() - expected.detach().double()).abs().max()) / largest


def demand_same(got: Tensor, expected: Tensor, sentence: str, tolerance: float = TOLERANCE) -> None:
    """Demand equal tensors, to the tolerance."""
    gap = difference(got, expected)
    demand(gap <= tolerance, f"{sentence}; the outputs differ by {gap:.2g} (allowed: {tolerance:g})")


def demand_tensor(value: Any, shape: tuple[int, ...], what: str) -> None:
    """Demand a finite float32 tensor of this shape."""
    demand(isinstance(value, Tensor), f"{what} must be a tensor, got {label(value)}")
    demand(tuple(value.shape) == shape, f"{what} must have shape {shape}, got {tuple(value.shape)}")
    demand(value.dtype == torch.float32, f"{what} must be float32, got {value.dtype}")
    demand(bool(value.isfinite().all()), f"{what} must be finite, got NaN or infinity")


def demand_images(value: Any, shape: tuple[int, ...], what: str) -> None:
    """Demand finite float32 images of this shape in [0, 1]."""
    demand_tensor(value, shape, what)
    if value.numel():
        low, high = (float(bound) for bound in value.detach().aminmax())
        demand(low >= 0 and high <= 1, f"{what} must lie in [0, 1], got {low:.4g} to {high:.4g}; end in a sigmoid")


def demand_independent(call: Callable[[Tensor], Tensor], batch: Tensor, what: str) -> None:
    """Demand that a row has the same output alone, in a smaller batch and in another order."""
    whole = call(batch)
    sentence = f"{what} must not depend on the other rows of the batch in eval mode"
    for rows in ([0], [len(batch) - 1], list(range(len(batch) // 2)), list(reversed(range(len(batch))))):
        demand_same(call(batch[rows]), whole[rows], sentence)


def demand_gradient(call: Callable[[Tensor], Tensor], batch: Tensor, what: str, *, zero_allowed: bool = False) -> None:
    """Demand a finite gradient of the output with respect to the input that is not zero for any row."""
    inputs = batch.detach().clone().requires_grad_()
    output = call(inputs)
    demand(output.requires_grad, f"{what} must be differentiable in its input, but its output carries no gradient")
    weights = torch.linspace(0.5, 1.5, output.numel(), device=output.device).reshape(output.shape)
    (gradient,) = torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)
    demand(gradient is not None, f"{what} must be differentiable in its input, but no gradient reaches it")
    demand(bool(gradient.isfinite().all()), f"{what} must have finite gradients, got NaN or infinity")
    if not zero_allowed:
        nonzero = gradient.flatten(1).abs().amax(1) > 0
        demand(bool(nonzero.all()), f"{what} must be differentiable in its input, but the gradient of a row is zero")


def demand_untouched(call: Callable[[Tensor], Tensor], batch: Tensor, what: str) -> None:
    """Demand that the call does not change its input."""
    before = batch.clone()
    call(batch)
    demand(torch.equal(batch, before), f"{what} must not change its input in place; clone it")
