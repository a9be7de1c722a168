"""A bank of losses of which each step uses some, drawn at random."""

from collections.abc import Sequence
from typing import cast, final

import torch
from torch import nn

from featinv.errors import BadInput
from featinv.losses.objective import Loss
from featinv.types import Images, PerImage


@final
class Drawn(Loss):
    """The mean of `count` of the given losses, drawn anew for every call from torch's global CPU generator.

    A decoder that must please networks of several families cannot settle on the texture of one, at the cost of `count`
    of them. Expected value: the mean of all losses. Raises BadInput for a count that is not from 1 to the number of
    losses. Ours.
    """

    def __init__(self, losses: Sequence[Loss], count: int = 2) -> None:
        super().__init__()
        if isinstance(count, bool) or not 1 <= count <= len(losses):
            raise BadInput(f"Drawn: expected count to be from 1 to the {len(losses)} losses, got {count!r}")
        self.losses = nn.ModuleList(losses)
        self.count = count

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        chosen = sorted(torch.randperm(len(self.losses))[: self.count].tolist())
        return torch.stack([self.losses[index](reconstruction, original) for index in chosen]).mean(0)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Those of all losses, drawn or not."""
        return frozenset().union(*(cast("Loss", loss).fingerprints for loss in self.losses))

    def extra_repr(self) -> str:
        return f"{self.count} of {', '.join(map(repr, self.losses))}"
