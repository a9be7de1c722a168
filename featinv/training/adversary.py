"""The adversary of a decoder as a value: the discriminator, its loss, when it is active, and how it is trained."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from featinv.discriminators import Discriminator
from featinv.errors import BadInput
from featinv.losses import AdversarialLoss, Penalty, hinge
from featinv.training.settings import AdversaryTraining


@final
@dataclass(frozen=True, repr=False, eq=False)
class Adversary(AdversaryTraining):
    """A discriminator and its adversarial loss, which is added to the objective of a decoder.

    `penalties` are added to the discriminator's loss, in full precision; `augment` changes all that the discriminator
    sees. The numbers are those of `AdversaryTraining`, given as keywords: `weight` is that of the adversarial term;
    where `adaptive`, it multiplies the ratio of gradients of VQGAN (`featinv.losses.adaptive_weight`). The adversarial
    term is added from the share `adversarial_start` of the budget on, and the discriminator begins to learn the share
    `discriminator_warmup` before that. From `adversarial_start` on the decoder takes its step in every
    `decoder_every`-th step of the discriminator only (n_critic of arXiv:1701.07875). The discriminator learns by Adam
    (`betas`, `eps`; AdamW with a `weight_decay`) at `lr` times the schedule of the decoder's training, its gradient
    clipped to the norm `clip`: two learning rates are the two time scales of arXiv:1706.08500.

    Raises BadInput for numbers that cannot be used, naming them.
    """

    discriminator: Discriminator
    loss: AdversarialLoss = hinge
    penalties: Sequence[Penalty] = field(default=(), kw_only=True)
    augment: nn.Module | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "penalties", tuple(self.penalties))
        object.__setattr__(self, "betas", tuple(self.betas))
        self._check_kinds()
        self.check_numbers()

    def __repr__(self) -> str:
        return as_built(self)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of the weights of frozen networks inside the discriminator, which may not judge."""
        return frozenset(getattr(self.discriminator, "fingerprints", frozenset()))

    def check(self, image_size: int, feature_shape: Sequence[int]) -> None:
        """Raise BadInput unless it fits a decoder of such vectors and images; call before training."""
        discriminator = self.discriminator
        name = type(discriminator).__name__
        if discriminator.image_size != image_size:
            raise BadInput(
                f"adversary: expected a discriminator of images of {image_size} pixels, as the decoder makes, got "
                f"{name} for {discriminator.image_size}; build it with image_size={image_size}"
            )
        wanted = getattr(discriminator, "feature_shape", None)
        if discriminator.conditional and wanted is not None and tuple(wanted) != tuple(feature_shape):
            raise BadInput(
                f"adversary: expected a discriminator of vectors of shape {tuple(feature_shape)}, as the decoder takes,"
                f" got {name} for {tuple(wanted)}; build it with feature_shape={tuple(feature_shape)}"
            )
        for penalty in self.penalties:
            penalty.check(discriminator)

    def _check_kinds(self) -> None:
        for what, value, kind in (
            ("discriminator", self.discriminator, Discriminator),
            ("loss", self.loss, AdversarialLoss),
            *(("penalties", penalty, Penalty) for penalty in self.penalties),
            ("augment", self.augment, nn.Module | None),
        ):
            if not isinstance(value, kind):
                name = getattr(kind, "__name__", "module or None")
                raise BadInput(f"adversary.{what}: expected a {name}, got {type(value).__name__}")


def format_value(value: Any) -> str:
    """Return a value in one line; a module as it was built, or by its fingerprint where it has one."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(format_value(item) for item in value)}]"
    fingerprint = getattr(value, "weights_fingerprint", None) or getattr(value, "fingerprint", None)
    if isinstance(fingerprint, str):
        return f"{type(value).__name__}({fingerprint[:12]})"
    return as_built(value) if isinstance(value, nn.Module) else repr(value)


def as_built(value: Any) -> str:
    """Return how an object was built, `DCGAN(32, norm='none')`: its class, and its arguments but for those at default.

    An argument is what the object keeps under the argument's name, and `...` where it keeps nothing.
    """
    arguments = []
    for name, parameter in inspect.signature(type(value)).parameters.items():
        given = format_value(getattr(value, name)) if hasattr(value, name) else "..."
        if parameter.default is parameter.empty:
            arguments.append(given)
        elif given != format_value(parameter.default):
            arguments.append(f"{name}={given}")
    return f"{type(value).__name__}({', '.join(arguments)})"
