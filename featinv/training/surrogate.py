"""The attacker's own copy of an encoder, distilled from pairs with changed images."""

import math
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featinv.blocks import standardising_scale
from featinv.encoders import Encoder
from featinv.encoders.networks import SmallResNet
from featinv.errors import BadInput
from featinv.precision import resolve_bf16
from featinv.processes import broadcast, device, is_main, seeded
from featinv.types import PairsLike

from .augmentation import augment, dice_for, mix_in_pairs
from .classifier_accuracy import PIXEL_MEAN, PIXEL_STD, resized
from .epochs import held_out_rows, run_epochs
from .robust import moved
from .settings import Ball, ClassifierTraining

MOST_DIMENSIONS = 8192
"""dimensions a vector may have; the last layer of the surrogate has that many rows"""
NOISE = 0.06
"""largest deviation of the noise on the changed images, in pixels of [0, 1]; drawn for each image"""
PAIRS_TO_MEASURE = 20_000


def train_surrogate(
    pairs: PairsLike,
    settings: ClassifierTraining,
    *,
    name: str = "surrogate",
    widths: Sequence[int] = (32, 64, 128),
    blocks: Sequence[int] = (1, 1, 1),
    make: Callable[[int], nn.Module] | None = None,
    ball: Ball | None = None,
    classes: np.ndarray | None = None,
    mix: int | float = 0,
) -> tuple[Encoder, list[dict[str, float]]]:
    """Distil a residual network from public pairs: changed images get the vectors of the unchanged ones.

    Changes are shifts, blur, noise, other colours and a grey patch. Returns it as an encoder, cut at its pooled layer
    (`norm`, standardised, so that what all images share does not weigh in a distance), and its history.

    It needs the pairs only, neither labels nor the victim's weights. What it sees in an image survives those changes,
    so a loss through it teaches a decoder images, where a loss through the victim's own layers teaches it texture
    that only the victim's family sees (docs/results/). Like everything inside a loss it may not judge.

    The loss is the squared error of the standardised vectors, (D,) numbers each; a row of the history is an epoch, with
    "explained", the share of their variance explained on held-out public pairs. Mirrored images come with their own
    vectors where the pairs have two views. Under several processes the main one trains, the others get its weights.
    Raises BadInput for vectors above 8,192-d, Diverged when the loss is not finite. Source: distillation,
    arXiv:1503.02531, with changed inputs for the pupil alone.

    `make` gives another network for its number of outputs, one with a layer `norm`; `widths` and `blocks` are then not
    used. With `ball` a share of each batch is moved where the student errs most (`Ball`): losses through a robust
    network draw what people see (arXiv:1906.00945). With `classes`, (N,) whole numbers from 0, labels of the public
    images or clusters of their vectors, it learns these in place of the vectors, by cross-entropy, and a row of the
    history has "accuracy". In a share `mix` of the batches every image is mixed with another one, and its target
    likewise, half of the time by CutMix (arXiv:1905.04899) and half by mixup (arXiv:1710.09412, alpha 0.4), which was
    measured for 60 passes (docs/results/identify.md). Raises BadInput for classes that are not one for each pair, or
    fewer than 2, and for a mix outside [0, 1] or without classes.
    """
    numbers = math.prod(pairs.feature_shape)
    if numbers > MOST_DIMENSIONS:
        raise BadInput(
            f"pairs: expected vectors of at most {MOST_DIMENSIONS} dimensions to distil, got {numbers}; pool them first"
        )
    if isinstance(mix, bool) or not 0 <= mix <= 1 or (mix and classes is None):
        raise BadInput(f"mix: expected a share of the batches from 0 to 1, above 0 only with classes, got {mix!r}")
    side = settings.side(pairs.image_size)
    outputs = numbers if classes is None else _count(classes, len(pairs))
    with seeded(settings.seed):
        network = make(outputs) if make else SmallResNet(outputs, widths=widths, blocks=blocks, standardise=True)
        history: list[dict[str, float]] = []
        if is_main():
            history = _Distillation(network, pairs, settings, side, ball, classes, mix).train()
    state, history = broadcast((network.state_dict(), history))
    network.load_state_dict(state)
    fingerprint = pairs.metadata.get("fingerprint")
    victim = f"{pairs.metadata.get('name', 'a victim')}" + (f" (victim {fingerprint[:12]})" if fingerprint else "")
    encoder = Encoder(
        network.eval(),
        name=name,
        family=getattr(network, "family", "surrogate"),
        trained_on=f"{len(pairs)} public pairs of {victim}",
        layer="norm",
        input_size=side,
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
    )
    return encoder, history


