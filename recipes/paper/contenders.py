"""The controls and attacks of figures 4 and 5, by the names that they have there."""

from collections.abc import Callable
from typing import Any

import featinv as fi


def make(name: str, pairs: "fi.Pairs", seen: int, distilled: int) -> Any:
    """Build a control or an attack by its name in the table; all see equally many images, and keep the last weights.

    `distilled` images are seen by each surrogate besides. Raises BadInput for a name that is none.
    """
    training = fi.Training(images=seen, ema=0.998, flips=True, holdout=0, keep="last", weight_decay=0.02)
    makers: dict[str, Callable[[], Any]] = {
        "mean image": fi.attacks.MeanImage,
        "nearest neighbour": fi.attacks.NearestNeighbour,
        "ridge": lambda: fi.attacks.Ridge(penalty=10.0),
        "listik": lambda: fi.presets.listik(
            pairs.feature_shape, pairs.image_size, training=fi.Training.paper(images=seen)
        ),
        "upsampling": lambda: fi.attacks.DecoderAttack(upsampling(pairs), fi.losses.MSE(), training),
        "two surrogates": lambda: fi.presets.two_surrogates(
            pairs, training=training, distillation=distillation(len(pairs), distilled)
        ),
    }
    if name not in makers:
        raise fi.BadInput(f"--attacks: there is no {name!r}; there are {', '.join(makers)}")
    return makers[name]()


def upsampling(pairs: "fi.Pairs") -> "fi.decoders.Upsampling":
    """Return the decoder of two rows, with the first weights of seed 0."""
    with fi.processes.seeded(0):
        return fi.decoders.Upsampling(pairs.feature_shape, pairs.image_size, width=256, channels=8)


def distillation(count: int, images: int) -> "fi.training.ClassifierTraining":
    """Return how a surrogate of `count` pairs is trained that sees so many images."""
    return fi.training.ClassifierTraining(
        epochs=images / count, batch_size=min(128, max(2, count // 2)), blur=0.35, cutout=0.25
    )
