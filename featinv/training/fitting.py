"""From settings and pairs to fitted weights: the accelerator, the fit loop, and the parts put together."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from featinv import precision, processes
from featinv.configuration import describe
from featinv.errors import BadInput
from featinv.losses import Loss
from featinv.training.adversarial_step import AdversarialStep
from featinv.training.adversary import Adversary
from featinv.training.batches import Batches, hold_out, place, seed_step
from featinv.training.callbacks import (
    Bar,
    CheckpointCallback,
    ListenerCallback,
    SnapshotCallback,
    Snapshots,
    Validation,
)
from featinv.training.checkpoints import Checkpoints
from featinv.training.collapse import CollapseWatch
from featinv.training.history import History
from featinv.training.progress import Progress
from featinv.training.selection import Selection, check_finite, copied_weights
from featinv.training.settings import Training
from featinv.training.step import RegressionStep, Step
from featinv.types import PairsLike

_REFUSED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@contextlib.contextmanager
def accelerating(settings: Training) -> Iterator[Accelerator]:
    """Yield an Accelerator for one training; trainings of different precision may follow each other in one process.

    Accelerate keeps the first Accelerator's precision for the life of the process and refuses another; so its state is
    put aside meanwhile and restored afterwards. Under `accelerate launch` the cores are shared out among the processes.
    Raises BadInput for fp16 on a CPU and for anything but plain data parallelism.
    """
    # Machines of one training may differ: the main process's hardware decides for all.
    chosen = processes.broadcast(precision.resolve(settings.mixed_precision, processes.device()))
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        processes.share_threads()
    before = dict(AcceleratorState._shared_state)
    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(mixed_precision=chosen, dynamo_backend="no")
        if (kind := accelerator.distributed_type) in _REFUSED:
            raise BadInput(
                f"accelerate launch: {kind.value} was asked for; decoders and their adversaries are trained with plain "
                "DDP only, because Accelerate's FSDP2 and DeepSpeed refuse two models"
            )
        try:
            yield accelerator
        finally:
            accelerator.free_memory()
    finally:
        AcceleratorState._reset_state()
        AcceleratorState._shared_state.update(before)


@runtime_checkable
class Callback(Protocol):
    """Called after every step: history, validation, checkpoints and the progress bar are callbacks."""

    def __call__(self, progress: Progress, values: dict[str, Tensor], /) -> None: ...


def run(
    step: Step,
    batches: Batches,
    progress: Progress,
    settings: Training,
    callbacks: Sequence[Callback],
    device: torch.device,
) -> None:
    """Take steps until the budget is used up; every step is a function of the weights, the seed and its own number."""
    while not progress.done:
        seed_step(settings.seed, progress.step, device)
        batch = place(batches.load(progress.step), device)
        values = step(batch, progress)
        progress.advance(batch.total)
        for callback in callbacks:
            callback(progress, values)


IMAGES_TO_COMPARE = 16
"""images whose pixels a resumed training compares, to refuse other pairs"""


@dataclass(frozen=True)
class FitOptions:
    """How a training is run, beside what is trained and on what: none of it changes the weights.

    With `checkpoints` a killed training goes on where it was, unless `resume` is false: then a state that is there
    already is refused. `listener` gets each row of the history as it is closed. `snapshots.take` gets copies of the
    weights.
    """

    checkpoints: Checkpoints | None = None
    progress: bool = True
    resume: bool = True
    listener: Callable[[dict[str, float]], object] | None = None
    snapshots: Snapshots | None = None


class Fitted(NamedTuple):
    """The outcome of a training: the weights to keep, and how it went."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]
    seconds: float
    steps: int
    images: int
    notices: list[str]
    precision: str


