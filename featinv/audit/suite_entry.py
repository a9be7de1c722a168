"""An attack of an audit's suite as a value: when it applies, how it is trained, and how it is built."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.training.settings import ClassifierTraining, Training
from featinv.types import PairsLike

if TYPE_CHECKING:
    from featinv.encoders import Encoder
    from featinv.types import Attack

PASSES, LEAST_IMAGES = 200, 100_000
"""a training sees at most so many times the public images, or so many images, whichever is more"""


@dataclass(frozen=True)
class Situation:
    """What decides which attacks apply: the public images, the vectors, and whether the victim's layers are at hand."""

    public: int
    feature_shape: tuple[int, ...]
    image_size: int
    labelled: bool
    white_box: bool

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return math.prod(self.feature_shape)


@dataclass(frozen=True)
class Materials:
    """What an attack may be built from; `surrogates` only where the entry trains them."""

    pairs: PairsLike
    encoder: "Encoder | None" = None
    surrogates: "tuple[Encoder, ...] | None" = None
    seed: int = 0


@dataclass(frozen=True)
class Networks:
    """The attacker's own networks that an attack looks through: how they are trained, and the names of their files."""

    train: "Callable[[PairsLike, ClassifierTraining], Sequence[tuple[Encoder, list[dict[str, float]]]]]"
    files: tuple[str, ...]


def _two(pairs: PairsLike, settings: ClassifierTraining) -> "Sequence[tuple[Encoder, list[dict[str, float]]]]":
    return fi.presets.distil_two(pairs, settings)


def _bank(pairs: PairsLike, settings: ClassifierTraining) -> "Sequence[tuple[Encoder, list[dict[str, float]]]]":
    return fi.training.train_members(pairs, settings)


TWO_SURROGATES = Networks(_two, ("a", "b"))
BANK = Networks(_bank, ("classes", "classes_wide", "classes_convnext", "clusters"))


@dataclass(frozen=True)
class SuiteEntry:
    """One attack of the suite.

    `share` is what it gets of the minutes (0: a closed form, which is not timed), `distilling` the part of these in
    which its `networks` are trained first, and `training` and `distillation` what differs from the suite's settings of
    both. `left_out` says why it does not apply, "" where it does, and `least_minutes` is the budget of the whole suite
    from which on it is tried, where that is one of minutes; `build` returns it unfitted.
    """

    name: str
    build: "Callable[[Materials, Training], Attack]"
    share: float = 0.0
    distilling: float = 0.0
    training: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    distillation: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    left_out: Callable[[Situation], str] = lambda situation: ""
    networks: Networks = TWO_SURROGATES
    least_minutes: int | float = 0

    def settings(self, pairs: PairsLike, images: int | None, minutes: float | None, seed: int) -> Training:
        """Return how it is trained: on so many images, for at most so many minutes (None: unbounded)."""
        usual = Training(
            images=most_images(len(pairs)) if images is None else images,
            minutes=minutes,
            batch_size=64,
            flips=pairs.views >= 2,
            seed=seed,
        )
        return replace(usual, **self.training)


def most_images(public: int) -> int:
    """Return how many images a training sees at most, however many its minutes would allow."""
    return max(LEAST_IMAGES, PASSES * public)
