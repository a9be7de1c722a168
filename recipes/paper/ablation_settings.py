"""What the ablations compare, on what, and for how long; nothing here imports torch."""

from dataclasses import dataclass, field, replace
from typing import Literal

import featinv as fi
from featinv.assembly import JudgeSettings
from featinv.configuration import Component

SIZES = (32, 64, 128, 256)


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    public: int
    private: int
    images: int
    sizes: tuple[int, ...]
    time: str


SCALES = {
    "smoke": Scale(120, 40, 90, (32, 64), "Under a minute on 2 cores; shows the plumbing, and says nothing else."),
    # Estimated: some steps of each decoder, timed alone, gave 2,400 s of one thread for all training, without scoring.
    "cpu": Scale(3000, 500, 30_000, (32, 64), "About half an hour on 2 free cores (estimated)."),
}


@dataclass(frozen=True)
class Config:
    """What is compared, on what, and for how long; null stands for the scale's own number."""

    out: str = "runs/ablations"
    """folder for the results"""
    scale: Literal["smoke", "cpu"] = "cpu"
    """smoke shows that it runs, cpu is meant for 2 cores"""
    data: str | None = None
    """folder of images (or .npz/.npy); null: synthetic scenes"""
    weights: str | None = None
    """folder of weights, `{weights}` in the components below"""
    judge_folder: str | None = None
    """folder of judges trained before, `{judges}` in the components below; --out when not given"""
    encoder: Component = Component("tiny")
    """what is attacked: an export of featinv.encoders, or the import path of a function of yours; with a `layer`"""
    pooled: str = "avgpool"
    """the encoder's layer whose vector the paper reconstructs from"""
    layers: tuple[str, ...] = ("stem", "stages.1", "stages.3", "linear")
    """other layers, compared with the pooled one at the smallest size: maps before it, logits after it"""
    sizes: tuple[int, ...] | None = None
    """sides of the images in pixels: 32, 64, 128, 256"""
    smaller: Literal["refuse", "skip", "upscale"] = "refuse"
    """what to do with an image smaller than a size"""
    public: int | None = None
    """how many images the attacker has"""
    private: int | None = None
    """how many images are attacked"""
    images: int | None = None
    """the budget of each decoder: training images seen, repeats counted"""
    judges: dict[str, JudgeSettings] = field(default_factory=lambda: {"scenes-vgg": JudgeSettings()})
    """the judges; the first one counts, of another family than the encoder"""
    seed: int = 0
    """draws images, releases and galleries"""


def settle(config: Config) -> Scale:
    """Return the scale with the caller's own numbers in it, sizes in rising order."""
    every = {name: getattr(config, name) for name in ("public", "private", "images", "sizes")}
    own = {name: value for name, value in every.items() if value is not None}
    if own or config.data:
        own["time"] = ""  # known for the scale's own numbers only
    scale = replace(SCALES[config.scale], **own)
    if not scale.sizes or set(scale.sizes) - set(SIZES):
        raise fi.BadInput(f"--sizes: expected some of {', '.join(map(str, SIZES))}, got {list(scale.sizes)}")
    for name, least in (("public", 2), ("private", 10), ("images", 1)):
        if (value := getattr(scale, name)) < least:
            raise fi.BadInput(f"--{name}: expected at least {least}, got {value}")
    return replace(scale, sizes=tuple(sorted(set(scale.sizes))))


def command_of(config: Config) -> str:
    """Return the command of this run; folders are the reader's own, and everything else stands in run.json."""
    plain = Config()
    changed = ("pooled", "layers", "sizes", "public", "private", "images", "seed")
    flags = [
        f"--{name} {_flat(getattr(config, name))}" for name in changed if getattr(config, name) != getattr(plain, name)
    ]
    flags += [f"--{name} DIR" for name in ("data", "weights") if getattr(config, name) is not None]
    flags += [f"--encoder {config.encoder.name}"] if config.encoder != plain.encoder else []
    return " ".join(["accelerate launch recipes/paper/ablations.py --scale", config.scale, *flags])


def _flat(value: object) -> str:
    return f'"[{",".join(map(str, value))}]"' if isinstance(value, tuple) else str(value)
