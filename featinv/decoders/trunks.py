"""The mixing trunks of `Upsampling`: for any feature shape, later layers can depend on all features."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GRID = 4
"""side of the grid to which a feature map is pooled for the vector, and of the first map of the decoder"""


class Code(NamedTuple):
    """Output of the trunk: a vector that depends on all features, and a feature map if the features are one."""

    vector: Float[Tensor, "B W"]
    grid: Float[Tensor, "B M H W"] | None


class VectorTrunk(nn.Module):
    """(B, D) -> code: a linear layer, then `depth` residual layers of `width` units."""

    def __init__(self, features: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.read = nn.Linear(features, width)
        self.mix = nn.Sequential(*(MixingLayer(width, dropout) for _ in range(depth)), nn.LayerNorm(width), nn.GELU())

    def forward(self, features: Float[Tensor, "B D"]) -> Code:
        return Code(self.mix(self.read(features)), None)


class MapTrunk(nn.Module):
    """(B, C, H, W) -> code: convolutions at the map's own resolution, then a vector from all of it.

    A map larger than the image is first averaged down to its size. The vector is computed from a 4 x 4 grid, which
    preserves positions.
    """

    def __init__(self, channels: int, largest: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.largest = largest
        self.channels = min(width, 128)
        self.enter = nn.Conv2d(channels, self.channels, 1)
        self.refine = nn.Sequential(
            normalisation(self.channels),
            nn.GELU(),
            nn.Conv2d(self.channels, self.channels, 3, padding=1),
            normalisation(self.channels),
            nn.GELU(),
            zeroed(nn.Conv2d(self.channels, self.channels, 3, padding=1)),
        )
        self.vector = VectorTrunk(self.channels * GRID**2, width, depth, dropout)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Code:
        if max(features.shape[2:]) > self.largest:
            features = resize(features, self.largest)
        grid = self.enter(features)
        grid = grid + self.refine(grid)
        return Code(self.vector(resize(grid, GRID).flatten(1)).vector, grid)


class MixingLayer(nn.Module):
    """(B, W) -> (B, W): a residual two-layer perceptron after a layer norm; initialised as the identity."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            zeroed(nn.Linear(width, width)),
        )

    def forward(self, vector: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        return vector + self.branch(vector)


def resize(grid: Float[Tensor, "B C H W"], size: int) -> Float[Tensor, "B C size size"]:
    """Average down or interpolate up to `size` x `size`; every cell of the map contributes."""
    if min(grid.shape[2:]) >= size:
        return F.adaptive_avg_pool2d(grid, size)
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)


def normalisation(channels: int) -> nn.Module:
    """Return a group norm with groups of eight channels; its statistics are those of one image."""
    return nn.GroupNorm(max(1, channels // 8) if channels % 8 == 0 else 1, channels)


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Return the layer with weight and bias set to zero, so that its residual branch is initialised as zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        torch.nn.init.zeros_(layer.bias)
    return layer
