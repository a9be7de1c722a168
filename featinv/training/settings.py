"""How decoders and classifiers are trained, as frozen values for a command line (nothing here imports torch)."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from featinv.errors import BadInput
from featinv.plain_numbers import check_positive, check_seed, make_plain


@dataclass(frozen=True)
class Training:
    """Optimiser, budget and safeguards of one training; everything is counted in training images seen.

    Two runs with equal settings, decoder and pairs give the same weights at equal threads. Raises BadInput for a value
    that cannot be used, naming the field.
    """

    images: int = 500_000
    """budget: training images seen, repeats counted"""
    minutes: int | float | None = None
    """bound on the wall time of the whole fit, if it comes before the budget of images; null: none"""
    batch_size: int = 128
    """images per step, over all processes together: 1 and 2 processes take the same steps"""
    accumulation: int = 1
    """micro-batches into which each process cuts its share of a batch, to save memory; changes nothing else"""
    optimiser: Literal["adamw", "adadelta"] = "adamw"
    """adamw (arXiv:1711.05101) or adadelta (arXiv:1212.5701, as in the paper)"""
    lr: int | float = 1e-3
    """learning rate after warm-up; 1.0 for Keras's Adadelta"""
    weight_decay: int | float = 0.01
    """decoupled weight decay of adamw; adadelta has none"""
    betas: tuple[float, float] = (0.9, 0.99)
    """adamw's decay rates of the first and the second moment"""
    rho: float = 0.95
    """adadelta's decay rate"""
    eps: float = 1e-7
    """what the optimiser adds to its denominator"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """cosine: down to 0 at the end of the budget (arXiv:1608.03983, one cycle); constant: lr throughout"""
    warmup: float = 0.02
    """share of the budget in which the learning rate rises linearly from 0"""
    clip: int | float | None = 1.0
    """largest norm of the gradient, over all parameters together; null: not clipped"""
    ema: float | None = 0.999
    """decay of the moving average of the weights, which is then validated and kept; null: the weights themselves"""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] | None = "auto"
    """auto (or null): bf16 or fp16 where `accelerate launch` was told so, else bf16 where the device has it in
    hardware, else float32; no: float32; fp16 needs an accelerator"""
    compile: bool = False
    """torch.compile the decoder: slow to start, faster afterwards"""
    flips: bool = False
    """show a mirrored image with its own features in every second draw; the pairs must have been made with flips"""
    standardise: bool = True
    """standardise the features with the mean and deviation of the public ones"""
    holdout: int | float = 0.02
    """public pairs held out of training for validation: a share below 1 (2,000 pairs at most), or a number; 0: none"""
    validate_every: int | None = None
    """images between two validations; null: twenty validations over the budget"""
    keep: Literal["best", "last"] | None = None
    """which weights to keep: those with the best PSNR on the held-out public pairs, or the last; null: the last with an
    adversary (the best PSNR would be that of the time before it began) or without held-out pairs, else the best"""
    seed: int = 0
    """of the order of the images, the flips, dropout and the held-out pairs"""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("images", "batch_size", "accumulation", "validate_every"):
            _at_least_one(name, getattr(self, name))
        for name in ("minutes", "lr", "clip", "eps"):
            _positive(name, getattr(self, name))
        for name in ("weight_decay", "holdout"):
            _demand(name, getattr(self, name), getattr(self, name) >= 0, "a number of at least 0")
        for name in ("ema", "rho", "warmup"):
            value = getattr(self, name)
            _demand(name, value, value is None or 0 <= value < 1, "a number in [0, 1)")
        good = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _demand("betas", self.betas, good, "two numbers in [0, 1)")
        check_seed("training.seed", self.seed)
        whole = self.holdout < 1 or float(self.holdout).is_integer()
        _demand("holdout", self.holdout, whole, "a share below 1 or a whole number of pairs")
        if self.keep == "best" and self.holdout == 0:
            raise BadInput("keep: 'best' is chosen on held-out pairs, but holdout is 0; set holdout, or keep='last'")

    def kept(self, *, adversarial: bool = False) -> Literal["best", "last"]:
        """Return which weights are kept. Raises BadInput for the best ones of an adversarial training."""
        if adversarial and self.keep == "best":
            raise BadInput(
                "training.keep: expected 'last' or null with an adversary, got 'best'; the best PSNR would be that of "
                "the time before the adversary began"
            )
        return self.keep or ("last" if adversarial or self.holdout == 0 else "best")

    @classmethod
    def paper(cls, images: int = 740_000, batch_size: int = 30) -> "Training":
        """Return the settings of Listik's notebook: Adadelta with the old Keras defaults, no schedule, raw features.

        The author trained 74 epochs of 10,000 images in batches of 30 (or of 128) and kept the last weights.
        """
        return cls(
            images=images,
            batch_size=batch_size,
            optimiser="adadelta",
            lr=1.0,
            rho=0.95,
            eps=1e-7,
            schedule="constant",
            warmup=0.0,
            clip=None,
            ema=None,
            mixed_precision="no",
            standardise=False,
            holdout=0,
            keep="last",
        )


@dataclass(frozen=True)
class ClassifierTraining:
    """Budget, optimiser (AdamW, one cosine cycle) and augmentation of one classifier.

    Raises BadInput for a value that cannot be used, naming the field.
    """

    epochs: int | float = 12
    """budget: passes over the images"""
    minutes: int | float | None = None
    """bound on the wall time, if it comes before the budget of epochs; null: none"""
    batch_size: int = 128
    """images per step"""
    lr: int | float = 3e-3
    """learning rate after warm-up, then half a cosine down to 0"""
    warmup: int | float = 0.1
    """share of the budget in which the learning rate rises linearly"""
    weight_decay: int | float = 0.05
    """decoupled weight decay"""
    label_smoothing: int | float = 0.05
    """share of the probability that the target spreads over all classes (arXiv:1512.00567, section 7)"""
    label_share: int | float = 0.5
    """share of the loss that the first head, the label, has where there are others, which share the rest"""
    shift: int | float = 0.125
    """random crop: largest shift, as a share of the side (0.125: 4 of 32 pixels)"""
    flips: bool = True
    """mirror every second image; not for images whose labels say left and right"""
    colour: int | float = 0.3
    """largest relative change of brightness, contrast, saturation and, half of it, of each channel"""
    blur: int | float = 0.25
    """share of the images that are blurred, so that a judge also reads soft reconstructions"""
    cutout: int | float = 0.375
    """side of the grey square painted over half of the images (arXiv:1708.04552), as a share of theirs; 0: none"""
    input_size: int | None = None
    """side in pixels that the network sees; null: that of the images, at most 64"""
    holdout: int | float = 0.05
    """share of the images held out of training, on which accuracy is reported; 0: none"""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """auto: bf16 where the device has it in hardware, else float32; bf16 is slower than float32 where it is emulated"""
    seed: int = 0
    """of the weights, the order of the images, their augmentation and the held-out ones"""

    def __post_init__(self) -> None:
        make_plain(self)
        check_positive("training.epochs", self.epochs)
        if self.minutes is not None:
            check_positive("training.minutes", self.minutes)
        _demand("batch_size", self.batch_size, self.batch_size >= 2, "at least 2, as batch normalisation needs")
        _demand("lr", self.lr, math.isfinite(self.lr) and self.lr > 0, "a finite number above 0")
        _demand("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "a finite number of at least 0")
        choices = ("auto", "no", "bf16")
        expected = "auto, no or bf16 (fp16 needs a gradient scaler, which classifiers train without)"
        _demand("mixed_precision", self.mixed_precision, self.mixed_precision in choices, expected)
        check_seed("training.seed", self.seed)
        size = self.input_size
        _demand("input_size", size, size is None or 8 <= size <= 1024, "8 to 1024 pixels, or null")
        for name in ("warmup", "label_smoothing", "label_share", "shift", "colour", "cutout", "holdout"):
            _demand(name, getattr(self, name), 0 <= getattr(self, name) < 1, "a number in [0, 1)")
        _demand("blur", self.blur, 0 <= self.blur <= 1, "a number in [0, 1]")

    def side(self, images: int) -> int:
        """Return the side in pixels that the network sees for images of this side."""
        return self.input_size or min(images, 64)

    def fraction(self, spent: float, seconds: float) -> float:
        """Return which share of the budget is used up, by images or by time, whichever is more."""
        return spent if self.minutes is None else max(spent, seconds / (60 * self.minutes))

    def without_flips(self) -> "ClassifierTraining":
        """Return the same settings without mirrored images."""
        return replace(self, flips=False)


@dataclass(frozen=True)
class Ball:
    """How far, and how, images are moved against the network that trains on them.

    Raises BadInput for a value that cannot be used, naming the field.
    """

    radius: int | float = 0.25
    """L2 norm of the change of an image of 32 x 32 pixels in [0, 1]; grows with the side for larger images"""
    steps: int = 2
    """gradient steps; 1 is the cheap variant: one step of 1.25 radii from a random start (arXiv:2001.03994)"""
    share: int | float = 0.5
    """share of each batch that is moved; the rest stays clean"""

    def __post_init__(self) -> None:
        make_plain(self)
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise BadInput(f"ball.radius: expected a finite number above 0, got {self.radius}; e.g. 0.25")
        if self.steps < 1:
            raise BadInput(f"ball.steps: expected at least 1 gradient step, got {self.steps}")
        if not 0 < self.share <= 1:
            raise BadInput(f"ball.share: expected a share above 0 and up to 1, got {self.share}")


@dataclass(frozen=True, kw_only=True)
class AdversaryTraining:
    """The numbers of an adversary: its weight, when it is active, and the optimiser (Adam) of its discriminator."""

    weight: int | float = 0.1
    """of the adversarial term, beside the losses"""
    adaptive: bool = False
    """multiply the weight by the ratio of gradients in the decoder's last layer (arXiv:2012.09841)"""
    adversarial_start: int | float = 0.1
    """share of the budget at which the adversarial term is added to the loss of the decoder"""
    discriminator_warmup: int | float = 0.05
    """share of the budget by which the discriminator begins to learn earlier"""
    decoder_every: int = 1
    """the decoder steps in every k-th step only, once the adversary is active (5 in arXiv:1701.07875)"""
    lr: int | float = 2e-4
    """the discriminator's learning rate; it follows the schedule of the training"""
    betas: tuple[int | float, int | float] = (0.5, 0.99)
    """its Adam's decay rates of the first and the second moment"""
    eps: int | float = 1e-8
    """what its Adam adds to its denominator"""
    weight_decay: int | float = 0.0
    """its decoupled weight decay"""
    clip: int | float | None = None
    """largest norm of its gradient; null: not clipped"""

    def check_numbers(self) -> None:
        """Raise BadInput for a number that cannot be used, naming it."""
        for name in ("weight", "weight_decay"):
            value = getattr(self, name)
            _demand(name, value, _finite(value) and value >= 0, "a finite number of at least 0", of="adversary")
        for name in ("lr", "eps", "clip"):
            value = getattr(self, name)
            good = (value is None and name == "clip") or (_finite(value) and value > 0)
            _demand(name, value, good, "a finite number above 0", of="adversary")
        for name in ("adversarial_start", "discriminator_warmup"):
            value = getattr(self, name)
            _demand(name, value, _finite(value) and 0 <= value < 1, "a share of the budget, in [0, 1)", of="adversary")
        whole = isinstance(self.decoder_every, int) and _finite(self.decoder_every) and self.decoder_every >= 1
        _demand("decoder_every", self.decoder_every, whole, "a whole number of steps of at least 1", of="adversary")
        good = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _demand("betas", self.betas, good, "two numbers in [0, 1)", of="adversary")

    def numbers(self) -> dict[str, Any]:
        """Return these numbers by name, without what a subclass adds."""
        return {item.name: getattr(self, item.name) for item in fields(AdversaryTraining)}


def _demand(name: str, value: object, good: bool, expected: str, of: str = "training") -> None:
    if not good:
        raise BadInput(f"{of}.{name}: expected {expected}, got {value!r}")


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _at_least_one(name: str, value: int | None) -> None:
    _demand(name, value, value is None or value >= 1, "at least 1 (no learning step would be taken)")


def _positive(name: str, value: int | float | None) -> None:
    _demand(name, value, value is None or (math.isfinite(value) and value > 0), "a finite number above 0")
