"""The fit loop."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from featinv.training.batches import Batches, place, seed_step
from featinv.training.progress import Progress
from featinv.training.settings import Training
from featinv.training.step import Step


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
        for watcher in callbacks:
            watcher(progress, values)
