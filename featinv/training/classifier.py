"""Training of classifiers: judges, and the packaged encoder."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from featinv.data import ImageSet
from featinv.errors import BadInput, Diverged
from featinv.processes import broadcast, device, is_main, progress_bar, seeded

from .augmentation import augment
from .classifier_accuracy import head_accuracies, head_labels, head_logits, resized
from .classifier_settings import ClassifierTraining


def train_classifier(
    network: nn.Module,
    images: ImageSet,
    settings: ClassifierTraining,
    *,
    targets: Mapping[str, npt.ArrayLike] | None = None,
) -> list[dict[str, float]]:
    """Train one of `featinv.encoders.networks` in place; returns a row an epoch (pictures, seconds, loss, accuracies).

    `targets` gives each of the network's heads its classes, (N,) whole numbers; None is {"label": images.labels}. The
    loss is the first head's cross-entropy, mixed with the mean one of all others. "accuracy" is that of the first
    head, on held-out pictures; each head also has its own "accuracy/HEAD". Under several processes the main one trains
    and the others receive its weights. Raises BadInput for labels that do not fit the heads, Diverged when the loss is
    not finite.
    """
    if targets is None:
        if images.labels is None:
            raise BadInput("images: expected pictures with labels, got none; put them into one folder a class")
        targets = {"label": images.labels}
    run = _Run(network, images, targets, settings)
    history: list[dict[str, float]] = []
    if is_main():
        with seeded(settings.seed):
            history = run.train()
    state, history = broadcast((network.state_dict(), history))
    network.load_state_dict(state)
    network.eval()
    return history


class _Run:
    def __init__(
        self,
        network: nn.Module,
        images: ImageSet,
        targets: Mapping[str, npt.ArrayLike],
        settings: ClassifierTraining,
    ) -> None:
        self.network, self.images, self.targets, self.settings = network, images, targets, settings
        self.labels = head_labels(network, images, targets)
        order = np.random.default_rng(settings.seed).permutation(len(images))
        held = round(settings.holdout * len(images))
        self.held, self.rows = order[:held], order[held:]
        if len(self.rows) < 2:
            raise BadInput(f"images: expected at least 2 pictures to train on, got {len(self.rows)}; give more")
        self.batch_size = min(settings.batch_size, len(self.rows))
        self.budget = max(1, round(settings.epochs * (len(self.rows) // self.batch_size))) * self.batch_size
        self.side = settings.side(images.size)
        self.device = device()
        self.generator = torch.Generator().manual_seed(settings.seed)

    def train(self) -> list[dict[str, float]]:
        home = next(self.network.parameters()).device
        self.network.to(self.device).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.AdamW(self._groups(), lr=self.settings.lr, weight_decay=self.settings.weight_decay)
        history: list[dict[str, float]] = []
        start, seen, fraction = time.monotonic(), 0, 0.0
        with progress_bar(self.budget, "classifier") as bar:
            while fraction < 1:
                losses: list[float] = []
                for rows in self._batches():
                    for group in optimiser.param_groups:
                        group["lr"] = self.settings.lr * learning_rate(fraction, self.settings.warmup)
                    losses.append(self._step(optimiser, rows))
                    seen += len(rows)
                    bar.update(len(rows))
                    fraction = self.settings.fraction(seen / self.budget, time.monotonic() - start)
                    if fraction >= 1:
                        break
                row = {"pictures": float(seen), "seconds": time.monotonic() - start, "loss": float(np.mean(losses))}
                history.append(row | self._accuracies())
                bar.set_postfix({k: f"{v:.3f}" for k, v in history[-1].items() if k in ("loss", "accuracy")})
        self.network.to(home).to(memory_format=torch.contiguous_format).eval()
        return history

    def _groups(self) -> list[dict[str, Any]]:
        parameters = list(self.network.parameters())
        kernels = [p for p in parameters if p.ndim > 1]
        return [{"params": kernels}, {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]

    def _batches(self) -> list[np.ndarray]:
        order = self.rows[torch.randperm(len(self.rows), generator=self.generator).numpy()]
        # The last, smaller batch is dropped: batch normalisation on a handful of pictures does harm.
        return [order[at : at + self.batch_size] for at in range(0, len(order) - self.batch_size + 1, self.batch_size)]

    def _step(self, optimiser: torch.optim.Optimizer, rows: np.ndarray) -> float:
        pictures = resized(self.images.batch(rows).to(self.device), self.side)
        pictures = augment(pictures, self.settings, self.generator)
        logits = head_logits(self.network, pictures, bf16=self.settings.bf16)
        labels = self.labels[rows].to(self.device)
        smoothing = self.settings.label_smoothing
        losses = [F.cross_entropy(part, labels[:, head], label_smoothing=smoothing) for head, part in enumerate(logits)]
        loss = losses[0]
        if len(losses) > 1:
            # Among many easy factors the label would otherwise be learned last, or not at all.
            loss = self.settings.label_share * loss
            loss = loss + (1 - self.settings.label_share) * torch.stack(losses[1:]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"classifier: the cross-entropy is {value}; lower lr ({self.settings.lr})")
        return value

    def _accuracies(self) -> dict[str, float]:
        if len(self.held) == 0:
            return {}
        rates = head_accuracies(
            self.network,
            self.images,
            self.targets,
            rows=self.held,
            input_size=self.side,
            bf16=self.settings.bf16,
        )
        return {"accuracy": next(iter(rates.values()))} | {f"accuracy/{head}": rate for head, rate in rates.items()}


def learning_rate(fraction: float, warmup: float) -> float:
    """Return the multiplier of the learning rate: a linear rise, then half a cosine down to 0."""
    if fraction < warmup:
        return max(fraction, 0.01 * warmup) / warmup
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))
