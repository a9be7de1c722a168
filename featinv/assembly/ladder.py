"""The ladder of an audit: which attacks are tried, from controls upwards, and how the minutes are shared among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.training.classifier_settings import ClassifierTraining
from featinv.training.settings import Training

if TYPE_CHECKING:
    from featinv.attacks import DecoderAttack
    from featinv.decoders import Upsampling
    from featinv.encoders import Encoder
    from featinv.types import Attack

SHARES = {"pixels": 0.2, "listik": 0.15, "through the victim": 0.25, "two surrogates": 0.4}
"""what each trained attack gets of the minutes, in the order in which they are trained; what is left out gives its own
to the others"""
DISTILLING = 0.4
"""share of the minutes of "two surrogates" in which both are distilled, half each"""
PASSES, LEAST_PICTURES = 200, 100_000
"""a training ends with its minutes, or after so many passes over the public pictures, and never before so many"""
MOST_WEIGHTS = 250_000_000
"""numbers that a closed form may hold: a gigabyte; it needs a few times that while it is fitted"""
RANDOM_FEATURES, NEIGHBOURS = 1000, 16


CLOSED = (
    "mean image",
    "predicted-class mean",
    "nearest neighbour",
    "16 neighbours averaged",
    "ridge",
    "random features",
)
"""controls and closed forms, in the order in which they are fitted"""


def attack_names() -> tuple[str, ...]:
    """Return every attack that an audit may try, in order; which ones it does try depends on the vectors."""
    return (*CLOSED, *SHARES)


@dataclass(frozen=True)
class Ladder:
    """What an audit tries: controls and closed forms by name, trained attacks with their minutes, and what it leaves.

    `left_out` says why of everything that is not tried.
    """

    closed: tuple[str, ...]
    minutes: dict[str, float]
    left_out: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is tried, in order."""
        return (*self.closed, *self.minutes)


def plan_ladder(
    minutes: int | float, *, public: int, feature_shape: Sequence[int], image_size: int, labelled: bool, white_box: bool
) -> Ladder:
    """Return what is tried on vectors of this shape within so many minutes of training (closed forms not counted).

    `public` is the number of public pictures, `labelled` whether they have classes, `white_box` whether the attacker
    can look through the victim's own layers.
    """
    numbers, pixels = 1, 3 * image_size**2
    for side in feature_shape:
        numbers *= side
    left_out = {}
    if not labelled:
        left_out["predicted-class mean"] = "the public pictures have no classes (one folder a class gives them)"
    if public < NEIGHBOURS:
        left_out["16 neighbours averaged"] = f"there are {public} public pictures"
    for name, width in (("ridge", numbers), ("random features", numbers + RANDOM_FEATURES)):
        if width * pixels > MOST_WEIGHTS:
            left_out[name] = f"{width:,} x {pixels:,} numbers are more than it may hold in memory"
    if not white_box:
        left_out["through the victim"] = "the attacker has no layers of the victim to look through"
    if numbers > 8192:
        left_out["two surrogates"] = f"vectors of {numbers:,} numbers are too long to distil (8,192 at most)"
    return Ladder(
        closed=tuple(name for name in CLOSED if name not in left_out),
        minutes=shared_minutes(minutes, [name for name in SHARES if name not in left_out]),
        left_out=left_out,
    )


def shared_minutes(minutes: int | float, names: Sequence[str]) -> dict[str, float]:
    """Return the minutes of each trained attack: their shares, which add up to all."""
    total = sum(SHARES[name] for name in names)
    return {name: minutes * SHARES[name] / total for name in names}


def closed_attack(name: str) -> "Attack":
    """Return one of the controls and closed forms of the ladder, unfitted."""
    attacks = fi.attacks
    match name:
        case "mean image":
            return attacks.MeanImage()
        case "predicted-class mean":
            return attacks.PredictedClassMean()
        case "nearest neighbour":
            return attacks.NearestNeighbour()
        case "16 neighbours averaged":
            return attacks.NeighbourAverage(k=NEIGHBOURS)
        case "ridge":
            return attacks.Ridge()
    return attacks.RandomFourier(count=RANDOM_FEATURES)


def trained_attack(
    name: str,
    pairs: Any,
    minutes: float,
    *,
    encoder: "Encoder | None" = None,
    surrogates: "tuple[Encoder, Encoder] | None" = None,
    seed: int = 0,
) -> "DecoderAttack":
    """Return one of the trained attacks of the ladder, unfitted, bounded by its minutes.

    "through the victim" looks through `encoder`, "two surrogates" through `surrogates`, whose distillation has had its
    part of the minutes.
    """
    shape, size = pairs.feature_shape, pairs.image_size
    training = Training(
        pictures=max(LEAST_PICTURES, PASSES * len(pairs)),
        minutes=minutes * (1 - DISTILLING) if name == "two surrogates" else minutes,
        batch_size=64,
        flips=pairs.views >= 2,
        seed=seed,
    )
    match name:
        case "pixels":
            return fi.attacks.DecoderAttack(_drawn(seed, shape, size), fi.losses.MSE(), training)
        case "listik":
            return fi.presets.listik(shape, size, training=training)
        case "through the victim":
            assert encoder is not None
            # A small decoder, because the victim's layers take their time.
            small = _drawn(seed, shape, size, width=256, channels=8)
            return fi.presets.perceptual(encoder, size, decoder=small, training=replace(training, batch_size=32))
    own = replace(training, batch_size=128, weight_decay=0.02, ema=0.998, keep="last")
    return fi.presets.two_surrogates(pairs, training=own, surrogates=surrogates)


def distillation(minutes: float, *, seed: int = 0) -> ClassifierTraining:
    """Return how each of the two surrogates is distilled, for the minutes that "two surrogates" has in all."""
    return ClassifierTraining(epochs=20, blur=0.35, cutout=0.25, bf16=True, minutes=minutes * DISTILLING / 2, seed=seed)


def _drawn(seed: int, *arguments: Any, **keywords: Any) -> "Upsampling":
    """First weights are a function of the seed, not of what was built before."""
    with fi.processes.seeded(seed):
        return fi.decoders.Upsampling(*arguments, **keywords)
