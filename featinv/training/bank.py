"""A bank of an attacker's own networks, and the classes that they learn."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

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
"""what distilled copies are trained against by default"""
CLASSIFIERS = ("bank_classes", "bank_classes_wide", "bank_classes_convnext", "bank_clusters")
"""the bank that `presets.identify` makes"""
CLUSTERS = 50
"""most pseudo-classes; at least 20 public images each"""
_MOST_TO_CLUSTER = 20_000
_VICTIM = re.compile(r"\(victim ([0-9a-f]{12})\)")


class Member(NamedTuple):
    """How one surrogate is made: its network for a number of outputs, and what it learns of the public images."""

    name: str
    make: Callable[[int], nn.Module]
    learns: Literal["vectors", "classes", "clusters"] = "vectors"


def bank_members(side: int) -> tuple[Member, ...]:
    """Return every member for images of `side` pixels: four that learn classes or clusters, three that learn vectors.

    None is of a judge's family. Raises BadInput for a side that is no multiple of 8.
    """
    if side < 8 or side % 8:
        raise BadInput(f"bank: expected images of a multiple of 8 pixels a side, got {side}; set input_size")
    patch = max(1, side // 16)

    def residual(*widths: int) -> Callable[[int], nn.Module]:
        return lambda k: SmallResNet(k, widths=widths, patch=patch, standardise=True)

    def convnext(k: int) -> nn.Module:
        return SmallConvNeXt(k, widths=(48, 96), blocks=(1, 1), kernel=5, patch=patch, standardise=True)

    return (
        Member("bank_classes", residual(32, 64, 128), "classes"),
        Member("bank_classes_wide", residual(48, 96, 160), "classes"),
        Member("bank_classes_convnext", convnext, "classes"),
        Member("bank_clusters", residual(32, 64, 128), "clusters"),
        Member("bank_residual", lambda k: SmallResNet(k, widths=(32, 64, 128), standardise=True)),
        Member("bank_convnext", lambda k: SmallConvNeXt(k, widths=(48, 96), patch=patch, standardise=True)),
        Member("bank_vit", lambda k: SmallViT(k, side=side, patch=side // 8, standardise=True)),
    )


def train_bank(
    pairs: PairsLike,
    settings: ClassifierTraining | None = None,
    *,
    ball: Ball | None = None,
    members: Sequence[str] = CLASSIFIERS,
    mix: int | float = 0,
) -> tuple[Encoder, ...]:
    """Return the surrogates that `presets.identify` looks through, trained on public pairs alone; minutes each.

    By default four classifiers on clean images: two residual networks of different widths and one of large depthwise
    convolutions learn the labels of the public images, a third residual network learns clusters of their vectors. Where
    there are no labels all learn clusters, each its own. An independent judge is a classifier: what is common to
    several classifiers is what it sees, too, where networks distilled from the vectors share the victim's texture.
    `members` names others of `bank_members`. Which networks belong in a bank says
    `evaluation.representational_similarity`, and not how many images they classify right (docs/results/identify.md).

    Member k has the seed of `settings` plus k, and each has its `minutes` if there are any. Without `settings` they see
    whole images of at most 64 pixels a side, 30 epochs; with `ball` half of the images are moved inside it, and
    with `mix` those that learn classes see mixed images (`train_surrogate`): they see less as judges do then. Raises
    BadInput as `train_surrogate` does, for an unknown member, and for fewer than 40 pairs that are to be clustered.
    """
    return tuple(encoder for encoder, _ in train_members(pairs, settings, ball=ball, members=members, mix=mix))


def train_members(
    pairs: PairsLike,
    settings: ClassifierTraining | None = None,
    *,
    ball: Ball | None = None,
    members: Sequence[str] = CLASSIFIERS,
    mix: int | float = 0,
) -> tuple[tuple[Encoder, list[dict[str, float]]], ...]:
    """Return the surrogates of `train_bank`, each with the history of its training (a row an epoch)."""
    first = settings or ClassifierTraining(epochs=30)
    known = {member.name: member for member in bank_members(first.side(pairs.image_size))}
    if unknown := [name for name in members if name not in known]:
        raise BadInput(f"bank: expected members among {', '.join(known)}, got {unknown[0]!r}")
    trained = []
    for number, name in enumerate(members):
        member, own = known[name], replace(first, seed=first.seed + number)
        classes = targets_of(member, pairs, seed=own.seed)
        mixed = 0 if classes is None else mix
        trained.append(train_surrogate(pairs, own, name=name, make=member.make, ball=ball, classes=classes, mix=mixed))
    return tuple(trained)


def targets_of(member: Member, pairs: PairsLike, *, seed: int = 0) -> np.ndarray | None:
    """Return the classes (N,) that a member learns, None where it learns the vectors; raises BadInput as they do."""
    if member.learns == "vectors":
        return None
    return class_targets(pairs, seed=seed) if member.learns == "classes" else cluster_targets(pairs, seed=seed)


def class_targets(pairs: PairsLike, *, seed: int = 0) -> np.ndarray:
    """Return the labels of the public images, (N,) from 0; without labels, `cluster_targets`."""
    if pairs.labels is not None and len(np.unique(pairs.labels)) > 1:
        return np.unique(pairs.labels, return_inverse=True)[1].astype(np.int64)
    return cluster_targets(pairs, seed=seed)


def cluster_targets(pairs: PairsLike, *, seed: int = 0) -> np.ndarray:
    """Return the k-means cluster of each vector, (N,) from 0.

    Vectors are standardised; there are up to 50 clusters of at least 20 images on average (k-means++ starts). Raises
    BadInput for fewer than 40 pairs.
    """
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


def judges_family(surrogate: Encoder) -> str:
    """Return the family of judges that a surrogate is of, "" where it is of none; a network of ours has its own say."""
    stated = (surrogate.family, getattr(surrogate.network, "family", ""))
    return next((family for family in stated if family in JUDGES_FAMILIES), "")


def check_bank(bank: Sequence[Encoder], pairs: PairsLike) -> None:
    """Raise BadInput for an empty bank, a member of a judge's family, and one distilled from another victim.

    Which networks will judge is not known here: `evaluation.check_judges` refuses one whose weights a member has.
    """
    if not bank:
        raise BadInput("bank: expected at least one surrogate, got none; leave it out to train four")
    victim = pairs.metadata.get("fingerprint")
    for surrogate in bank:
        if family := judges_family(surrogate):
            raise BadInput(
                f"bank: {surrogate.name} is of the family {family!r}, of which judges are made; take "
                "surrogates of other families, so that what they see in common is no quirk of the judge's"
            )
        match = _VICTIM.search(surrogate.trained_on)
        if match and victim and match.group(1) != victim[:12]:
            raise BadInput(
                f"bank: {surrogate.name} was distilled from victim {match.group(1)}, the pairs are of victim "
                f"{victim[:12]}; distil it from these pairs"
            )
