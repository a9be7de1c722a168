"""What an audit is asked, checked before anything is loaded (nothing here imports torch)."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from featinv.configuration import PACKAGES, Component, parse_component
from featinv.dataclass_flags import flag, read_tracking
from featinv.errors import BadInput
from featinv.plain_numbers import check_positive, check_seed, make_plain

Level = Literal["none", "L1", "L2", "L3", "L4"]
LEVELS = get_args(Level)
NOBODY = "none"
WHY_PUBLIC = "auditing requires public images: every attack trains on them"
EXIT_CODES = (
    "Exit codes: 0 done, or within --max-level; 1 more leaks than --max-level allows, and nothing else; 2 bad input, "
    "or a pass that cannot be confirmed; 3 an unexpected error, with a traceback file; 130 interrupted."
)
WHAT, IMAGES, HOW, RESULTS = GROUPS = ("what is audited (one of the first two)", "images", "how", "results")
"""the headings of `featinv audit --help`"""


@dataclass(frozen=True)
class AuditSettings:
    """What is audited, with which images, for how long, and where the results go; `featinv audit` has the same flags.

    Raises BadInput for what is missing or contradicts itself, saying which flag.
    """

    out: str = field(metadata=flag(RESULTS, "DIR"))
    """folder for the results; called again, the audit goes on there"""
    public: str | None = field(default=None, metadata=flag(IMAGES, "DIR"))
    """images that the attacker may have: a folder (one folder a class, if classes are known), a zip or tar archive, a
    table of encoded images (parquet, Arrow, `datasets`), .npz or .npy"""
    private: str | None = field(default=None, metadata=flag(IMAGES, "DIR"))
    """images whose vectors are published; only scoring reads them"""
    clusters: str | None = field(default=None, metadata=flag(IMAGES, "FILE"))
    """who is on which image, where there are several of a person: "folders" (the first folder of an image's path is the
    person), or a .csv or .json file of ids and persons, both sides in one; nobody may be on both"""
    victim: Component | str | None = field(default=None, metadata=flag(WHAT))
    """the encoder: tiny, torchvision:resnet50, timm:NAME, open_clip:NAME,pretrained=TAG, transformers:NAME, onnx:FILE,
    ... (`featinv list encoders`), or the import path of a function of yours that returns one (my_package.encoder:FILE);
    its code is then run, so name only what you trust"""
    features: str | None = field(default=None, metadata=flag(WHAT, "FILE"))
    """vectors computed elsewhere (.npy, .npz, .safetensors, .pt, .parquet, .arrow, .h5, .faiss, .csv, .jsonl, a feature
    store, a folder of clip-retrieval, `datasets`, Lance or of shards), in place of a victim; with ids, those of the
    public images may lie in the same file"""
    public_features: str | None = field(default=None, metadata=flag(WHAT, "FILE"))
    """vectors of the public images, where `features` holds those of the private ones only"""
    column: str | None = field(default=None, metadata=flag(WHAT, "NAME"))
    """which column, array or tensor of these files holds the vectors; chosen by rule when not given"""
    id_column: str | None = field(default=None, metadata=flag(WHAT, "NAME"))
    """which one names the images; "none": the rows are in the order of the images; chosen by rule when not given"""
    layer: str | None = field(default=None, metadata=flag(WHAT, "NAME"))
    """where the encoder is cut; its own default when not given"""
    defence: Component | str = field(default=Component("Identity"), metadata=flag(WHAT))
    """what is done to the vectors before release, e.g. GaussianNoise:std=0.1 (`featinv list defences`)"""
    size: int | None = field(default=None, metadata=flag(IMAGES, "PIXELS"))
    """side in pixels at which images are drawn and compared (the encoder sees files at its own size); when not given:
    what the encoder takes, rounded up to a power of two, 256 at most; 64 for vectors computed elsewhere"""
    smaller: Literal["refuse", "skip", "upscale"] = field(default="refuse", metadata=flag(IMAGES))
    """what to do with an image smaller than that; "upscale" also says that arrays smaller than what the encoder takes
    are the originals"""
    minutes: int | float = field(default=30, metadata=flag(HOW, "MINUTES"))
    """minutes of training, all attacks together; reading, encoding and scoring come on top"""
    images: int | None = field(default=None, metadata=flag(HOW, "N"))
    """images on which each attack is trained, in place of minutes: the same numbers on slow and fast machines, and no
    attack is left out for want of minutes"""
    attacks: tuple[str, ...] = field(default=(), metadata=flag(HOW, "NAME=my_package.build", name="--attack"))
    """an attack of yours: a function that takes the public pairs and returns an attack; its code is run; repeatable"""
    judges: tuple[str, ...] = field(default=(), metadata=flag(HOW, "FILE", name="--judge"))
    """a judge; repeatable, the first one counts; when not given: the packaged one, which knows synthetic scenes only"""
    train_judge: bool = field(default=False, metadata=flag(HOW))
    """train a judge on the labelled public images, within a quarter of the minutes on top"""
    metrics: tuple[str, ...] = field(default=(), metadata=flag(HOW, "my_package.my_metric", several=True))
    """metrics of yours beside featinv's, by import path; their code is run, so name only what you trust"""
    named: str = field(default="two surrogates", metadata=flag(HOW, "ATTACK"))
    """the attack on which the level rests, named before the private images are opened; "none": the level is corrected
    for all of them alike"""
    max_level: Level | None = field(default=None, metadata=flag(RESULTS))
    """the highest level that passes, else the exit code is 1; "none": only a result that shows no leak passes"""
    show_images: bool = field(default=True, metadata=flag(RESULTS))
    """show private images in the report"""
    seed: int = field(default=0, metadata=flag(HOW, "N"))
    """seed of the release, the trainings and the bootstrap"""
    tracking: dict[str, Any] = field(
        default_factory=lambda: {"mode": "disabled"},
        metadata=flag(RESULTS, "{online,offline,disabled}", name="--wandb", read=read_tracking),
    )
    """what is logged to wandb; in YAML any fields of TrackingSettings (default: disabled)"""

    def __post_init__(self) -> None:
        make_plain(self)
        self._check_texts()
        for name in ("victim", "defence"):
            if isinstance(text := getattr(self, name), str):
                object.__setattr__(self, name, parse_component(text, PACKAGES[name], f"--{name}"))
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
        fields = (
            "out",
            "public",
            "private",
            "victim",
            "features",
            "public_features",
            "layer",
            "defence",
            "named",
            "clusters",
        )
        texts: list[tuple[str, Any]] = [(name.replace("_", "-"), getattr(self, name)) for name in fields]
        for name, text in (*texts, *(("judge", judge) for judge in self.judges)):
            if isinstance(text, str) and (not text.strip() or "\0" in text):
                raise BadInput(f"--{name}: expected a path or a name, got {text!r}; leave the flag out, or give one")

    def _check_flags_that_exclude_others(self) -> None:
        if self.features is not None and (self.layer is not None or self.defence != Component("Identity")):
            raise BadInput(
                "audit: --layer and --defence say how a victim makes vectors; those of --features are made already"
            )
        if self.features is None and self.public_features is not None:
            raise BadInput("--public-features: belongs to --features, the vectors of the private images; give both")
        for name, value in (("--column", self.column), ("--id-column", self.id_column)):
            if self.features is None and value is not None:
                raise BadInput(f"{name}: says what a file of --features holds; give both, or leave it out")
        if self.judges and self.train_judge:
            raise BadInput("--train-judge: a judge is either trained or given by --judge; leave one out")
