"""The attacker's own copy of an encoder, distilled from pairs: a perception that texture does not fool."""

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from featinv.encoders import Encoder
from featinv.encoders.networks import SmallResNet
from featinv.errors import BadInput
from featinv.precision import resolve_bf16
from featinv.processes import broadcast, device, is_main, seeded

from .augmentation import augment
from .classifier_accuracy import PIXEL_MEAN, PIXEL_STD, resized
from .classifier_settings import ClassifierTraining
from .epochs import held_out_rows, run_epochs

MOST_NUMBERS = 8192
"""numbers a vector may have; the last layer of the surrogate has that many rows"""
NOISE = 0.06
"""largest deviation of the noise on the changed images, in pixels of [0, 1]; drawn for each image"""
PAIRS_TO_MEASURE = 20_000


def train_surrogate(
    pairs: Any,
    settings: ClassifierTraining,
    *,
    name: str = "surrogate",
    widths: Sequence[int] = (32, 64, 128),
    blocks: Sequence[int] = (1, 1, 1),
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
    Raises BadInput for vectors of over 8,192 numbers, Diverged when the loss is not finite. Source: distillation,
    arXiv:1503.02531, with changed inputs for the pupil alone.
    """
    numbers = math.prod(pairs.feature_shape)
    if numbers > MOST_NUMBERS:
        raise BadInput(
            f"pairs: expected vectors of at most {MOST_NUMBERS} numbers to distil, got {numbers}; pool them first"
        )
    side = settings.side(pairs.image_size)
    with seeded(settings.seed):
        network = SmallResNet(numbers, widths=widths, blocks=blocks, standardise=True)
        history: list[dict[str, float]] = []
        if is_main():
            history = _Distillation(network, pairs, settings, side).train()
    state, history = broadcast((network.state_dict(), history))
    network.load_state_dict(state)
    encoder = Encoder(
        network.eval(),
        name=name,
        family="surrogate",
        trained_on=f"{len(pairs)} public pairs of {pairs.metadata.get('name', 'a victim')}",
        layer="norm",
        input_size=side,
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
    )
    return encoder, history


@final
class _Distillation:
    def __init__(self, network: SmallResNet, pairs: Any, settings: ClassifierTraining, side: int) -> None:
        self.network, self.pairs, self.settings, self.side = network, pairs, settings, side
        held, self.rows = held_out_rows(len(pairs), settings)
        self.held = np.sort(held)
        if len(self.rows) < 2:
            raise BadInput(f"pairs: expected at least 2 to distil from, got {len(self.rows)}; give more")
        self.device = device()
        self.bf16 = resolve_bf16(settings.mixed_precision, self.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        known = torch.from_numpy(pairs.features(np.sort(self.rows[:PAIRS_TO_MEASURE]))).flatten(1)
        self.mean, self.scale = known.mean(0).to(self.device), known.std(0).clamp(min=1e-6).to(self.device)

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
            measure=self._explained,
        )
        self.network.cpu().to(memory_format=torch.contiguous_format).eval()
        return history

    def _loss(self, rows: np.ndarray) -> Tensor:
        vectors, images = self.pairs.batch(rows, self._mirrored(len(rows)))
        images = self._changed(resized(images.to(self.device), self.side))
        return (self._predict(images) - self._standardised(vectors)).square().mean()

    def _mirrored(self, count: int) -> np.ndarray | None:
        """A mirrored image has another vector, so the pairs mirror, not the augmentation."""
        if not self.settings.flips or getattr(self.pairs, "views", 1) < 2:
            return None
        return (torch.rand(count, generator=self.generator) < 0.5).numpy()

    def _changed(self, images: Tensor) -> Tensor:
        changed = augment(images, self.settings.without_flips(), self.generator)
        strength = torch.rand(len(images), 1, 1, 1, generator=self.generator).to(images.device)
        noise = torch.randn(images.shape, generator=self.generator).to(images.device)
        return changed + NOISE * strength * noise

    def _predict(self, images: Tensor) -> Tensor:
        x = ((images - PIXEL_MEAN[0]) / PIXEL_STD[0]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.network(x).float()

    def _standardised(self, vectors: Tensor) -> Tensor:
        return (vectors.flatten(1).to(self.device) - self.mean) / self.scale

    @torch.no_grad()
    def _explained(self) -> dict[str, float]:
        """1 - squared error over variance, on held-out pairs, unchanged images, all numbers of the vectors alike."""
        if len(self.held) == 0:
            return {}
        self.network.eval()
        error = torch.zeros((), device=self.device)
        for block in np.array_split(self.held, math.ceil(len(self.held) / 512)):
            vectors, images = self.pairs.batch(block)
            made = self._predict(resized(images.to(self.device), self.side))
            error += (made - self._standardised(vectors)).square().sum() / made.shape[1]
        self.network.train()
        return {"explained": 1 - float(error) / len(self.held)}
