"""Independent Gaussian noise on every number of a feature vector."""

import math
from typing import final

import torch
from torch import nn

from featinv.errors import BadInput
from featinv.types import Features


@final
class GaussianNoise(nn.Module):
    """Add independent N(0, std²) noise to every feature, (B, D) or (B, C, H, W); exactly the identity at std 0.

    `std` is in the units of the features as the encoder makes them, so that its meaning does not move with a batch;
    hold it against the features' own standard deviation. No clipping and no calibration: by itself this is no
    differential privacy. Raises BadInput unless `std` is finite and at least 0.
    """

    def __init__(self, std: int | float) -> None:
        super().__init__()
        if isinstance(std, bool) or not math.isfinite(std) or std < 0:
            raise BadInput(f"std: expected a finite number of at least 0, in the units of the features, got {std}")
        self.std = float(std)

    def forward(self, features: Features) -> Features:
        """Add fresh noise from torch's global generator, in train and eval mode alike."""
        if self.std == 0:
            return features
        return features + self.std * torch.randn_like(features)

    def extra_repr(self) -> str:
        """Show the strength: the victim's fingerprint reads it."""
        return f"std={self.std}"
