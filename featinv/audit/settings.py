"""What an audit is asked, checked before anything is loaded (nothing here imports torch)."""

import inspect
import json
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from featinv.configuration import Component, find
from featinv.errors import BadInput
from featinv.plain_numbers import check_positive, check_seed, make_plain

LEVELS = ("none", "L1", "L2", "L3", "L4")
NOBODY = "none"
WHY_PUBLIC = (
    "no attacker trains on nothing: every attack learns from images that are not private, and without them an audit "
    "would measure nobody"
)


@dataclass(frozen=True)
class AuditSettings:
    """What is audited, with which images, for how long, and where the results go.

    Raises BadInput for what is missing or contradicts itself, saying which flag.
    """

    out: str
    """folder for the results"""
    public: str | None = None
    """images that the attacker may have: a folder, .npz or .npy"""
    private: str | None = None
    """images whose vectors are published; scoring alone looks at them"""
    victim: str | None = None
    """the encoder, NAME[:VALUE][,KEY=VALUE...]: an export of featinv.encoders, or the import path of a function of
    yours that returns one; its code is run"""
    features: str | None = None
    """vectors computed elsewhere, in place of a victim"""
    public_features: str | None = None
    """the vectors of the public images, where `features` holds those of the private ones only"""
    column: str | None = None
    """which column, array or tensor of these files holds the vectors; null: chosen by rule"""
    id_column: str | None = None
    """which one names the images; "none": the rows are in the order of the images; null: chosen by rule"""
    layer: str | None = None
    """where the encoder is cut; its own default when not given"""
    defence: str = "Identity"
    """what is done to the vectors before release, NAME[:VALUE][,KEY=VALUE...]"""
    size: int | None = None
    """side of the images in pixels; null: what the encoder sees, rounded up to a power of two, 256 at most; 64 with
    `features`"""
    smaller: Literal["refuse", "skip", "upscale"] = "refuse"
    """what to do with an image smaller than `size`"""
    minutes: int | float = 30
    """budget: minutes of training, all attacks together; reading, encoding and scoring come on top"""
    images: int | None = None
    """images on which each training is done, in place of minutes: the same numbers on slow and fast machines"""
    attacks: tuple[str, ...] = ()
    """attacks of yours, NAME=my_package.build each: a function that takes the public pairs and returns an attack"""
    judges: tuple[str, ...] = ()
    """files of judges, the first one counts; none: the packaged one, which knows synthetic scenes only"""
    train_judge: bool = False
    """train a judge on the labelled public images, within a quarter of the minutes on top"""
    metrics: tuple[str, ...] = ()
    """metrics of yours beside all of featinv's, by import path; their code is run"""
    named: str = "two surrogates"
    """the attack on which the level rests, named before the private images are opened; "none": the level is corrected
    for all of them alike"""
    max_level: str | None = None
    """the highest level that passes; "none" passes where no leak was shown"""
    show_images: bool = True
    """show private images in the report"""
    seed: int = 0
    """draws the release, the trainings and the bootstrap"""
    tracking: dict[str, Any] = field(default_factory=lambda: {"mode": "disabled"})
    """what is told to wandb: fields of TrackingSettings"""

    def __post_init__(self) -> None:
        make_plain(self)
        self._check_texts()
        if (self.victim is None) == (self.features is None):
            got = "neither" if self.victim is None else "both"
            raise BadInput(
                f"audit: expected --victim (an encoder) or --features (vectors computed elsewhere), got {got}; give one"
            )
        if self.public is None:
            raise BadInput(
                f"audit: expected public images, got none; {WHY_PUBLIC}. Give --public DIR: a few thousand images "
                "of the same kind that are not private, your own older ones or a public data set"
            )
        if self.private is None:
            raise BadInput("audit: expected --private DIR, the images whose vectors are published; got none")
        check_positive("--minutes", self.minutes)
        check_seed("--seed", self.seed)
        if self.images is not None and self.images < 1:
            raise BadInput(f"--images: expected at least 1, got {self.images}")
        if self.size is not None and self.size not in (8, 16, 32, 64, 128, 256):
            raise BadInput(f"--size: expected a power of two from 8 to 256, as decoders draw, got {self.size}")
        if self.max_level is not None and self.max_level not in LEVELS:
            raise BadInput(f"--max-level: expected one of {', '.join(LEVELS)}, got {self.max_level!r}")
        self._check_flags_that_exclude_others()

    def _check_texts(self) -> None:
        """Raise BadInput for a path or a name that is empty or holds a NUL byte, which no system takes."""
        fields = ("out", "public", "private", "victim", "features", "public_features", "layer", "defence", "named")
        texts = [(name.replace("_", "-"), getattr(self, name)) for name in fields]
        for name, text in (*texts, *(("judge", judge) for judge in self.judges)):
            if text is not None and (not text.strip() or "\0" in text):
                raise BadInput(f"--{name}: expected a path or a name, got {text!r}; leave the flag out, or give one")

    def _check_flags_that_exclude_others(self) -> None:
        if self.features is not None and (self.layer is not None or self.defence != "Identity"):
            raise BadInput(
                "audit: --layer and --defence say how a victim makes vectors; those of --features are made already"
            )
        if self.features is None and self.public_features is not None:
            raise BadInput("--public-features: belongs to --features, the vectors of the private images; give both")
        for flag, value in (("--column", self.column), ("--id-column", self.id_column)):
            if self.features is None and value is not None:
                raise BadInput(f"{flag}: says what a file of --features holds; give both, or leave it out")
        if self.judges and self.train_judge:
            raise BadInput("--train-judge: a judge is either trained or given by --judge; leave one out")


def parse_component(text: str, group: ModuleType, flag: str) -> Component:
    """Return the part that NAME[:VALUE][,KEY=VALUE...] names; a VALUE without a key goes to the first parameter.

    Values are read as JSON where they are (numbers, true, null), else as text. Raises BadInput for an unknown name.
    """
    name, _, rest = text.partition(":")
    args: dict[str, Any] = {}
    for place, item in enumerate(rest.split(",") if rest else ()):
        key, equals, value = item.partition("=")
        if equals and key.isidentifier():
            args[key] = _value(value)
        elif place == 0:
            args[next(iter(inspect.signature(find(name, group)).parameters), "")] = _value(item)
        else:
            raise BadInput(f"{flag}: expected KEY=VALUE after a comma, got {item!r}; e.g. GaussianNoise:std=0.1")
    return Component(name, args)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
