"""The moving average of the weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Ema(AveragedModel):
    """Exponential moving average of a network's weights, with a warm-up: after n updates the decay is
    min(decay, (1 + n) / (10 + n)), so that a short training is not averaged with its initialisation.

    Source of the warm-up: tf.train.ExponentialMovingAverage(num_updates). Buffers follow the network. Build it from the
    unwrapped network, before Accelerate or DDP touches it: `network` is the averaged copy, in eval mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._average)
        self.decay = decay
        self.module.requires_grad_(False).eval()

    @property
    def network(self) -> nn.Module:
        """The averaged network."""
        return self.module

    @torch.no_grad()
    def _average(self, averaged: Any, current: Any, _: Tensor | int) -> None:
        # The counter is read here and not from the argument, which AveragedModel has moved to the accelerator: that
        # would wait for the device in every step.
        count = int(self.n_averaged)
        decay = min(self.decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averaged, current, 1 - decay)
