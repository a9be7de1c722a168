"""Layers that several packages share."""

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from featinv.types import Features

Network = TypeVar("Network")


class UnregisteredModule(Generic[Network]):
    """Holds a frozen network outside nn.Module's registry; copies of the holder share the one network.

    The network is in neither `parameters()` nor `state_dict()`, so that unfreezing, saving, or changing the precision
    of the holder leaves it as it is.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def __deepcopy__(self, memo: dict[int, object]) -> "UnregisteredModule[Network]":
        del memo
        return self


def standardising_scale(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return what a dimension is divided by: its deviation, or 1 where it never varies beyond float32's rounding."""
    varies = deviation > 1e-6 * mean.abs().clamp_min(1e-30)
    return torch.where(varies, deviation, torch.ones_like(deviation))


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
        self.scale.copy_(standardising_scale(mean, deviation))

    def forward(self, features: Features) -> Features:
        return (features - self.mean) / self.scale
