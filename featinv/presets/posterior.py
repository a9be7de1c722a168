"""Attacks that draw from p(image | vector)."""

from typing import Literal

from featinv.attacks import FlowAttack
from featinv.errors import BadInput
from featinv.training import Training
from featinv.types import PairsLike

CELLS = {"small": 16, "large": 32}
"""cells a side that the finest level works on at most; larger images have cells of several pixels"""


def flow(
    pairs: PairsLike, *, size: Literal["small", "large"] = "small", training: Training | None = None
) -> FlowAttack:
    """Return a conditional flow for the pairs' images, not trained yet.

    "small" has 3 million weights and works on 16 x 16 cells: for about an hour of two CPU cores, and images of 16 or
    32 px. "large" has 6 million and works on 32 x 32: for an accelerator, and images of 32 or 64 px. Where `pairs` have
    mirrored images they are used; a `training` of yours says so itself. Raises BadInput for another size, and for
    images whose side neither number divides.

    Ours, from parts: flow matching arXiv:2210.02747, predicting the image arXiv:2511.13720, preconditioning and Heun's
    sampler arXiv:2206.00364, AdaLN-Zero arXiv:2212.09748. docs/results/posterior.md has what was measured.
    """
    if size not in CELLS:
        raise BadInput(f"size: expected small or large, got {size!r}")
    side = int(pairs.image_size)
    patch = max(1, side // CELLS[size])
    if side % (4 * patch):
        raise BadInput(
            f"pairs: expected images whose side is a multiple of {4 * patch} px for a {size} flow, got {side}; resize "
            "them"
        )
    if size == "small":
        return FlowAttack((48, 96), patch=patch, training=training or _training(pairs, 200_000, 128, 5e-4, 0.999))
    return FlowAttack(
        (64, 96, 128), patch=patch, training=training or _training(pairs, 12_000_000, 256, 5e-4, 0.9999), steps=16
    )


def _training(pairs: PairsLike, images: int, batch_size: int, lr: float, ema: float) -> Training:
    return Training(
        images=images, batch_size=batch_size, lr=lr, ema=ema, warmup=0.05, flips=pairs.views >= 2, keep="last"
    )
