"""One optimiser step: the piece of a training that knows what is optimised."""

from typing import Any, Protocol, runtime_checkable

from accelerate import Accelerator
from torch import Tensor, nn

from featinv.losses import Loss
from featinv.training.batches import Batch
from featinv.training.network_optimizer import Logged, decoder_optimizer, micro_batches
from featinv.training.progress import Progress, rate
from featinv.training.settings import Training
from featinv.types import Images


@runtime_checkable
class Step(Protocol):
    """What the fit loop asks of a training step; another kind of training is another class.

    Called with this process's share of a batch and the progress so far, it takes one optimiser step (of each network)
    and returns named scalars whose sum over the processes is the value of the batch ("train/loss",
    "train/loss/<term>"). A name may be missing where there is nothing to tell.
    """

    @property
    def network(self) -> nn.Module:
        """The unwrapped network whose weights are validated and kept (the average, where there is one)."""

    @property
    def extra_state(self) -> list[Any]:
        """Objects with state_dict and load_state_dict that checkpoints hold beside what Accelerate prepared."""

    def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]: ...


class RegressionStep:
    """Make an objective of (reconstruction, original) small: accumulation, clipping and the moving average inside.

    The loss of a step is the mean over the global batch, however it is shared out among processes and micro-batches.
    `decoder` is trained in place.
    """

    def __init__(self, decoder: nn.Module, objective: Loss, settings: Training, accelerator: Accelerator) -> None:
        self.decoder = decoder
        self.objective = objective.to(accelerator.device)
        self.settings = settings
        self._optimizer = decoder_optimizer(decoder, settings, accelerator)
        self.ema = self._optimizer.ema

    @property
    def network(self) -> nn.Module:
        """The averaged decoder, or the decoder itself where no average is kept."""
        return self.decoder if self.ema is None else self.ema.network

    @property
    def extra_state(self) -> list[Any]:
        """The moving average, where there is one."""
        return [] if self.ema is None else [self.ema]

    def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]:
        lr = self.settings.lr * rate(self.settings, progress.fraction)
        return self._optimizer(micro_batches(batch, self.settings.accumulation), self._loss, lr)

    def _loss(self, part: Batch) -> tuple[Tensor, Logged]:
        return weighed(self.objective, self._optimizer.forward(part.features), part)


def weighed(objective: Loss, reconstructions: Images, part: Batch) -> tuple[Tensor, Logged]:
    """Return a micro-batch's share of the objective, and of the total and each term by the name it is logged under."""
    terms = objective.named(reconstructions, part.images)
    loss = objective.weigh(terms).sum() / part.total
    logged = {f"train/loss/{name}": value.detach().sum() / part.total for name, value in terms.items()}
    return loss, {"train/loss": loss.detach()} | logged
