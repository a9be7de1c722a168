"""An attack whose decoder is shown the nearest public images."""

import math

import numpy as np
import torch

from featinv.attacks import DecoderAttack
from featinv.attacks.passes import feature_moments
from featinv.decoders import RetrievalUpsampling
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
    bank, _ = hold_out(pairs, training.holdout, training.seed)
    moments = feature_moments(bank)
    width = math.prod(pairs.feature_shape)
    decoder = drawn(
        training,
        lambda: RetrievalUpsampling(pairs.feature_shape, pairs.image_size, len(bank), k=k, mismatched=mismatched),
    )
    rows = np.arange(len(bank))
    vectors = torch.from_numpy(bank.features(rows)).reshape(len(bank), width)
    decoder.set_public((vectors - moments.mean) / moments.scale, bank.images.batch(rows))
    return DecoderAttack(decoder, objective or MSE(), training)
