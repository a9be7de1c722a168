"""How strongly the adversary may pull at the decoder."""

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.errors import BadInput


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
