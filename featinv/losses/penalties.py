"""What is added to a discriminator's loss so that its slope stays bounded."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from featinv import processes
from featinv.discriminators import Discriminator
from featinv.errors import BadInput
from featinv.types import Features, Images, PerImage


class Penalty(nn.Module, ABC):
    """(discriminator, originals, reconstructions, features) -> (B,), for the discriminator's half: abstract.

    A subclass writes `measure`; what a call returns is that, times `weight`, times `every`. A lazy penalty is added in
    every k-th step only (`due`), k times as strong (arXiv:1912.04958, appendix B; they correct Adam's settings too,
    because their penalty is a step of its own, and ours is not). Which step it is, the caller knows. What a penalty
    remembers, if anything, are buffers, so its `state_dict` belongs into checkpoints.

    Those that differentiate do so with respect to the images they are given: give those that the discriminator sees,
    augmented or not. Pixels are in [0, 1], where gradients are twice those of the papers' [-1, 1], so that a published
    weight of a squared gradient means a quarter of it here. D(x) is the mean of an image's logits, if it has several.

    Raises BadInput for a negative or NaN weight, for `every` below 1, and, where it is of `second_order`, for a
    discriminator with a batch norm (its slope at one image would be that of the whole batch) and for one that
    torch.compile holds (no second derivatives).
    """

    second_order: bool = True
    """whether it is made of gradients, so that training differentiates twice"""

    def __init__(self, weight: int | float, every: int = 1) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(weight, bool) or not math.isfinite(weight) or weight < 0:
            raise BadInput(
                f"{name}: expected a finite weight of at least 0, got {weight}; leave it out to switch it off"
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise BadInput(f"{name}: expected every to be a whole number of steps of at least 1, got {every!r}")
        self.weight = weight
        self.every = every

    def due(self, step: int) -> bool:
        """Say whether the penalty is added in step `step`, counted from 0."""
        return step % self.every == 0

    def forward(
        self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None = None
    ) -> PerImage:
        """Return the weighted penalty, one number an image, to be added to what the discriminator makes small."""
        self.check(discriminator)
        return self.weight * self.every * self.measure(discriminator, real, fake, features)

    @abstractmethod
    def measure(self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None) -> PerImage:
        """Return the penalty without its weight."""

    def check(self, discriminator: nn.Module) -> None:
        """Raise BadInput for a discriminator that this penalty cannot be computed for; call it before any training."""
        for part in discriminator.modules() if self.second_order else ():
            own = isinstance(part, Discriminator) and part.batch_statistics
            if own or (isinstance(part, _BatchNorm) and (part.training or part.running_mean is None)):
                raise BadInput(
                    f"{type(self).__name__}: expected a discriminator without batch norm, got {type(part).__name__} in "
                    f"{type(discriminator).__name__}; build it with norm='none' or norm='spectral'"
                )
            # torch.compile(module) wraps, module.compile() leaves a mark.
            if "_orig_mod" in part._modules or part._compiled_call_impl is not None:
                raise BadInput(
                    f"{type(self).__name__}: expected a discriminator that is not compiled, because torch.compile "
                    "gives no second derivatives; compile the decoder alone"
                )

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, every={self.every}"


@final
class GradientPenalty(Penalty):
    """(||grad D(x)|| - 1)^2 between an original and its reconstruction: keeps a Wasserstein critic near 1-Lipschitz.

    x = u * original + (1 - u) * reconstruction, u uniform in [0, 1], a draw an image from torch's global generator.
    The slope of 1 is for [0, 1] pixels, so half of the papers'; that scales the critic and nothing else.
    Source: arXiv:1704.00028, equation 3 and algorithm 1 (weight 10, five steps of the critic for one of the generator).
    """

    def __init__(self, weight: int | float = 10.0, every: int = 1) -> None:
        super().__init__(weight, every)

    def measure(self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None) -> PerImage:
        share = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
        slope = image_gradient(discriminator, torch.lerp(fake, real, share), features)
        return (slope.flatten(1).norm(dim=1) - 1).square()


@final
class R1(Penalty):
    """1/2 ||grad D(x)||^2 at the originals, summed over channels and pixels; `weight` is the papers' gamma.

    Source: arXiv:1801.04406, equation 9, which halves too; gamma by resolution in arXiv:2501.05441, for [-1, 1] pixels.
    """

    def measure(self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None) -> PerImage:
        return image_gradient(discriminator, real, features).square().flatten(1).sum(1) / 2


@final
class R2(Penalty):
    """1/2 ||grad D(x)||^2 at the reconstructions, summed over channels and pixels; `weight` is the papers' gamma.

    Source: arXiv:1801.04406, equation 10; used together with R1 in arXiv:2501.05441.
    """

    def measure(self, discriminator: nn.Module, real: Images, fake: Images, features: Features | None) -> PerImage:
        return image_gradient(discriminator, fake, features).square().flatten(1).sum(1) / 2


def image_gradient(discriminator: nn.Module, images: Images, features: Features | None) -> Images:
    """Return the gradient of each image's (mean) logit with respect to its pixels, itself differentiable."""
    pixels = images.detach().requires_grad_()
    logits = discriminator(pixels, features)
    total = logits.reshape(len(logits), -1).mean(1).sum()
    return torch.autograd.grad(total, pixels, create_graph=True)[0]


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
        averages = processes.gather((float(real_logits.mean()), float(fake_logits.mean())))
        decay = self.decay if bool(self.started) else 0.0
        for name, values in zip(("real_average", "fake_average"), zip(*averages, strict=True), strict=True):
            average = getattr(self, name)
            setattr(self, name, decay * average + (1 - decay) * sum(values) / len(values))
        self.started = torch.ones_like(self.started)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, decay={self.decay:g}, start={self.start}"
