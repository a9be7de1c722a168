"""Layers that several packages share."""

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from featinv.types import Features

Network = TypeVar("Network")


class Held(Generic[Network]):
    """Keeps a frozen network out of nn.Module's registry, and one and the same when what holds it is copied.

    So it is in neither `parameters()` nor `state_dict()`: whoever unfreezes, saves, or changes the precision of what
    holds it leaves it alone.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def __deepcopy__(self, memo: dict[int, object]) -> "Held[Network]":
        del memo
        return self


class Standardise(nn.Module):
    """features -> features: subtract the public mean and divide by the public deviation, per dimension.

    Shapes (B, *feature_shape) -> (B, *feature_shape). The identity until `set_statistics` is called; the statistics are
    buffers, so that they are saved with the attack. A dimension that never varies is only centred.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, feature_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.feature_shape = tuple(feature_shape)
        self.register_buffer("mean", torch.zeros(self.feature_shape))
        self.register_buffer("scale", torch.ones(self.feature_shape))

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean and standard deviation, both of shape `feature_shape`, in the units of the features."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-8, deviation, torch.ones_like(deviation)))

    def forward(self, features: Features) -> Features:
        return (features - self.mean) / self.scale