@final
class _Distillation:
    def __init__(
        self,
        network: nn.Module,
        pairs: PairsLike,
        settings: ClassifierTraining,
        side: int,
        ball: Ball | None = None,
        classes: np.ndarray | None = None,
        mix: int | float = 0,
    ) -> None:
        self.network, self.pairs, self.settings, self.side = network, pairs, settings, side
        self.ball, self.mix = ball, mix
        self.classes = None if classes is None else torch.from_numpy(np.asarray(classes, dtype=np.int64))
        self.outputs = 0 if self.classes is None else int(self.classes.max()) + 1
        held, self.rows = held_out_rows(len(pairs), settings)
        self.held = np.sort(held)
        if len(self.rows) < 2:
            raise BadInput(f"pairs: expected at least 2 to distil from, got {len(self.rows)}; give more")
        self.device = device()
        self.bf16 = resolve_bf16(settings.mixed_precision, self.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.dice = dice_for(self.generator, self.device)
        vectors = torch.from_numpy(pairs.features(np.sort(self.rows[:PAIRS_TO_MEASURE]))).flatten(1)
        mean, deviation = vectors.mean(0), vectors.std(0)
        self.mean, self.scale = mean.to(self.device), standardising_scale(mean, deviation).to(self.device)

    def train(self) -> list[dict[str, float]]:
        self.network.to(self.device).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.lr, weight_decay=self.settings.weight_decay
        )
        history = run_epochs(
            "surrogate",
            self.rows,
            self.settings,
            optimiser,
            self.generator,
            loss=self._loss,
            measure=self._explained if self.classes is None else self._accuracy,
        )
        self.network.cpu().to(memory_format=torch.contiguous_format).eval()
        return history

    def _loss(self, rows: np.ndarray) -> Tensor:
        vectors, images = self.pairs.batch(rows, self._mirrored(len(rows)))
        images = self._changed(resized(images.to(self.device), self.side))
        wanted = self._standardised(vectors) if self.classes is None else self.classes[rows].to(self.device)
        if self.mix and float(torch.rand((), generator=self.generator)) < self.mix:
            images, wanted = mix_in_pairs(images, wanted, self.outputs)
        if self.ball is not None:
            count = math.ceil(self.ball.share * len(rows))
            worse = moved(images[:count], lambda x: self._errors(x, wanted[:count]), self.ball, self.dice)
            images = torch.cat([worse, images[count:]])
        return self._errors(images, wanted).mean()

    def _errors(self, images: Tensor, wanted: Tensor) -> Tensor:
        """(B,) squared errors of standardised vectors, or cross-entropies of classes."""
        predicted = self._predict(images)
        if self.classes is None:
            return (predicted - wanted).square().mean(1)
        return F.cross_entropy(predicted, wanted, reduction="none", label_smoothing=self.settings.label_smoothing)

    def _mirrored(self, count: int) -> np.ndarray | None:
        """A mirrored image has another vector, so the pairs mirror, not the augmentation."""
        if not self.settings.flips or self.pairs.views < 2:
            return None
        return (torch.rand(count, generator=self.generator) < 0.5).numpy()

    def _changed(self, images: Tensor) -> Tensor:
        changed = augment(images, self.settings.without_flips(), self.dice)
        strength = torch.rand(len(images), 1, 1, 1, generator=self.dice, device=self.dice.device).to(images.device)
        noise = torch.randn(images.shape, generator=self.dice, device=self.dice.device).to(images.device)
        return changed + NOISE * strength * noise

    def _predict(self, images: Tensor) -> Tensor:
        x = ((images - PIXEL_MEAN[0]) / PIXEL_STD[0]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.network(x).float()

    def _standardised(self, vectors: Tensor) -> Tensor:
        return (vectors.flatten(1).to(self.device) - self.mean) / self.scale

    @torch.no_grad()
    def _explained(self) -> dict[str, float]:
        """1 - squared error over variance, on held-out pairs, unchanged images, all dimensions alike."""
        if len(self.held) == 0:
            return {}
        self.network.eval()
        error = torch.zeros((), device=self.device)
        for block in np.array_split(self.held, math.ceil(len(self.held) / 512)):
            vectors, images = self.pairs.batch(block)
            predicted = self._predict(resized(images.to(self.device), self.side))
            error += (predicted - self._standardised(vectors)).square().sum() / predicted.shape[1]
        self.network.train()
        return {"explained": 1 - float(error) / len(self.held)}

    @torch.no_grad()
    def _accuracy(self) -> dict[str, float]:
        """Share of held-out images, unchanged, whose class is predicted."""
        if len(self.held) == 0 or self.classes is None:
            return {}
        self.network.eval()
        right = 0
        for block in np.array_split(self.held, math.ceil(len(self.held) / 512)):
            _, images = self.pairs.batch(block)
            predicted = self._predict(resized(images.to(self.device), self.side)).argmax(1).cpu()
            right += int((predicted == self.classes[block]).sum())
        self.network.train()
        return {"accuracy": right / len(self.held)}


def _count(classes: np.ndarray, pairs: int) -> int:
    """Return how many classes there are. Raises BadInput unless there is one whole number from 0 for each pair."""
    classes = np.asarray(classes)
    if classes.shape != (pairs,) or classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() < 1:
        raise BadInput(
            f"classes: expected one whole number from 0 for each of the {pairs} pairs, of 2 or more classes, got "
            f"{classes.dtype} of shape {classes.shape}; leave it out to learn the vectors"
        )
    return int(classes.max()) + 1
