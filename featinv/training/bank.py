"""A bank of robust surrogates of four families, and the classes that one of them learns."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.cluster.vq
from torch import nn

from featinv.encoders import Encoder
from featinv.encoders.networks import SmallConvNeXt, SmallMixer, SmallResNet, SmallVGG, SmallViT
from featinv.errors import BadInput
from featinv.types import PairsLike

from .settings import Ball, ClassifierTraining
from .surrogate import train_surrogate

JUDGES_FAMILIES = (SmallVGG.family, SmallMixer.family)
"""families of which judges are made, and no member of a bank"""
ROBUST = Ball()
"""what a bank is trained against by default"""
CLUSTERS = 50
"""most pseudo-classes; at least 20 public images each"""
_MOST_TO_CLUSTER = 20_000
_VICTIM = re.compile(r"\(victim ([0-9a-f]{12})\)")


class Member(NamedTuple):
    """How one surrogate is made: its network for a number of outputs, and whether it learns classes or vectors."""

    name: str
    make: Callable[[int], nn.Module]
    classes: bool = False


def bank_members(side: int) -> tuple[Member, ...]:
    """Return the four members for images of `side` pixels: residual, depthwise 7 x 7, transformer, residual on classes.

    None is of a judge's family. Raises BadInput for a side that is no multiple of 8.
    """
    if side < 8 or side % 8:
        raise BadInput(f"bank: expected images of a multiple of 8 pixels a side, got {side}; set input_size")
    patch = max(1, side // 16)
    return (
        Member("bank_residual", lambda k: SmallResNet(k, widths=(32, 64, 128), standardise=True)),
        Member("bank_convnext", lambda k: SmallConvNeXt(k, widths=(48, 96), patch=patch, standardise=True)),
        Member("bank_vit", lambda k: SmallViT(k, side=side, patch=side // 8, standardise=True)),
        Member("bank_classes", lambda k: SmallResNet(k, widths=(24, 48, 96), standardise=True), classes=True),
    )


def distil_bank(
    pairs: PairsLike, distillation: ClassifierTraining | None = None, *, ball: Ball | None = ROBUST
) -> tuple[Encoder, ...]:
    """Return the surrogates that `presets.identify` looks through, trained on public pairs alone; takes minutes each.

    Member k has the seed of `distillation` plus k, and each has its `minutes` if there are any. By default they see
    half the side, 20 epochs, on images moved inside `ball` (None: on clean images only). The last learns the labels of
    the public images, or clusters of their vectors where there are none. Raises BadInput as `train_surrogate` does, and
    for fewer than 40 pairs without labels.
    """
    side = max(8, pairs.image_size // 2)
    first = distillation or ClassifierTraining(epochs=20, blur=0.35, cutout=0.25, input_size=side)
    bank = []
    for number, member in enumerate(bank_members(first.side(pairs.image_size))):
        classes = class_targets(pairs, seed=first.seed) if member.classes else None
        settings = replace(first, seed=first.seed + number)
        bank.append(train_surrogate(pairs, settings, name=member.name, make=member.make, ball=ball, classes=classes)[0])
    return tuple(bank)


def class_targets(pairs: PairsLike, *, seed: int = 0) -> np.ndarray:
    """Return the labels of the public images, (N,) from 0; without labels, the k-means cluster of each vector.

    Vectors are standardised; there are up to 50 clusters of at least 20 images on average (k-means++ starts). Raises
    BadInput for fewer than 40 pairs without labels.
    """
    if pairs.labels is not None and len(np.unique(pairs.labels)) > 1:
        return np.unique(pairs.labels, return_inverse=True)[1].astype(np.int64)
    if len(pairs) < 40:
        raise BadInput(f"pairs: expected labels, or at least 40 pairs to cluster, got {len(pairs)} without labels")
    vectors = np.asarray(pairs.features(np.arange(len(pairs)))).reshape(len(pairs), -1).astype(np.float64)
    vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), 1e-9)
    count = min(CLUSTERS, len(pairs) // 20)
    # Drawn, not the first ones: public images are often sorted by class.
    some = np.random.default_rng(seed).permutation(len(vectors))[:_MOST_TO_CLUSTER]
    centres, _ = scipy.cluster.vq.kmeans2(vectors[some], count, minit="++", seed=seed)
    nearest = scipy.cluster.vq.vq(vectors, centres)[0]
    return np.unique(nearest, return_inverse=True)[1].astype(np.int64)


def check_bank(bank: Sequence[Encoder], pairs: PairsLike) -> None:
    """Raise BadInput for an empty bank, a member of a judge's family, and one distilled from another victim."""
    if not bank:
        raise BadInput("bank: expected at least one surrogate, got none; leave it out to distil four")
    victim = pairs.metadata.get("fingerprint")
    for surrogate in bank:
        if surrogate.family in JUDGES_FAMILIES:
            raise BadInput(
                f"bank: {surrogate.name} is of the family {surrogate.family!r}, of which judges are made; take "
                "surrogates of other families, so that what they see in common is no quirk of the judge's"
            )
        match = _VICTIM.search(surrogate.trained_on)
        if match and victim and match.group(1) != victim[:12]:
            raise BadInput(
                f"bank: {surrogate.name} was distilled from victim {match.group(1)}, the pairs are of victim "
                f"{victim[:12]}; distil it from these pairs"
            )
