"""How often a decoder that is shown public images copies one of them."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from featinv.attacks import DecoderAttack
from featinv.decoders import RetrievalUpsampling
from featinv.errors import BadInput
from featinv.evaluation.intervals import Interval, wilson
from featinv.types import Features


@final
@dataclass(frozen=True)
class CopyRate:
    """Shares of reconstructions whose nearest public image is one of certain k; `str` gives a sentence.

    `own`: of the k that were shown. `unshown`: of the same k where another vector's neighbours were shown instead, so
    that they can only be near by what the vector itself says. `mismatched`: of those other k. A decoder that copies has
    a high `mismatched`; `own` alone cannot tell copying from being right.
    """

    own: Interval
    unshown: Interval
    mismatched: Interval

    def __str__(self) -> str:
        own, unshown, mismatched = (f"{100 * rate.mean:.1f} %" for rate in (self.own, self.unshown, self.mismatched))
        return (
            f"nearest public image is one of those shown: {own}; the same images not shown: {unshown}; "
            f"another vector's images shown: {mismatched}"
        )


def copy_rate(attack: object, features: Features) -> CopyRate:
    """Return how often reconstructions of features (B, D) are nearest to a public image that the decoder was shown.

    Nearest of all images of the decoder's bank by squared error at the side at which they are shown. The other vector
    is the next one of `features`, the first after the last. The chance of each rate is k / N for N public images. An
    audit of copies as in arXiv:2004.05675; the two controls are ours. Raises BadInput for an attack that is no fitted
    `DecoderAttack` with a `RetrievalUpsampling`, and for fewer than 2 vectors.
    """
    if not isinstance(attack, DecoderAttack) or attack.network is None:
        raise BadInput(f"copy_rate: expected a fitted DecoderAttack, got {type(attack).__name__}; fit one of retrieval")
    layers = dict(attack.network.named_children())
    decoder = layers["decoder"]
    if not isinstance(decoder, RetrievalUpsampling):
        raise BadInput(
            f"copy_rate: expected a decoder that is shown public images, got {type(decoder).__name__}; it copies none"
        )
    if len(features) < 2:
        raise BadInput(f"copy_rate: expected at least 2 vectors, one for the other's control, got {len(features)}")
    with torch.no_grad():
        vectors = features.to(decoder.vectors.device)
        if "standardise" in layers:
            vectors = layers["standardise"](vectors)
        own = decoder.neighbours(vectors)
        other = own.roll(-1, 0)
        usual, swapped = (_nearest(decoder, decoder.with_neighbours(vectors, rows)) for rows in (own, other))
    chance = decoder.k / decoder.public

    def share(nearest: Tensor, rows: Tensor) -> Interval:
        return wilson(int((nearest[:, None] == rows).any(1).sum()), len(rows), chance=chance)

    return CopyRate(share(usual, own), share(swapped, own), share(swapped, other))


def _nearest(decoder: RetrievalUpsampling, images: Tensor) -> Tensor:
    """(B,) rows of the bank with the least squared error at the side at which it is shown."""
    small = F.interpolate(images, size=(decoder.side, decoder.side), mode="area").flatten(1)
    public = decoder.thumbnails.flatten(1)
    best = torch.full((len(small),), torch.inf, device=small.device)
    rows = torch.zeros(len(small), dtype=torch.long, device=small.device)
    for start in range(0, len(public), 1024):
        far, at = torch.cdist(small, public[start : start + 1024].float() / 255).min(1)
        rows = torch.where(far < best, at + start, rows)
        best = torch.minimum(best, far)
    return rows
