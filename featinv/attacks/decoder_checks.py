"""What a trained attack asks of its parts and of its pairs, before any training."""

from typing import Any

from torch import nn

from featinv.attacks.decoder_weights import ReprOnly
from featinv.errors import BadInput
from featinv.losses import Loss


def check_parts(decoder: nn.Module, objective: nn.Module) -> None:
    """Raise BadInput unless the objective is a loss (or the words of one) and the decoder says what it maps."""
    if not isinstance(objective, Loss | ReprOnly):
        raise BadInput(
            f"objective: expected a featinv.losses.Loss or a sum of them, got {type(objective).__name__}; "
            "derive your loss from featinv.losses.Loss"
        )
    for name in ("feature_shape", "image_size"):
        if not hasattr(decoder, name):
            raise BadInput(f"{type(decoder).__name__}: expected a decoder with an attribute {name!r}, got none; set it")


def check_pairs(pairs: Any, decoder: nn.Module, feature_shape: tuple[int, ...], image_size: int) -> None:
    """Raise BadInput unless the pairs' vectors and images are of the decoder's shape and size."""
    kind = type(decoder).__name__
    if tuple(pairs.feature_shape) != feature_shape:
        raise BadInput(
            f"pairs: expected features of shape {feature_shape}, as {kind} takes, got {tuple(pairs.feature_shape)}; "
            f"build the decoder with feature_shape={tuple(pairs.feature_shape)}"
        )
    if int(pairs.image_size) != image_size:
        raise BadInput(
            f"pairs: expected images of {image_size} pixels, as {kind} makes, got {pairs.image_size}; build the "
            f"decoder with image_size={pairs.image_size}"
        )
