"""The losses of a discriminator and a decoder, as pairs of per-image functions of logits, and their weight."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featinv.discriminators.discriminator import Logits
from featinv.errors import BadInput
from featinv.types import PerImage

Half: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True)
class AdversarialLoss:
    """The two halves of an adversarial loss: (real logits, fake logits) -> (B,), one a network that minimises it.

    `on_discriminator(real, fake)` and `on_generator(real, fake)` work logit by logit. Where an image has many logits,
    (B, h, w) or (B, N), their values are averaged, after the function and not before it. Numbers are float32, but
    float64 for float64 logits. Row i of `real` is the original of row i of `fake`. A loss that is not `relativistic`
    does not look at the real logits in the decoder's half: give None and save a pass.
    """

    name: str
    """as it is exported and logged"""
    source: str
    """paper and equation"""
    summary: str
    """one line: the two formulas, r and f the logits of an original and of a reconstruction"""
    on_discriminator: Half
    on_generator: Half
    relativistic: bool = False
    """whether the decoder's half compares each reconstruction with its own original"""

    def __post_init__(self) -> None:
        # `help` and `featinv list losses` describe this loss, not the class that all adversarial losses share.
        object.__setattr__(self, "__doc__", f"{self.summary} ({self.source})")

    def __repr__(self) -> str:
        return self.name

    def discriminator(self, real: Logits, fake: Logits) -> PerImage:
        """Return what the discriminator makes small, one number an image."""
        return self._per_image(self.on_discriminator, real, fake)

    def generator(self, real: Logits | None, fake: Logits) -> PerImage:
        """Return what the decoder makes small, one number an image; `real` is needed by a relativistic loss only.

        Raises BadInput when a relativistic loss gets no real logits.
        """
        if self.relativistic and real is None:
            raise BadInput(f"{self.name}: expected the logits of the originals in the decoder's half too, got none")
        return self._per_image(self.on_generator, fake if real is None else real, fake)

    def _per_image(self, half: Half, real: Tensor, fake: Tensor) -> Tensor:
        if real.shape != fake.shape:
            raise BadInput(
                f"{self.name}: expected as many logits for originals as for reconstructions, got {tuple(real.shape)} "
                f"and {tuple(fake.shape)}; show the discriminator both"
            )
        # A half-precision softplus has lost what it says about a confident discriminator.
        wide = torch.promote_types(fake.dtype, torch.float32)
        values = half(real.to(wide), fake.to(wide))
        return values.reshape(len(values), -1).mean(1)


non_saturating = AdversarialLoss(
    name="non_saturating",
    source="arXiv:1406.2661, equation 1 and the other loss of section 3; the loss of DCGAN",
    summary="Binary cross-entropy: D softplus(-r) + softplus(f), a sum without 1/2; decoder softplus(-f)",
    on_discriminator=lambda real, fake: F.softplus(-real) + F.softplus(fake),
    on_generator=lambda real, fake: F.softplus(-fake),
)

least_squares = AdversarialLoss(
    name="least_squares",
    source="arXiv:1611.04076, equation 2 with a = 0 and b = c = 1, which halves each square",
    summary="Squared distance to 1 for real and 0 for fake: D (r - 1)^2 + f^2, without 1/2; decoder (f - 1)^2",
    on_discriminator=lambda real, fake: (real - 1).square() + fake.square(),
    on_generator=lambda real, fake: (fake - 1).square(),
)

hinge = AdversarialLoss(
    name="hinge",
    source="arXiv:1802.05957, equations 16 and 17; VQGAN's code halves the first",
    summary="Margins at 1 and -1: D relu(1 - r) + relu(1 + f), a sum without 1/2; decoder -f",
    on_discriminator=lambda real, fake: F.relu(1 - real) + F.relu(1 + fake),
    on_generator=lambda real, fake: -fake,
)

wasserstein = AdversarialLoss(
    name="wasserstein",
    source="arXiv:1701.07875, algorithm 1; the critic must be kept Lipschitz, by GradientPenalty (arXiv:1704.00028)",
    summary="Mean difference of a critic: D f - r; decoder -f",
    on_discriminator=lambda real, fake: fake - real,
    on_generator=lambda real, fake: -fake,
)

relativistic = AdversarialLoss(
    name="relativistic",
    source="arXiv:1807.00734, and arXiv:2501.05441, equation 2, which adds R1 and R2",
    summary="Each reconstruction against its own original: D softplus(-(r - f)); decoder softplus(-(f - r))",
    on_discriminator=lambda real, fake: F.softplus(fake - real),
    on_generator=lambda real, fake: F.softplus(real - fake),
    relativistic=True,
)


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""],
    adversarial_loss: Float[Tensor, ""],
    last_weight: Tensor,
    *,
    clamp: int | float = 1e4,
    epsilon: int | float = 1e-4,
) -> Float[Tensor, ""]:
    """Return the weight at which the adversarial loss pulls at the decoder's last layer as hard as the other losses do.

    ||grad of reconstruction_loss|| / (||grad of adversarial_loss|| + epsilon), with respect to `last_weight`, at most
    `clamp`; a constant, through which no gradient flows. Both losses are scalars whose graph is kept, so call it before
    `backward`; multiply by a weight of your own (0.8 in the source's code). `epsilon` is that of the source's code; the
    paper has 1e-6. It is a ratio of this batch's gradients: micro-batches and processes have ratios of their own.

    Raises BadInput when a loss does not depend on `last_weight`. Source: arXiv:2012.09841, equation 7.
    """
    norms = []
    for loss, what in ((reconstruction_loss, "reconstruction_loss"), (adversarial_loss, "adversarial_loss")):
        slope = None
        if loss.requires_grad and last_weight.requires_grad:
            slope = torch.autograd.grad(loss, last_weight, retain_graph=True, allow_unused=True)[0]
        if slope is None:
            raise BadInput(
                f"last_weight: expected a weight that {what} depends on, got {tuple(last_weight.shape)} without a path "
                "to it; give the weight of the decoder's last layer"
            )
        norms.append(slope.norm())
    return (norms[0] / (norms[1] + epsilon)).clamp(0, clamp).detach()
