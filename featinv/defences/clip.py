"""Bounds on single vectors: their length, and how many of their numbers are kept."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.defences.defence import Defence, check_count
from featinv.plain_numbers import check_positive


@final
class Clip(Defence):
    """Scale every vector that is longer than `norm` (Euclidean, features' units) to that length.

    By itself it hides nothing; before noise it bounds what one image contributes, so that (clip `C`, deviation `s`) is
    `2 C / s` Gaussian-DP for a released vector. The identity at None. Raises BadInput unless `norm` is finite and above
    0.
    """

    def __init__(self, norm: int | float | None = None) -> None:
        super().__init__()
        if norm is not None:
            check_positive("norm", norm)
        self.norm = None if norm is None else float(norm)

    @property
    def is_identity(self) -> bool:
        """Whether no vector is ever too long."""
        return self.norm is None

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        norm = self.norm or 1.0
        return rows * (norm / lengths.clamp(min=norm))

    def extra_repr(self) -> str:
        """Show the bound."""
        return f"norm={self.norm}"


@final
class TopK(Defence):
    """Keep the `k` numbers of largest magnitude of every vector and set the others to 0; the identity at None.

    The k values and their places are usually enough to tell all records apart. Raises BadInput for a k below 1.
    """

    def __init__(self, k: int | None = None) -> None:
        super().__init__()
        check_count("k", k, least=1, nothing="all numbers")
        self.k = k

    @property
    def is_identity(self) -> bool:
        """Whether all numbers are kept."""
        return self.k is None

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        kept = rows.abs().topk(min(self.k or 1, rows.shape[1]), dim=1).indices
        return rows * torch.zeros_like(rows).scatter(1, kept, 1.0)

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"k={self.k}"