def fit_decoder(
    decoder: nn.Module,
    objective: Loss,
    pairs: PairsLike,
    settings: Training,
    options: FitOptions | None = None,
    *,
    adversary: Adversary | None = None,
    identity: dict[str, Any] | None = None,
) -> Fitted:
    """Train a decoder on public pairs to make the objective small, from the weights that it has; changes it in place.

    With an adversary its discriminator is trained in place as well. Returns the weights to keep, which are the average
    or the best, not those that `decoder` is left with; an adversarial training keeps its last. `identity` says in JSON
    what is trained: checkpoints of another identity, settings or pairs are refused. Raises BadInput before the first
    step, and Diverged when a loss is not finite.
    """
    settings = replace(settings, keep=settings.kept(adversarial=adversary is not None))
    named = {"objective": repr(objective), **(identity or {})}
    watch = None
    if adversary is not None:
        adversary.check(int(pairs.image_size), tuple(pairs.feature_shape))
        named["adversary"] = repr(adversary)
        watch = CollapseWatch(adversary.adversarial_start)

    def make_step(accelerator: Accelerator) -> Step:
        if adversary is None:
            return RegressionStep(decoder, objective, settings, accelerator)
        return AdversarialStep(decoder, objective, adversary, settings, accelerator)

    return fit_steps(make_step, pairs, settings, options, identity=named, watch=watch)


def fit_steps(
    make_step: Callable[[Accelerator], Step],
    pairs: PairsLike,
    settings: Training,
    options: FitOptions | None = None,
    *,
    identity: dict[str, Any],
    watch: CollapseWatch | None = None,
) -> Fitted:
    """Run any kind of step over public pairs, with validation, checkpoints and a progress bar (see `fit_decoder`)."""
    options = FitOptions() if options is None else options
    settings = replace(settings, keep=settings.kept())
    with accelerating(settings) as accelerator, processes.seeded(settings.seed):
        trained_on, held_out = hold_out(pairs, settings.holdout, settings.seed)
        batches = Batches(trained_on, batch_size=settings.batch_size, seed=settings.seed, flips=settings.flips)
        step = make_step(accelerator)
        so_far, history, selection = Progress(settings), History(settings), Selection()
        watches = [] if watch is None else [watch]
        accelerator.register_for_checkpointing(so_far, history, selection, *step.extra_state, *watches)

        callbacks: list[Callback] = [history, *watches]
        if held_out is not None:
            callbacks.append(Validation(step, held_out, settings, history, selection, accelerator.device))
        if options.checkpoints is not None:
            identity = {**identity, **_circumstances(pairs, settings), "precision": accelerator.mixed_precision}
        callbacks += _chosen_callbacks(options, step, history, watch, identity, accelerator)
        with contextlib.ExitStack() as stack:
            if options.progress:
                bar = stack.enter_context(processes.progress_bar(settings.images, "training", initial=so_far.images))
                callbacks.append(Bar(bar, history, so_far))
            run(step, batches, so_far, settings, callbacks, accelerator.device)

        weights = selection.weights if settings.keep == "best" else None
        weights = copied_weights(step.network) if weights is None else weights
        check_finite(weights, so_far)
        notices = [] if watch is None else watch.notices
        chosen = str(accelerator.mixed_precision)
        return Fitted(weights, history.rows, so_far.seconds, so_far.step, so_far.images, notices, chosen)


def _chosen_callbacks(
    options: FitOptions,
    step: Step,
    history: History,
    watch: CollapseWatch | None,
    identity: dict[str, Any],
    accelerator: Accelerator,
) -> list[Callback]:
    """Return the callbacks that the options ask for; resumes from the newest checkpoint, if there is one."""
    callbacks: list[Callback] = []
    if options.snapshots is not None:  # before the checkpoint, so that what a checkpoint has passed has been taken
        callbacks.append(SnapshotCallback(step, options.snapshots))
    if options.checkpoints is not None:
        if not options.resume:
            options.checkpoints.refuse_existing()
        else:
            options.checkpoints.resume(accelerator, identity)
        callbacks.append(CheckpointCallback(options.checkpoints, accelerator, step, history, identity, watch))
    if options.listener is not None:
        callbacks.append(ListenerCallback(history, options.listener))
    return callbacks


def _circumstances(pairs: PairsLike, settings: Training) -> dict[str, Any]:
    """What, beside the network and its objective, decides the weights that come out."""
    rows = np.unique(np.linspace(0, len(pairs) - 1, IMAGES_TO_COMPARE).astype(np.int64))
    pixels = (pairs.batch(rows)[1].cpu() * 255).round().to(torch.uint8).numpy().tobytes()
    described = {"count": len(pairs), "feature_shape": list(pairs.feature_shape), "views": pairs.views}
    described |= {"victim": pairs.metadata.get("fingerprint"), "images": hashlib.sha256(pixels).hexdigest()}
    return {"training": describe(settings)["args"], "pairs": described, "processes": processes.world_size()}
