"""What the discriminator makes small, as one module."""

from typing import NamedTuple

import torch
from torch import nn

from featinv.discriminators import Discriminator
from featinv.discriminators.discriminator import Logits
from featinv.losses import AdversarialLoss, Penalty
from featinv.types import Features, Images, PerImage


class Judged(NamedTuple):
    """What the discriminator said of originals and reconstructions, and what it makes small of that."""

    real: Logits
    fake: Logits
    adversarial_loss: PerImage
    penalties: dict[str, PerImage]


class DiscriminatorHalf(nn.Module):
    """originals, reconstructions, features, step -> Judged: adversarial loss and penalties due, each (B,).

    One module around all passes of the discriminator, because DDP wants one call of forward for one backward (between
    two it would write over the buffers of a batch norm that backward needs), and because its state is then that of the
    penalties too. Penalties are computed in full precision: their gradients of logits with respect to single pixels are
    too small for 16 bits.
    """

    def __init__(self, discriminator: Discriminator, loss: AdversarialLoss, penalties: tuple[Penalty, ...]) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        self.penalties = penalties
        self.held = nn.ModuleList(penalties)  # so that they move, and are saved, with this module
        kinds = [type(penalty).__name__ for penalty in penalties]
        counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
        self.names = [kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)]

    def forward(self, originals: Images, reconstructions: Images, features: Features, step: int) -> Judged:
        real = self.discriminator(originals, features)
        fake = self.discriminator(reconstructions, features)
        due: dict[str, PerImage] = {}
        with torch.autocast(originals.device.type, enabled=False):
            for name, penalty in zip(self.names, self.penalties, strict=True):
                if penalty.due(step):
                    due[name] = penalty(self.discriminator, originals, reconstructions, features)
        return Judged(real, fake, self.loss.discriminator(real, fake), due)
