"""Passes over rows in shuffled batches: what training a classifier and distilling a surrogate have in common."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.optim import Optimizer

from featinv.errors import Diverged
from featinv.processes import progress_bar

from .progress import warmup_cosine
from .settings import ClassifierTraining

Row = dict[str, float]


def held_out_rows(count: int, settings: ClassifierTraining) -> tuple[np.ndarray, np.ndarray]:
    """Return (held-out rows, rows to train on) of `count`, drawn by the settings' seed."""
    order = np.random.default_rng(settings.seed).permutation(count)
    held = round(settings.holdout * count)
    return order[:held], order[held:]


def run_epochs(
    what: str,
    rows: np.ndarray,
    settings: ClassifierTraining,
    optimiser: Optimizer,
    generator: torch.Generator,
    *,
    loss: Callable[[np.ndarray], torch.Tensor],
    measure: Callable[[], Row],
) -> list[Row]:
    """Take optimiser steps on `loss(rows of a batch)` until the budget is used up; returns a row an epoch.

    A row has images, seconds and the mean loss, and what `measure` says after the epoch. `what` names the progress
    bar and the error. Raises Diverged when the loss is not finite.
    """
    batch_size = min(settings.batch_size, len(rows))
    budget = max(1, round(settings.epochs * (len(rows) // batch_size))) * batch_size
    history: list[Row] = []
    start, images_seen, fraction = time.monotonic(), 0, 0.0
    with progress_bar(budget, what) as bar:
        while fraction < 1:
            losses: list[torch.Tensor] = []
            for batch in _batches(rows, batch_size, generator):
                for group in optimiser.param_groups:
                    group["lr"] = settings.lr * warmup_cosine(fraction, settings.warmup, floor=0.01)
                losses.append(_step(loss(batch), optimiser))
                images_seen += len(batch)
                bar.update(len(batch))
                fraction = settings.fraction(images_seen / budget, time.monotonic() - start)
                if fraction >= 1:
                    break
            mean = _finite_mean(what, losses, settings)
            row = {"images": float(images_seen), "seconds": time.monotonic() - start, "loss": mean}
            measured = measure()
            history.append(row | measured)
            bar.set_postfix(
                {key: f"{value:.3f}" for key, value in [("loss", row["loss"]), *list(measured.items())[:1]]}
            )
    return history


def _step(loss: torch.Tensor, optimiser: Optimizer) -> torch.Tensor:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def _finite_mean(what: str, losses: list[torch.Tensor], settings: ClassifierTraining) -> float:
    # Once an epoch and not in every step, which would wait for the accelerator each time.
    values = np.array(torch.stack(losses).tolist())
    if not np.isfinite(values).all():
        raise Diverged(f"{what}: the loss is {values[~np.isfinite(values)][0]}; lower lr ({settings.lr})")
    return float(values.mean())


def _batches(rows: np.ndarray, batch_size: int, generator: torch.Generator) -> list[np.ndarray]:
    order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    # The last, smaller batch is dropped: batch normalisation on a handful of images does harm.
    return [order[at : at + batch_size] for at in range(0, len(order) - batch_size + 1, batch_size)]
