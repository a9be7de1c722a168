"""Training of classifiers: judges, and the packaged encoder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from featinv.data import ImageSet
from featinv.encoders import Judge
from featinv.encoders.networks import SmallMixer, SmallVGG
from featinv.errors import BadInput
from featinv.precision import resolve_bf16
from featinv.processes import broadcast, device, is_main, seeded

from .augmentation import augment, dice_for
from .classifier_accuracy import PIXEL_MEAN, PIXEL_STD, head_accuracies, head_labels, head_logits, resized
from .epochs import held_out_rows, run_epochs
from .settings import ClassifierTraining


def train_classifier(
    network: nn.Module,
    images: ImageSet,
    settings: ClassifierTraining,
    *,
    targets: Mapping[str, npt.ArrayLike] | None = None,
) -> list[dict[str, float]]:
    """Train one of `featinv.encoders.networks` in place; returns a row an epoch (images, seconds, loss, accuracies).

    `targets` gives each of the network's heads its classes, (N,) whole numbers; None is {"label": images.labels}. The
    loss is the first head's cross-entropy, mixed with the mean one of all others. "accuracy" is that of the first
    head, on held-out images; each head also has its own "accuracy/HEAD". Under several processes the main one trains
    and the others receive its weights. Raises BadInput for labels that do not fit the heads, Diverged when the loss is
    not finite.
    """
    if targets is None:
        if images.labels is None:
            raise BadInput("images: expected images with labels, got none; put them into one folder a class")
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
        self.held, self.rows = held_out_rows(len(images), settings)
        if len(self.rows) < 2:
            raise BadInput(f"images: expected at least 2 images to train on, got {len(self.rows)}; give more")
        self.side = settings.side(images.size)
        self.device = device()
        self.bf16 = resolve_bf16(settings.mixed_precision, self.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.dice = dice_for(self.generator, self.device)

    def train(self) -> list[dict[str, float]]:
        home = next(self.network.parameters()).device
        self.network.to(self.device).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.AdamW(self._groups(), lr=self.settings.lr, weight_decay=self.settings.weight_decay)
        history = run_epochs(
            "classifier",
            self.rows,
            self.settings,
            optimiser,
            self.generator,
            loss=self._loss,
            measure=self._accuracies,
        )
        self.network.to(home).to(memory_format=torch.contiguous_format).eval()
        return history

    def _groups(self) -> list[dict[str, Any]]:
        parameters = list(self.network.parameters())
        kernels = [p for p in parameters if p.ndim > 1]
        return [{"params": kernels}, {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]

    def _loss(self, rows: np.ndarray) -> torch.Tensor:
        images = resized(self.images.batch(rows).to(self.device), self.side)
        images = augment(images, self.settings, self.dice)
        logits = head_logits(self.network, images, bf16=self.bf16)
        labels = self.labels[rows].to(self.device)
        smoothing = self.settings.label_smoothing
        losses = [F.cross_entropy(part, labels[:, head], label_smoothing=smoothing) for head, part in enumerate(logits)]
        loss = losses[0]
        if len(losses) > 1:
            # Among many easy factors the label would otherwise be learned last, or not at all.
            loss = self.settings.label_share * loss
            loss = loss + (1 - self.settings.label_share) * torch.stack(losses[1:]).mean()
        return loss

    def _accuracies(self) -> dict[str, float]:
        if len(self.held) == 0:
            return {}
        rates = head_accuracies(
            self.network,
            self.images,
            self.targets,
            rows=self.held,
            input_size=self.side,
            bf16=self.bf16,
        )
        return {"accuracy": next(iter(rates.values()))} | {f"accuracy/{head}": rate for head, rate in rates.items()}


def train_judge(
    images: ImageSet,
    settings: ClassifierTraining,
    *,
    name: str = "vgg",
    make: Callable[[Mapping[str, int]], nn.Module] = SmallVGG,
    trained_on: str = "",
    also: Mapping[str, npt.ArrayLike] | None = None,
) -> tuple[Judge, list[dict[str, float]]]:
    """Train a judge without residual connections on labelled PUBLIC images; returns its history too.

    `make` gives the network for {head: classes}: a `SmallVGG`, or for a second judge of yet another family a
    `SmallMixer`. `also` gives further factors, (N,) whole numbers each, that its features must predict beside the
    label. `trained_on` is the images' source unless given. Raises BadInput for images without labels or class
    names, and for another kind of network.
    """
    if images.labels is None or len(images.classes) < 2:
        raise BadInput(
            f"images: expected labels of 2 or more classes, got {len(images.classes)} classes from {images.source}; "
            "put them into one folder a class"
        )
    targets = {"label": images.labels} | {key: np.asarray(column) for key, column in (also or {}).items()}
    heads = {key: int(column.max()) + 1 for key, column in targets.items()} | {"label": len(images.classes)}
    with seeded(settings.seed):
        network = make(heads)
    if not isinstance(network, SmallVGG | SmallMixer):
        raise BadInput(
            f"network: expected SmallVGG or SmallMixer for a judge, got {type(network).__name__}; a network that you "
            "trained yourself becomes a judge by featinv.encoders.Judge(network, ...)"
        )
    history = train_classifier(network, images, settings, targets=targets)
    judge = Judge(
        network,
        name=name,
        family=network.family,
        trained_on=trained_on or Path(images.source).name or images.source,
        classes=images.classes,
        input_size=settings.side(images.size),
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
    )
    return judge, history
