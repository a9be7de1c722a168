"""Fewer bits for every number: uniform steps, and signs."""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv.defences.defence import Learned, check_count, straight_through
from featinv.defences.public_features import PublicFeatures
from featinv.errors import BadInput


@final
class Uniform(Learned):
    """Round every number to one of 2^bits equal steps between the smallest and largest public value, and clip to them.

    `per="number"` has a range for each number of the vector (scalar quantisation as vector stores do it; `bits=8` is
    int8), `per="all"` one for all. The identity at `bits=None`. Its gradient is that of the identity. Raises BadInput
    for bits outside 1 to 16 and another `per`.
    """

    low: Tensor
    step: Tensor

    def __init__(self, bits: int | None = None, per: str = "number") -> None:
        super().__init__()
        check_count("bits", bits, least=1, most=16, nothing="the float32 as it is")
        if per not in ("number", "all"):
            raise BadInput(f"per: expected 'number' (a range for each) or 'all' (one range), got {per!r}")
        self.bits = bits
        self.per = per

    @property
    def is_identity(self) -> bool:
        """Whether the numbers are released as they are."""
        return self.bits is None

    def code_bits(self) -> float | None:
        """Return how many bits a released vector has, None at zero strength."""
        return (
            None if self.bits is None or self.feature_shape is None else self.bits * float(np.prod(self.feature_shape))
        )

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        axis = 0 if self.per == "number" else None
        low, high = data.rows.min(axis=axis), data.rows.max(axis=axis)
        width = data.rows.shape[1:]
        step = (high.astype(np.float64) - low) / (2 ** (self.bits or 1) - 1)
        return {"low": np.broadcast_to(low, width), "step": np.broadcast_to(step, width)}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        # A number that never varies in public has no step: it is released as its public value.
        codes = ((rows - self.low) / torch.where(self.step > 0, self.step, 1.0)).round()
        codes = codes.clamp(0, 2 ** (self.bits or 1) - 1)
        return straight_through(rows, self.low + codes * self.step)

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"bits={self.bits}, per={self.per!r}"


@final
class Sign(Learned):
    """Release one bit a number: whether it lies above its public mean.

    The released value is the mean plus or minus the mean absolute deviation, so that it stays in the features' units.
    There is no zero strength. Its gradient is that of the identity.
    """

    mean: Tensor
    deviation: Tensor

    def code_bits(self) -> float | None:
        """Return how many bits a released vector has (None before `fit`)."""
        return None if self.feature_shape is None else float(np.prod(self.feature_shape))

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        mean = data.rows.mean(axis=0, dtype=np.float64)
        return {"mean": mean, "deviation": np.abs(data.rows - mean).mean(axis=0)}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        above = rows > self.mean
        return straight_through(rows, torch.where(above, self.mean + self.deviation, self.mean - self.deviation))
