"""The convolutions of torchvision's ImageNet networks, for losses; nothing is downloaded unless it is asked for."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from torchvision import models

from featinv import encoders
from featinv.errors import BadInput

PUBLISHED = "IMAGENET1K_V1"

_SMALLEST = 64
"""Images below this side are enlarged to it: of 32 pixels, the last maps of these networks have one or two."""


class Convolutions(NamedTuple):
    """The convolutional part of a classifier, and the fingerprint of the whole classifier's weights."""

    encoder: encoders.Encoder
    whole: str


def convolutions(name: str, weights: str | os.PathLike[str], *, download: bool, loss: str) -> Convolutions:
    """Return the convolutions of a torchvision classifier with ImageNet weights, from a file or from torch's cache.

    Raises BadInput at once where the file is missing: with the three ways to get it, and a loss that needs none.
    """
    entry = models.get_model_weights(name)[PUBLISHED]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    published = os.fspath(weights) == PUBLISHED
    file = cached if published else Path(weights)
    if not file.is_file() and not (published and download):
        raise BadInput(
            f"{loss}: the ImageNet weights of {name} are not at {file}; three ways to get them: download=True on a "
            f"machine with a network, a copy of {entry.url} put there as {cached}, or weights=PATH of such a file; "
            "Perceptual(victim.encoder) needs none"
        )
    whole = encoders.torchvision(name, layer="features", weights=weights, input_size=_SMALLEST)
    # The classifier behind the convolutions has nine tenths of VGG's weights, and none of its maps.
    part = encoders.Encoder(
        whole.network.features,  # type: ignore[arg-type]
        name=name,
        family=whole.family,
        trained_on=whole.trained_on,
        input_size=_SMALLEST,
        mean=whole.normalisation["mean"],
        std=whole.normalisation["std"],
    )
    return Convolutions(part, whole.weights_fingerprint)


def side_of(height: int, width: int) -> tuple[int, int]:
    """Return the size at which images are shown to these networks: their own, but at least 64 pixels a side."""
    scale = max(1.0, _SMALLEST / min(height, width))
    return round(scale * height), round(scale * width)
