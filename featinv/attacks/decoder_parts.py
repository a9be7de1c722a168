"""What a decoder attack is made of and asks for: its parts and pairs checked, a network put together."""

import copy
from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from featinv.blocks import Standardise
from featinv.errors import BadInput
from featinv.losses import Loss
from featinv.types import PairsLike


class ReprOnly(nn.Module):
    """Stands for the objective or the adversary of a loaded attack: only its description is known."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def __repr__(self) -> str:
        return self.words


def assemble(decoder: nn.Module, standardise: Standardise | None) -> nn.Module:
    """Put the standardising layer, if any, before a copy of the decoder."""
    parts: OrderedDict[str, nn.Module] = OrderedDict() if standardise is None else OrderedDict(standardise=standardise)
    parts["decoder"] = copy.deepcopy(decoder)
    return nn.Sequential(parts)


def as_shape(feature_shape: Any) -> tuple[int, ...]:
    """Return a feature shape as a tuple of integers."""
    return (feature_shape,) if isinstance(feature_shape, int) else tuple(int(size) for size in feature_shape)


def check_weights(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raise BadInput unless the tensors are finite and those of the network, naming the first that is not."""
    expected = network.state_dict()
    if missing := sorted(set(expected) ^ set(tensors)):
        raise BadInput(f"weights: expected those of the decoder, but {missing[0]!r} is in one and not in the other")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise BadInput(
                f"weights: expected {name} of shape {tuple(expected[name].shape)} and {expected[name].dtype}, got "
                f"{tuple(tensor.shape)} and {tensor.dtype}; is it of another decoder?"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BadInput(f"weights: expected finite numbers in {name}, got NaN or infinity; the file is damaged")


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


def check_pairs(pairs: PairsLike, decoder: nn.Module, feature_shape: tuple[int, ...], image_size: int) -> None:
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
