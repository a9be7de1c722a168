"""From labelled public images to a judge."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from featinv.data import ImageSet
from featinv.encoders import Judge
from featinv.encoders.networks import SmallMixer, SmallVGG
from featinv.errors import BadInput
from featinv.processes import seeded

from .classifier import train_classifier
from .classifier_accuracy import PIXEL_MEAN, PIXEL_STD
from .classifier_settings import ClassifierTraining


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
