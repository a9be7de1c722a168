"""One optimiser step: the piece of a training that knows what is optimised."""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from featinv.losses import Loss
from featinv.training.batches import Batch
from featinv.training.ema import Ema
from featinv.training.optimisers import optimiser
from featinv.training.settings import Training


@runtime_checkable
class Step(Protocol):
    """What the fit loop asks of a training step; another kind of training (an adversarial one) is another class.

    Called with this process's share of a batch and the multiplier of the learning rate, it takes one optimiser step and
    returns named scalars whose sum over the processes is the value of the batch ("train/loss", "train/loss/<term>").
    """

    @property
    def network(self) -> nn.Module:
        """The unwrapped network whose weights are validated and kept (the average, where there is one)."""

    @property
    def extra_state(self) -> list[Any]:
        """Objects with state_dict and load_state_dict that checkpoints hold beside what Accelerate prepared."""

    def __call__(self, batch: Batch, rate: float, /) -> dict[str, Tensor]: ...


class RegressionStep:
    """Make an objective of (reconstruction, original) small: accumulation, clipping and the moving average inside.

    The loss of a step is the mean over the global batch, however it is shared out among processes and micro-batches.
    `decoder` is trained in place.
    """

    def __init__(self, decoder: nn.Module, objective: Loss, settings: Training, accelerator: Accelerator) -> None:
        self.decoder = decoder.to(accelerator.device).train()
        self.objective = objective.to(accelerator.device)
        self.settings = settings
        # A copy of the unwrapped decoder: preparing patches its forward, and the copy would keep calling the original.
        self.ema = None if settings.ema is None else Ema(decoder, settings.ema)
        if settings.compile:
            decoder.compile()
        self._accelerator = accelerator
        self._optimiser = optimiser(decoder.parameters(), settings)
        self._forward, scaled = accelerator.prepare(decoder, self._optimiser)
        # Accelerate's wrapper is for fp16's scaler; without one its step only looks for optional packages, on disk.
        self._take_step = self._optimiser.step if accelerator.scaler is None else scaled.step

    @property
    def network(self) -> nn.Module:
        """The averaged decoder, or the decoder itself where no average is kept."""
        return self.decoder if self.ema is None else self.ema.network

    @property
    def extra_state(self) -> list[Any]:
        """The moving average, where there is one."""
        return [] if self.ema is None else [self.ema]

    def __call__(self, batch: Batch, rate: float, /) -> dict[str, Tensor]:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.lr * rate
        self._optimiser.zero_grad()
        values: dict[str, Tensor] = {}
        for part, last in micro_batches(batch, self.settings.accumulation):
            with contextlib.nullcontext() if last else self._accelerator.no_sync(self._forward):
                for name, value in self._backward(part).items():
                    values[name] = values[name] + value if name in values else value
        if self.settings.clip is not None:
            self._accelerator.clip_grad_norm_(self.decoder.parameters(), self.settings.clip)
        self._take_step()
        if self.ema is not None:
            self.ema.update_parameters(self.decoder)
        return values

    def _backward(self, part: Batch) -> dict[str, Tensor]:
        terms = self.objective.named(self._forward(part.features), part.images)
        loss = self.objective.weigh(terms).sum() / part.total
        # DDP takes the mean over the processes of gradients whose sum we want.
        self._accelerator.backward(loss * self._accelerator.num_processes)
        logged = {f"train/loss/{name}": value.detach().sum() / part.total for name, value in terms.items()}
        return {"train/loss": loss.detach()} | logged


def micro_batches(batch: Batch, count: int) -> Iterator[tuple[Batch, bool]]:
    """Cut a process's share into `count` parts (or one a picture, if it has fewer); yields (part, is it the last)."""
    count = min(count, len(batch.images))
    features, images = torch.tensor_split(batch.features, count), torch.tensor_split(batch.images, count)
    for number, (one, other) in enumerate(zip(features, images, strict=True), start=1):
        yield Batch(one, other, batch.total), number == count
