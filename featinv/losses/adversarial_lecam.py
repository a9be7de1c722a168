"""A penalty that keeps a discriminator near what it used to say."""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featinv import processes
from featinv.errors import BadInput
from featinv.losses.penalties import Penalty
from featinv.types import Features, Images, PerImage


@final
class LeCam(Penalty):
    """relu(r - F)^2 + relu(R - f)^2, R and F the moving averages of the logits r of originals and f of reconstructions.

    For few images, where a discriminator learns them by heart: it may not grow surer than it was on average. Due from
    step `start` on; the first call starts the averages. They are kept over all processes, and move once a call, so once
    a micro-batch. Costs one more pass of originals and reconstructions; a batch norm or torch.compile do no harm.

    Raises BadInput for a decay outside [0, 1) and for a negative start. Source: arXiv:2104.03310, equation 5, for games
    that are not relativistic; weight and decay as in its authors' code, which counts `start` in the same way.
    """

    second_order = False
    real_average: Tensor
    fake_average: Tensor
    started: Tensor

    def __init__(self, weight: int | float = 0.3, *, decay: float = 0.99, start: int = 1000) -> None:
        super().__init__(weight)
        if not math.isfinite(decay) or not 0 <= decay < 1:
            raise BadInput(f"LeCam: expected a decay of at least 0 and below 1, got {decay}")
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise BadInput(f"LeCam: expected start to be a step, a whole number of at least 0, got {start!r}")
        self.decay = decay
        self.start = start
        self.register_buffer("real_average", torch.zeros(()))
        self.register_buffer("fake_average", torch.zeros(()))
        self.register_buffer("started", torch.tensor(False))

    def due(self, step: int) -> bool:
        """Say whether the penalty is added in step `step`, counted from 0."""
        return step >= self.start

    def measure(self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None) -> PerImage:
        real_logits = discriminator(real.detach(), features)
        fake_logits = discriminator(fake.detach(), features)
        self._remember(real_logits, fake_logits)
        # Not in place above: the averages of an earlier micro-batch may be part of a graph that is still needed.
        surer = F.relu(real_logits - self.fake_average).square() + F.relu(self.real_average - fake_logits).square()
        return surer.reshape(len(surer), -1).mean(1)

    @torch.no_grad()
    def _remember(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        seen = processes.gather((float(real_logits.mean()), float(fake_logits.mean())))
        decay = self.decay if bool(self.started) else 0.0
        for name, values in zip(("real_average", "fake_average"), zip(*seen, strict=True), strict=True):
            average = getattr(self, name)
            setattr(self, name, decay * average + (1 - decay) * sum(values) / len(values))
        self.started = torch.ones_like(self.started)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, decay={self.decay:g}, start={self.start}"
