"""One network, its optimiser and its moving average: what a step of an optimiser is, whatever the loss is."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adadelta, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from featinv import processes
from featinv.errors import BadInput
from featinv.training.batches import Batch
from featinv.training.settings import Training


def optimiser(parameters: Iterable[nn.Parameter], settings: Training) -> Optimizer:
    """Return the optimiser of a decoder that the settings name, over those parameters that require a gradient.

    torch's Adadelta is Keras's formula term by term (accumulators started at 0, eps inside both roots).
    Raises BadInput when there is nothing to train.
    """
    if settings.optimiser == "adadelta":
        return Adadelta(trained(parameters, "decoder"), lr=settings.lr, rho=settings.rho, eps=settings.eps)
    return adamw(
        trained(parameters, "decoder"), settings.lr, settings.betas, eps=settings.eps, decay=settings.weight_decay
    )


def adamw(
    parameters: list[nn.Parameter], lr: int | float, betas: tuple, *, eps: int | float, decay: int | float
) -> AdamW:
    """Return AdamW, which without weight decay is Adam, in one pass over memory where torch can."""
    # One pass over memory instead of a dozen: with 4 million parameters, 3 ms a step instead of 12 on one core.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    return AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=decay, fused=fused)


def trained(parameters: Iterable[nn.Parameter], whose: str) -> list[nn.Parameter]:
    """Return those parameters that require a gradient. Raises BadInput when there are none."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning:
        raise BadInput(f"{whose}: expected at least one parameter to train, got none that requires a gradient")
    return learning


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


Logged: TypeAlias = dict[str, Tensor]
MicroBatch = TypeVar("MicroBatch")


class NetworkOptimizer:
    """A network, its optimiser and its moving average; called, it takes one optimiser step over micro-batches.

    The network is trained in place; `forward` is what Accelerate prepared of it, to be called where gradients are to
    reach its weights. The gradient is that of the sum of the losses over parts and processes. Of several networks each
    has an optimizer of its own, and the steps of two never overlap: they share one scaler of gradients.
    """

    def __init__(
        self,
        network: nn.Module,
        make_optimiser: Callable[[Iterable[nn.Parameter]], Optimizer],
        accelerator: Accelerator,
        *,
        name: str,
        clip: int | float | None,
        ema: float | None = None,
        compile: bool = False,
    ) -> None:
        self.network = network.to(accelerator.device).train()
        self.name = name
        self.clip = clip
        # A copy of the unwrapped network: preparing patches its forward, and the copy would keep calling the original.
        self.ema = None if ema is None else Ema(network, ema)
        if compile:
            network.compile()
        self._accelerator = accelerator
        self._optimiser = make_optimiser(network.parameters())
        self.forward, scaled = accelerator.prepare(network, self._optimiser)
        # Accelerate's wrapper is for fp16's scaler; without one its step only looks for optional packages, on disk.
        self._take_step = self._optimiser.step if accelerator.scaler is None else scaled.step

    def __call__(
        self, parts: Sequence[MicroBatch], loss: Callable[[MicroBatch], tuple[Tensor, Logged]], lr: float
    ) -> Logged:
        """Take a step of length `lr`; `loss` gives a part's share of the loss, and of what is logged, by name.

        Returns the sums over the parts, and as "train/gradient/<name>" the norm of the gradient before clipping (0
        where fp16 overflowed, so that the step was left out).
        """
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._optimiser.zero_grad()
        values: Logged = {}
        for number, part in enumerate(parts, start=1):
            with contextlib.nullcontext() if number == len(parts) else self._accelerator.no_sync(self.forward):
                value, logged = loss(part)
                # DDP takes the mean over the processes of gradients whose sum we want.
                self._accelerator.backward(value * self._accelerator.num_processes)
            for name, term in logged.items():
                values[name] = values[name] + term if name in values else term
        norm = self._clip()
        self._take_step()
        if self.ema is not None:
            self.ema.update_parameters(self.network)
        return values | {f"train/gradient/{self.name}": norm / self._accelerator.num_processes}

    def _clip(self) -> Tensor:
        # Not accelerator.clip_grad_norm_, which would unscale the gradients of every other optimiser too.
        self._accelerator.unscale_gradients(self._optimiser)
        if self.clip is None:
            gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
        else:
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        return norm if self._accelerator.scaler is None else norm.nan_to_num(0.0, 0.0, 0.0)


def decoder_optimizer(decoder: nn.Module, settings: Training, accelerator: Accelerator) -> NetworkOptimizer:
    """Return the optimiser of a decoder by its settings: learning rule, clipping, moving average, compiled or not."""

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return optimiser(parameters, settings)

    return NetworkOptimizer(
        decoder, make, accelerator, name="decoder", clip=settings.clip, ema=settings.ema, compile=settings.compile
    )


def micro_batches(batch: Batch, count: int) -> list[Batch]:
    """Cut a process's share into `count` parts, or fewer if a process has fewer images; as many in every process."""
    count = min(count, batch.total // processes.world_size())
    features, images = torch.tensor_split(batch.features, count), torch.tensor_split(batch.images, count)
    return [Batch(some, theirs, batch.total) for some, theirs in zip(features, images, strict=True)]
