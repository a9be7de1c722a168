"""A small discriminator for the tests of the adversarial step (and the processes that they start)."""

from typing import Any

import torch
from torch import Tensor, nn
from training_parts import SIZE, WIDTH

from featinv import Adversary
from featinv.discriminators import Discriminator, Projection
from featinv.losses import hinge


class TinyDiscriminator(Discriminator):
    """Two convolutions, three logits an image; no size is too small for it."""

    def __init__(self, image_size: int = SIZE, *, norm: str = "none") -> None:
        super().__init__(image_size, 8)
        self.norm = norm
        self.first = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.middle = nn.BatchNorm2d(8) if norm == "batch" else nn.Identity()
        if norm == "spectral":
            self.first = nn.utils.parametrizations.spectral_norm(self.first)
        self.last = nn.Conv1d(8, 3, image_size**2 // 4)

    def hidden(self, images: Tensor) -> Tensor:
        return nn.functional.softplus(self.middle(self.first(2 * images - 1)))

    def head(self, hidden: Tensor, features: Tensor | None) -> Tensor:
        del features
        return self.last(hidden.flatten(2)).squeeze(2)


def make_discriminator(*, conditional: bool = False, norm: str = "none") -> Discriminator:
    """The same weights whenever it is called."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        plain = TinyDiscriminator(norm=norm)
        return Projection(plain, WIDTH) if conditional else plain


def make_adversary(loss: Any = hinge, *, conditional: bool = False, norm: str = "none", **settings: Any) -> Adversary:
    """An adversary that begins early and learns fast."""
    discriminator = make_discriminator(conditional=conditional, norm=norm)
    return Adversary(
        discriminator, loss, **{"adversarial_start": 0.2, "discriminator_warmup": 0.1, "lr": 2e-3, **settings}
    )
