"""The attack without a decoder: the recoloured neighbour, retouched through robust surrogates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from featinv.attacks import RecolouredNeighbour, Retouched
from featinv.encoders import Encoder
from featinv.training import Ball, ClassifierTraining, check_bank, robust_copy, train_bank

STAGES = (
    (ClassifierTraining(epochs=2, lr=2e-3, weight_decay=1e-3, blur=0.35, cutout=0.25), Ball(radius=0.5, steps=1)),
    (ClassifierTraining(epochs=2, lr=1.5e-3, weight_decay=1e-3, blur=0.35, cutout=0.25), Ball(radius=1.5, steps=1)),
)
"""how the two copies of a victim's encoder are made: the second goes on from the first, in a larger ball"""


def retouch(
    pairs: Any,
    *,
    encoder: Encoder | None = None,
    surrogates: Sequence[Encoder] | None = None,
    distillation: ClassifierTraining | None = None,
    steps: int = 40,
    share: int | float = 1,
    seed: int = 0,
) -> Retouched:
    """Return the recoloured neighbour, retouched through surrogates of which each step looks through one.

    With the victim's `encoder` the surrogates are two robust copies of it (`robust_copy`), which takes four passes over
    the pairs; without, they are the classifiers of `train_bank`, thirty passes each; or they are given. They are made
    at once. `distillation` replaces the settings of all of them, up to the balls. No labels are needed with an encoder.
    `share` of the change is kept (0.5 for photographs).

    Raises BadInput as `robust_copy`, `train_bank` and `Retouched` do, and for given surrogates of a judge's family or
    of another victim. Ours, from parts: adversarial fine-tuning arXiv:2402.12336, images from robust networks
    arXiv:1906.00945, the contrastive loss arXiv:1807.03748. Measured in docs/results/identify.md, with an encoder.
    """
    if surrogates is not None:
        check_bank(surrogates, pairs)
        chosen = tuple(surrogates)
    elif encoder is not None:
        chosen = two_copies(encoder, pairs, distillation, seed)
    else:
        chosen = train_bank(pairs, distillation)
    return Retouched(RecolouredNeighbour(), chosen, steps=steps, drawn=1, seed=seed, share=share)


def two_copies(
    encoder: Encoder, pairs: Any, distillation: ClassifierTraining | None = None, seed: int = 0
) -> tuple[Encoder, Encoder]:
    """Return two robust copies of a victim's encoder, the second from the first; raises as `robust_copy` does."""
    (first, small), (second, large) = STAGES
    if distillation is not None:
        first = second = distillation
    near, _ = robust_copy(encoder, pairs, replace(first, seed=seed), ball=small, name="copy_small_ball")
    far, _ = robust_copy(encoder, pairs, replace(second, seed=seed + 1), ball=large, start=near, name="copy_large_ball")
    return near, far
