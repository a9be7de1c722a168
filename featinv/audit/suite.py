"""The attack suite of an audit: what is tried, how the minutes are shared, and the attacks themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.audit.suite_entry import BANK, Materials, Situation, SuiteEntry
from featinv.errors import BadInput
from featinv.training.settings import ClassifierTraining, Training

if TYPE_CHECKING:
    from featinv.decoders import Upsampling
    from featinv.types import Attack

MOST_WEIGHTS = 250_000_000
"""numbers that a closed form may hold: a gigabyte; it needs a few times that while it is fitted"""
MOST_DISTILLED, MOST_EPOCHS = 8192, 30
"""numbers of a vector that a surrogate learns to predict, and passes over the public images in which it does"""
RANDOM_FEATURES, NEIGHBOURS = 1000, 16
LONG_ENOUGH = 50
"""minutes from which on `identify` is tried: each other attack still has what it has in an audit of the usual 30"""
CLUSTERED = 500
"""public images from which on networks of their classes, or of clusters of their vectors, are worth training"""


@dataclass(frozen=True)
class SuitePlan:
    """What an audit tries, in order: closed forms by name, trained attacks with their minutes, and why others are not.

    `entries` are how each is built. `images` is the budget of each training where it is one of images; `minutes` is
    empty then. `over_budget` names those of `left_out` that apply and that more minutes would allow.
    """

    entries: tuple[SuiteEntry, ...]
    minutes: dict[str, float]
    left_out: dict[str, str]
    images: int | None = None
    over_budget: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is tried, in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def closed(self) -> tuple[str, ...]:
        """What is fitted without a share of the minutes."""
        return tuple(entry.name for entry in self.entries if not entry.share)

    @property
    def trained(self) -> tuple[str, ...]:
        """What is trained within the budget."""
        return tuple(entry.name for entry in self.entries if entry.share)

    @property
    def untried(self) -> str:
        """Say which attacks the budget left out, as they bound what the level can claim; "" where there is none."""
        return "; ".join(f"{name!r} was not tried ({self.left_out[name]})" for name in self.over_budget)

    def as_json(self) -> dict[str, Any]:
        """Return the plan in the shape of `audit.json`."""
        return {"closed": list(self.closed), "minutes": self.minutes, "left_out": self.left_out}


def plan_suite(
    minutes: int | float,
    situation: Situation,
    extra: Sequence[SuiteEntry] = (),
    *,
    images: int | None = None,
    suite: Sequence[SuiteEntry] | None = None,
) -> SuitePlan:
    """Return what is tried within so many minutes of training; `extra` are attacks of the caller's, tried last.

    With `images`, each training sees so many, and no number of minutes leaves an attack out: none takes from another.
    `suite` replaces the packaged attacks (`SUITE`); those that it lacks are listed as left out. Raises BadInput for two
    attacks of one name.
    """
    every = (*(SUITE if suite is None else suite), *extra)
    names = [entry.name for entry in every]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadInput(f"--attack: the suite has an attack {min(twice)!r} already; give yours another name")
    left_out = {entry.name: why for entry in every if (why := entry.left_out(situation))}
    over_budget = {
        entry.name: f"it takes {entry.least_minutes:g} minutes of training or more, all attacks together"
        for entry in every
        if entry.name not in left_out and images is None and minutes < entry.least_minutes
    }
    left_out |= over_budget
    left_out |= {entry.name: "the caller left it out" for entry in SUITE if entry.name not in names}
    entries = tuple(entry for entry in every if entry.name not in left_out)
    shares = shared_minutes(minutes, entries) if images is None else {}
    return SuitePlan(entries, shares, left_out, images, tuple(over_budget))


def shared_minutes(minutes: int | float, entries: Sequence[SuiteEntry]) -> dict[str, float]:
    """Return the minutes of each trained attack: their shares, which add up to all."""
    total = sum(entry.share for entry in entries)
    return {entry.name: minutes * entry.share / total for entry in entries if entry.share}


def distillation(images: int, public: int, minutes: float | None, *, seed: int = 0) -> ClassifierTraining:
    """Return how each surrogate is trained on so many images, for at most so many minutes."""
    usual = ClassifierTraining(blur=0.35, cutout=0.25, minutes=minutes, seed=seed)
    rows = public - round(usual.holdout * public)
    batch = min(usual.batch_size, rows)
    # Whole batches, at least one: what is planned is what is seen.
    return replace(usual, batch_size=batch, epochs=max(1, round(images / batch)) / (rows // batch))


def whole_batches(images: int, public: int) -> int:
    """Return how many images a distillation sees that is asked for so many."""
    settings = distillation(images, public, None)
    rows = public - round(settings.holdout * public)
    return round(settings.epochs * (rows // settings.batch_size)) * settings.batch_size


def own_entry(name: str, build: "Callable[[Any], Attack]") -> SuiteEntry:
    """Return an attack of the caller's as an entry: `build(pairs)` returns it unfitted.

    It is not timed: a `DecoderAttack` trains as its own settings say.
    """

    def checked(materials: Materials, training: Training) -> "Attack":
        del training
        attack = build(materials.pairs)
        if missing := [part for part in ("kind", "parameters", "fit", "reconstruct") if not hasattr(attack, part)]:
            raise BadInput(
                f"--attack {name}: expected a function that returns an attack, got {type(attack).__name__} without "
                f"{missing[0]}; featinv.testing.check_attack says what an attack is"
            )
        return attack

    return SuiteEntry(name, checked)


def _pixels(materials: Materials, training: Training) -> "Attack":
    decoder = _drawn(materials)
    return fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training)


def _listik(materials: Materials, training: Training) -> "Attack":
    return fi.presets.listik(materials.pairs.feature_shape, materials.pairs.image_size, training=training)


def _through_the_victim(materials: Materials, training: Training) -> "Attack":
    if materials.encoder is None:
        raise BadInput("through the victim: expected the victim's layers, got none")
    # A small decoder, because the victim's layers take their time.
    decoder = _drawn(materials, width=256, channels=8)
    return fi.presets.perceptual(materials.encoder, materials.pairs.image_size, decoder=decoder, training=training)


def _two_surrogates(materials: Materials, training: Training) -> "Attack":
    surrogates = materials.surrogates
    two = None if surrogates is None else (surrogates[0], surrogates[1])
    return fi.presets.two_surrogates(materials.pairs, training=training, surrogates=two)


def _identify(materials: Materials, training: Training) -> "Attack":
    return fi.presets.identify(materials.pairs, training=training, bank=materials.surrogates)


def _drawn(materials: Materials, **keywords: Any) -> "Upsampling":
    """First weights are a function of the seed, not of what was built before."""
    with fi.processes.seeded(materials.seed):
        return fi.decoders.Upsampling(materials.pairs.feature_shape, materials.pairs.image_size, **keywords)


def _too_wide(added: int) -> Callable[[Situation], str]:
    def why(situation: Situation) -> str:
        width, pixels = situation.width + added, 3 * situation.image_size**2
        return f"{width:,} x {pixels:,} numbers are more than it may hold in memory" * (width * pixels > MOST_WEIGHTS)

    return why


def _without_classes(situation: Situation) -> str:
    return "" if situation.labelled else "the public images have no classes (one folder a class gives them)"


def _few_neighbours(situation: Situation) -> str:
    return f"there are {situation.public} public images" if situation.public < NEIGHBOURS else ""


def _no_layers(situation: Situation) -> str:
    return "" if situation.white_box else "the attacker has no layers of the victim to look through"


def _few_to_cluster(situation: Situation) -> str:
    few = f"{CLUSTERED} public images are needed for it, there are {situation.public}"
    return _too_long_to_distil(situation) or few * (situation.public < CLUSTERED)


def _too_long_to_distil(situation: Situation) -> str:
    long = situation.width > MOST_DISTILLED
    return f"vectors of {situation.width:,} numbers are too long to distil ({MOST_DISTILLED:,} at most)" * long


SUITE: tuple[SuiteEntry, ...] = (
    SuiteEntry("mean image", lambda m, t: fi.attacks.MeanImage()),
    SuiteEntry("predicted-class mean", lambda m, t: fi.attacks.PredictedClassMean(), left_out=_without_classes),
    SuiteEntry("nearest neighbour", lambda m, t: fi.attacks.NearestNeighbour()),
    SuiteEntry(
        "16 neighbours averaged", lambda m, t: fi.attacks.NeighbourAverage(k=NEIGHBOURS), left_out=_few_neighbours
    ),
    SuiteEntry("ridge", lambda m, t: fi.attacks.Ridge(), left_out=_too_wide(0)),
    SuiteEntry(
        "random features",
        lambda m, t: fi.attacks.RandomFourier(count=RANDOM_FEATURES),
        left_out=_too_wide(RANDOM_FEATURES),
    ),
    SuiteEntry("pixels", _pixels, share=0.2),
    SuiteEntry("listik", _listik, share=0.15),
    SuiteEntry("through the victim", _through_the_victim, 0.25, training={"batch_size": 32}, left_out=_no_layers),
    SuiteEntry(
        "two surrogates",
        _two_surrogates,
        share=0.4,
        distilling=0.4,
        training={"batch_size": 128, "weight_decay": 0.02, "ema": 0.998, "keep": "last"},
        left_out=_too_long_to_distil,
    ),
    SuiteEntry(
        "identify",
        _identify,
        share=0.5,
        distilling=0.5,
        training={"batch_size": 128, "lr": 2e-3, "weight_decay": 0.02, "ema": 0.99, "keep": "last"},
        left_out=_few_to_cluster,
        networks=BANK,
        least_minutes=LONG_ENOUGH,
    ),
)
"""controls and closed forms first, then what is trained, in this order; what does not apply gives its share away"""
