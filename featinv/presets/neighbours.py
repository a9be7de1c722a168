"""Attacks whose decoder is shown the nearest public images."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featinv.attacks import DecoderAttack
from featinv.attacks.leave_one_out import ridge_by_leave_one_out
from featinv.attacks.passes import feature_moments
from featinv.decoders import RedrawnNeighbour, RetrievalUpsampling
from featinv.decoders.redrawn import COLOURS, SKETCH
from featinv.losses import MSE, Loss
from featinv.training import Training
from featinv.training.batches import hold_out
from featinv.types import PairsLike

from .first_weights import drawn


def retrieval(
    pairs: PairsLike,
    objective: Loss | None = None,
    *,
    k: int = 4,
    training: Training | None = None,
    mismatched: bool = False,
) -> DecoderAttack:
    """Return a decoder that sees the `k` nearest public images at 16 x 16 beside the vector.

    `objective` is MSE by default; that of `two_surrogates(pairs).objective` or `identify(pairs).objective` makes it
    the same attack with neighbours. Its bank is the pairs that it trains on, without those held out for validation.
    `mismatched` is the control: the same decoder with another vector's neighbours. A saved one contains the public
    images. Raises BadInput for maps, and for fewer than 2 k + 1 pairs.

    Adapted from retrieval-augmented synthesis, arXiv:2204.11824 (k = 4). Ours: images in place of embeddings, the
    training. Not measured yet beyond docs/results/identify.md.
    """
    training = training or Training(flips=pairs.views >= 2, keep="last")
    bank, vectors = _bank(pairs, training)
    decoder = drawn(
        training,
        lambda: RetrievalUpsampling(pairs.feature_shape, pairs.image_size, len(bank), k=k, mismatched=mismatched),
    )
    decoder.set_public(vectors, bank.images.batch(np.arange(len(bank))))
    return DecoderAttack(decoder, objective or MSE(), training)


def redraw(
    pairs: PairsLike,
    objective: Loss | None = None,
    *,
    k: int = 3,
    finest: int | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return a decoder that starts from the recoloured neighbour and learns what to change in it (`RedrawnNeighbour`).

    It is `retouch` with a network in the place of the search at test time. `objective` is MSE by default, which blurs
    the neighbour; that of `identify(pairs).objective` keeps what identifies. The bank is the pairs that it trains on,
    without those held out for validation, and a saved attack contains their images. Raises BadInput for maps, and for
    fewer than 2 k + 1 pairs. Sources: see `RedrawnNeighbour`; measured in docs/results/photographs.md.
    """
    training = training or Training(flips=pairs.views >= 2, holdout=0, keep="last")
    bank, vectors = _bank(pairs, training)
    size = pairs.image_size
    decoder = drawn(training, lambda: RedrawnNeighbour(pairs.feature_shape, size, len(bank), k=k, finest=finest))
    images = bank.images.batch(np.arange(len(bank)))
    decoder.set_public(
        vectors, images, sketch=_predicted(vectors, images, SKETCH), colours=_predicted(vectors, images, COLOURS)
    )
    return DecoderAttack(decoder, objective or MSE(), training)


def _predicted(vectors: Tensor, images: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of the ridge regression of the images' means over side x side cells."""
    fitted = ridge_by_leave_one_out(vectors, F.interpolate(images, size=(side, side), mode="area").flatten(1))
    return fitted.weight, fitted.bias


def _bank(pairs: PairsLike, training: Training) -> tuple[PairsLike, Tensor]:
    """The pairs that are trained on, and their vectors (N, D), standardised as the decoder is given them."""
    bank, _ = hold_out(pairs, training.holdout, training.seed)
    moments = feature_moments(bank)
    vectors = torch.from_numpy(bank.features(np.arange(len(bank)))).reshape(len(bank), math.prod(pairs.feature_shape))
    return bank, (vectors - moments.mean) / moments.scale
