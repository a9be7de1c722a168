"""The step of a conditional flow: the network predicts the image behind a noised one; the loss is on the velocity."""

from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from featinv import processes
from featinv.training.batches import Batch
from featinv.training.network_optimizer import Logged, decoder_optimizer
from featinv.training.progress import Progress, rate
from featinv.training.settings import Training
from featinv.types import Features, Images

TIME_MEAN = -0.4
"""of the normal whose logistic is the time: more mass at the noisy end, where the vector decides"""
UNIFORM_SHARE = 0.1
"""of the times that are uniform, so that both ends are learnt"""
LATEST = 0.05
"""smallest 1 - t that the velocity's error is divided by"""


class NoisedBatch(NamedTuple):
    """A micro-batch with its noise and times; `total` images are in the whole batch."""

    features: Features
    images: Images
    noise: Images
    time: Tensor
    total: int


class FlowStep:
    """Conditional flow matching on x_t = t x + (1 - t) eps, x in [-1, 1]: the mean squared error of the velocity.

    `network` maps (features, x_t, t) to the expected x; its velocity is (network - x_t)/(1 - t), the true one x - eps.
    Times are logistic-normal, 10 % of them uniform. Noise and times are a function of (seed, step, process), however a
    share is cut into micro-batches. Source: flow matching, arXiv:2210.02747; predicting x, arXiv:2511.13720.
    """

    def __init__(self, network: nn.Module, settings: Training, accelerator: Accelerator) -> None:
        self.settings = settings
        self._network = network
        self._optimizer = decoder_optimizer(network, settings, accelerator)
        self.ema = self._optimizer.ema

    @property
    def network(self) -> nn.Module:
        """The averaged network, or the network itself where no average is kept."""
        return self._network if self.ema is None else self.ema.network

    @property
    def extra_state(self) -> list[Any]:
        """The moving average, where there is one."""
        return [] if self.ema is None else [self.ema]

    def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]:
        lr = self.settings.lr * rate(self.settings, progress.fraction)
        return self._optimizer(_noised(batch, self.settings.accumulation), self._loss, lr)

    def _loss(self, part: NoisedBatch) -> tuple[Tensor, Logged]:
        images = 2 * part.images - 1
        t = part.time[:, None, None, None]
        expected = self._optimizer.forward(part.features, t * images + (1 - t) * part.noise, part.time)
        # (x_hat - x_t)/(1 - t) - (x - eps) = (x_hat - x)/(1 - t).
        errors = ((expected.float() - images) / (1 - t).clamp_min(LATEST)).square().flatten(1).mean(1)
        loss = errors.sum() / part.total
        return loss, {"train/loss": loss.detach()}


def draw_times(count: int, device: torch.device) -> Tensor:
    """Draw (count,) times in (0, 1) from torch's generator of the device."""
    normal = (TIME_MEAN + torch.randn(count, device=device)).sigmoid()
    uniform = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < UNIFORM_SHARE, uniform, normal)


def _noised(batch: Batch, accumulation: int) -> list[NoisedBatch]:
    time, noise = draw_times(len(batch.images), batch.images.device), torch.randn_like(batch.images)
    count = min(accumulation, batch.total // processes.world_size())
    cut = [torch.tensor_split(whole, count) for whole in (batch.features, batch.images, noise, time)]
    return [NoisedBatch(rows, images, eps, t, batch.total) for rows, images, eps, t in zip(*cut, strict=True)]
