"""What the defences of this package have in common: shape, identity at zero strength, likelihood."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from featinv.defences.public_features import PublicFeatures, read_public
from featinv.errors import BadInput
from featinv.types import Features


class Defence(nn.Module, ABC):
    """A frozen map features -> features, (B, D) or (B, C, h, w); deterministic unless a subclass says otherwise.

    A subclass keeps its constructor's arguments under their own names, so that `featinv.defences.save` can write them.
    """

    whole_release: ClassVar[bool] = False
    """whether a released vector depends on the other vectors of the release, which must then be defended at once"""
    least_batch: int = 1
    """vectors that have to be defended at once"""

    @property
    def deterministic(self) -> bool:
        """Whether equal features always give equal outputs."""
        return True

    @property
    def is_identity(self) -> bool:
        """Whether the strength is zero: the features are then returned as they are."""
        return False

    def forward(self, features: Features) -> Float[Tensor, "B ..."]:
        """Return the defended features; a map that keeps the width keeps the shape, any other gives (B, D')."""
        if self.is_identity:
            return features
        self._check(features)
        rows = self._defend(features.flatten(1))
        return rows.reshape(features.shape) if rows.shape[1] == features[0].numel() else rows

    def log_likelihood(self, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]) -> Float[Tensor, "B N"]:
        """Return log p(released row | clean row) in float64: here 0 where the outputs are equal, else -infinity."""
        return equal_outputs(released, self(clean))

    def _check(self, features: Tensor) -> None:
        if len(features) < self.least_batch:
            raise BadInput(
                f"{self!r}: expected at least {self.least_batch} vectors at once, got {len(features)}; "
                "release them together"
            )

    @abstractmethod
    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        """Defend flat vectors at a strength above zero."""


class Learned(Defence):
    """A defence that learns buffers by `fit` from public features; it cannot be used before, except at zero strength.

    `feature_shape`, `encoder_fingerprint` and `layer` say what it was fitted on (None: unknown).
    """

    def __init__(self) -> None:
        super().__init__()
        self.feature_shape: tuple[int, ...] | None = None
        self.encoder_fingerprint: str | None = None
        self.layer: str | None = None

    def fit(self, public: Any, labels: Any = None) -> "Learned":
        """Learn from public features: Pairs, Vectors, or an array or tensor (N, D) or (N, C, h, w); return itself.

        `labels` (N,) are used by `RemoveSubspace` only and default to those of the pairs. Raises BadInput for too few
        vectors, NaN, other shapes, and pairs that were defended already.
        """
        data = read_public(type(self).__name__, public, labels)
        if not self.is_identity:
            for name, value in self._learn(data).items():
                self.register_buffer(name, torch.from_numpy(np.array(value, dtype=np.float32)))
        self.feature_shape = data.feature_shape
        self.encoder_fingerprint, self.layer = data.encoder_fingerprint, data.layer
        return self

    def _check(self, features: Tensor) -> None:
        name = type(self).__name__
        if self.feature_shape is None:
            raise BadInput(f"{name}: expected a fitted defence, got one that is not; call fit(public features) first")
        if tuple(features.shape[1:]) != self.feature_shape:
            shapes = [", ".join(map(str, shape)) for shape in (self.feature_shape, tuple(features.shape[1:]))]
            raise BadInput(
                f"{name}: expected features of shape (N, {shapes[0]}), as it was fitted on, got (N, {shapes[1]}); "
                "fit it on features of this encoder and layer"
            )
        super()._check(features)

    @abstractmethod
    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        """Return the buffers that the public features determine."""


def equal_outputs(released: Tensor, outputs: Tensor) -> Float[Tensor, "B N"]:
    """Return 0 where a released row equals a candidate's output, else -infinity, as (B, N) float64.

    A row that equals none exactly (another batch size rounds a matrix product differently) is compared to 1e-5 of the
    largest number; a row without any candidate then stays at -infinity throughout.
    """
    rows, candidates = (_flat(each).numpy() for each in (released, outputs))
    if rows.shape[1] != candidates.shape[1]:
        raise BadInput(f"likelihood: expected released rows of {candidates.shape[1]} numbers, got {rows.shape[1]}")
    groups = row_groups(np.concatenate([rows, candidates]))
    equal = groups[: len(rows), None] == groups[None, len(rows) :]
    largest = float(np.abs(candidates).max(initial=0))
    tolerance = _CLOSE * max(largest, 1e-30)
    for row in np.flatnonzero(~equal.any(axis=1)):
        equal[row] = (np.abs(candidates - rows[row]) <= tolerance).all(axis=1)
    return torch.from_numpy(np.where(equal, 0.0, -np.inf))


def row_groups(rows: Float[np.ndarray, "N D"]) -> Int64[np.ndarray, " N"]:
    """Return a number for every row that is the same for equal rows alone (equal bit by bit; -0 equals 0)."""
    plain = np.ascontiguousarray(rows + 0.0)
    whole = plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).reshape(-1)
    return np.unique(whole, return_inverse=True)[1].reshape(-1).astype(np.int64)


_CLOSE = 1e-5


def _flat(features: Tensor) -> Tensor:
    return features.detach().flatten(1).cpu().double()


class StraightThrough(torch.autograd.Function):
    """A value that is not differentiable, with the gradient of the input: attacks that optimise pass through it."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, value: Tensor) -> Tensor:
        """Return `value`."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Hand the gradient to `features`."""
        return gradients[0], None


def straight_through(features: Tensor, value: Tensor) -> Tensor:
    """Return `value` with the gradient of `features` (arXiv:1308.3432, section 4), exactly equal to `value`."""
    output: Tensor = StraightThrough.apply(features, value.to(features.dtype))
    return output


def check_count(what: str, value: Any, *, least: int, most: int | None = None, nothing: str) -> None:
    """Raise BadInput unless `value` is None or a whole number from `least` to `most`; `nothing` is what None means."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        limits = f"from {least} on" if most is None else f"from {least} to {most}"
        raise BadInput(f"{what}: expected a whole number {limits}, or None for {nothing}, got {value!r}")
