"""What `featinv defend` is asked, checked before anything is loaded (nothing here imports torch)."""

from dataclasses import dataclass, field
from typing import Any

from featinv.dataclass_flags import flag, read_tracking
from featinv.defend.policy import Keep, Policy
from featinv.errors import BadInput
from featinv.plain_numbers import check_positive, check_seed, make_plain

EXIT_CODES = (
    "Exit codes: 0 a setting meets policy and utility; 1 none does; 2 bad input; 3 an unexpected error, with a "
    "traceback file; 130 interrupted."
)
VECTORS, DEMANDS, IMAGES, RESULTS = GROUPS = (
    "vectors",
    "what a release must satisfy",
    "images (optional)",
    "results",
)
"""the headings of `featinv defend --help`"""


@dataclass(frozen=True)
class DefendSettings:
    """Which vectors are to be released, what a release must satisfy, and where the results go.

    Raises BadInput for what is missing or contradicts itself, saying which flag.
    """

    features: str = field(metadata=flag(VECTORS, "FILE"))
    """undefended vectors of the private images, in any format that `featinv audit --features` reads"""
    public_features: str = field(metadata=flag(VECTORS, "FILE"))
    """undefended vectors of public images, by the same encoder: defences, probes and attackers learn from these only"""
    out: str = field(metadata=flag(RESULTS, "DIR"))
    """folder for the results; called again, what was measured there is not measured again"""
    labels: str | None = field(default=None, metadata=flag(VECTORS, "FILE"))
    """classes of the private images (.npy, .npz, .csv, .txt), one a vector, by order or with ids; when not given: the
    array `labels` of an .npz in --features"""
    public_labels: str | None = field(default=None, metadata=flag(VECTORS, "FILE"))
    """the same of the public images; with both, utility is measured on the private vectors after learning from the
    public ones, else on a fifth of the labelled side"""
    head: str | None = field(default=None, metadata=flag(VECTORS, "FILE"))
    """the classifier's last layer as it is: .npz or .safetensors with weight (a row a class) and bias; the rows are
    classes 0, 1, ... unless an .npz names them in `classes`. Its accuracy on defended vectors is one more utility"""
    column: str | None = field(default=None, metadata=flag(VECTORS, "NAME"))
    """which column, array or tensor of these files holds the vectors; chosen by rule when not given"""
    id_column: str | None = field(default=None, metadata=flag(VECTORS, "NAME"))
    """which one names the images; "none": there are no names; chosen by rule when not given"""
    defences: str | None = field(default=None, metadata=flag(DEMANDS, "FILE"))
    """settings that are compared: a YAML list, or one setting as text, such as GaussianNoise:std=2rms; a built-in grid
    when not given"""
    policy: str = field(default="top10<=10%", metadata=flag(DEMANDS, "topK<=P%"))
    """share of the images whose original may be among the first K candidates"""
    keep: str = field(default="98%", metadata=flag(DEMANDS, "[MEASURE>=]P%"))
    """share of the undefended utility that must be kept, by a linear probe or by probe, 20-NN, head, class mAP@50
    (these need labels) or recall@10; "none": utility is reported only"""
    gallery: int = field(default=1000, metadata=flag(DEMANDS, "N"))
    """candidates among which an image is looked for; all private ones where these are fewer"""
    public: str | None = field(default=None, metadata=flag(IMAGES, "DIR"))
    """the images of --public-features; with these and --private the attack suite of the audit is trained as well"""
    private: str | None = field(default=None, metadata=flag(IMAGES, "DIR"))
    """the images of --features; only scoring reads them"""
    size: int | None = field(default=None, metadata=flag(IMAGES, "PIXELS"))
    """side of these images in pixels, as of the audit (a power of two; 64 when not given)"""
    minutes: int | float = field(default=30, metadata=flag(IMAGES, "MINUTES"))
    """minutes of training, all settings and attacks together"""
    attack_all: bool = field(default=False, metadata=flag(IMAGES))
    """train the suite for every setting, not only for those that the vectors leave undecided"""
    judges: tuple[str, ...] = field(default=(), metadata=flag(IMAGES, "FILE", name="--judge"))
    """a judge, as of the audit; repeatable"""
    train_judge: bool = field(default=False, metadata=flag(IMAGES))
    """train a judge on the labelled public images"""
    show_images: bool = field(default=True, metadata=flag(IMAGES))
    """show private images in the report"""
    seed: int = field(default=0, metadata=flag(RESULTS, "N"))
    """seed of galleries, noise, defences and splits"""
    tracking: dict[str, Any] = field(
        default_factory=lambda: {"mode": "disabled"},
        metadata=flag(RESULTS, "{online,offline,disabled}", name="--wandb", read=read_tracking),
    )
    """what is logged to wandb; in YAML any fields of TrackingSettings (default: disabled)"""

    def __post_init__(self) -> None:
        make_plain(self)
        self._check_paths()
        check_seed("--seed", self.seed)
        check_positive("--minutes", self.minutes)
        if isinstance(self.gallery, bool) or not isinstance(self.gallery, int) or self.gallery < 2:
            raise BadInput(f"--gallery: expected a whole number of at least 2 candidates, got {self.gallery!r}")
        Policy.parse(self.policy).check_gallery(self.gallery)
        keep = Keep.parse(self.keep)
        if keep is not None and keep.measure == "head" and self.head is None:
            raise BadInput(f"--keep: {keep} needs the classifier; give --head FILE")
        if (self.public is None) != (self.private is None):
            flag_name = "--private" if self.private is None else "--public"
            raise BadInput(
                f"{flag_name}: expected the images of both sides or of neither, got one; give {flag_name} DIR"
            )
        if self.judges and self.train_judge:
            raise BadInput("--train-judge: a judge is either trained or given by --judge; leave one out")
        if self.public is None and (self.judges or self.train_judge or self.attack_all):
            raise BadInput(
                "--judge, --train-judge, --attack-all: score reconstructions; give --public and --private, or leave "
                "them out"
            )

    @property
    def asked(self) -> Policy:
        """What re-identification may be at most."""
        return Policy.parse(self.policy)

    @property
    def kept(self) -> Keep | None:
        """What utility must be at least; None: nothing is demanded."""
        return Keep.parse(self.keep)

    def _check_paths(self) -> None:
        """Raise BadInput for a path that is empty or holds a NUL byte, which no system takes."""
        names = (
            "features",
            "public_features",
            "out",
            "labels",
            "public_labels",
            "head",
            "defences",
            "public",
            "private",
        )
        for name in names:
            text = getattr(self, name)
            if text is not None and (not isinstance(text, str) or not text.strip() or "\0" in text):
                flag_name = name.replace("_", "-")
                raise BadInput(f"--{flag_name}: expected a path, got {text!r}; leave the flag out, or give one")
