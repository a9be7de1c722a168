"""The linear mixing trunk of `Upsampling`: whatever shape the features have, every later layer may see all of them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GRID = 4
"""side of the grid on which a feature map is read out into the vector, and on which the decoder starts to draw"""


class Code(NamedTuple):
    """What the trunk makes of the features: a vector that saw everything, and the map itself where there is one."""

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

    A map larger than the image is first averaged down to its size. The vector is read from a 4 x 4 grid, so that it
    keeps where things are.
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
    """(B, W) -> (B, W): a residual two-layer perceptron behind a layer norm; the identity at the start of training."""

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
    """Average down or interpolate up to `size` x `size`, so that no cell of the map is passed over."""
    if min(grid.shape[2:]) >= size:
        return F.adaptive_avg_pool2d(grid, size)
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)


def normalisation(channels: int) -> nn.Module:
    """Group norm with groups of eight channels: an image's statistics are its own, not its batch mates'."""
    return nn.GroupNorm(max(1, channels // 8) if channels % 8 == 0 else 1, channels)


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Return the layer with weight and bias at zero, so that the branch which it ends starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        torch.nn.init.zeros_(layer.bias)
    return layer
