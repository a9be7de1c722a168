"""From labelled public pictures to a judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featinv.data import ImageSet
from featinv.encoders import Judge
from featinv.encoders.networks import SmallVGG
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
    widths: Sequence[int] = (32, 64, 128, 256),
    convolutions: Sequence[int] = (2, 2, 2, 1),
    trained_on: str = "",
    also: Mapping[str, npt.ArrayLike] | None = None,
) -> tuple[Judge, list[dict[str, float]]]:
    """Train a plain VGG-like judge, without residual connections, on labelled PUBLIC pictures; returns its history too.

    `also` gives further factors, (N,) whole numbers each, that its features must predict beside the label.
    `trained_on` is the pictures' source unless given. Raises BadInput for pictures without labels or class names.
    """
    if images.labels is None or len(images.classes) < 2:
        raise BadInput(
            f"images: expected labels of 2 or more classes, got {len(images.classes)} classes from {images.source}; "
            "put them into one folder a class"
        )
    targets = {"label": images.labels} | {key: np.asarray(column) for key, column in (also or {}).items()}
    heads = {key: int(column.max()) + 1 for key, column in targets.items()} | {"label": len(images.classes)}
    with seeded(settings.seed):
        network = SmallVGG(heads, widths=widths, convolutions=convolutions)
    history = train_classifier(network, images, settings, targets=targets)
    judge = Judge(
        network,
        name=name,
        family="vgg",
        trained_on=trained_on or Path(images.source).name or images.source,
        classes=images.classes,
        input_size=settings.side(images.size),
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
    )
    return judge, history
