"""What a network returned as features, or what to write instead."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from featinv.errors import BadInput

_BEST_KEYS = ("pooler_output", "image_embeds", "embeddings", "features", "last_hidden_state", "logits")
"""names under which libraries return the vector of an image, the most pooled one first"""


def as_features(output: Any, *, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a layer's output as features: (B, D) or (B, C, h, w), float32 unless another precision is asked for.

    (B, C, 1, 1) and (B, 1, 1, C) are squeezed to (B, C), a sequence of tokens (B, T, C) is flattened to (B, T * C),
    and (B,) becomes (B, 1). Raises BadInput for anything but one floating-point tensor, naming the expression that
    gives one.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim not in (1, 2, 3, 4):
        raise BadInput(
            f"{name}: expected one floating-point tensor of 1 to 4 axes, got {_described(output)}; {_fix(output)}, "
            "or cut it at another layer"
        )
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim == 3 or (1, 1) in (output.shape[2:], output.shape[1:3]):
        output = output.flatten(1)
    return output.to(dtype)


def check_channels_first(features: Tensor, *, name: str) -> None:
    """Raise BadInput for maps (B, h, w, C), whose channels come last: square maps of square images tell them.

    Read as (B, C, h, w), every attack would take rows of the image for channels, and come out weaker than it is.
    """
    shape = tuple(features.shape)
    if len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        raise BadInput(
            f"{name}: expected feature maps (B, C, h, w), got {shape}, whose channels come last; "
            f"{_wrap('.permute(0, 3, 1, 2)')}, or cut it at a layer behind its own permutation"
        )


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"{output.dtype} of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"{type(output).__name__} with the keys {', '.join(map(repr, list(output)[:8])) or 'none'}"
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {len(output)} ({', '.join(type(item).__name__ for item in output[:4])})"
    return type(output).__name__


def _fix(output: Any) -> str:
    """Return what to write so that one floating-point tensor comes out."""
    if isinstance(output, Mapping):
        usable = [key for key, value in output.items() if _usable(value)]
        best = next((key for key in _BEST_KEYS if key in usable), usable[0] if usable else None)
        return "return a tensor" if best is None else _wrap(f"[{best!r}]")
    if isinstance(output, tuple | list):
        place = next((place for place, item in enumerate(output) if _usable(item)), None)
        return "return a tensor" if place is None else _wrap(f"[{place}]")
    if isinstance(output, Tensor):
        if output.ndim > 4:
            return _wrap(".flatten(1)")
        if output.ndim == 0:
            return "return one row an image"
        return "take the scores before argmax or rounding" if not output.is_complex() else _wrap(".abs()")
    if hasattr(output, "__array__"):
        return _wrap_around("torch.as_tensor(network(x)).float()")
    held = [key for key, value in getattr(output, "__dict__", {}).items() if _usable(value)]
    best = next((key for key in _BEST_KEYS if key in held), held[0] if held else None)
    return "return a tensor" if best is None else _wrap(f".{best}")


def _usable(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and 1 <= value.ndim <= 4


def _wrap(access: str) -> str:
    return _wrap_around(f"network(x){access}")


def _wrap_around(expression: str) -> str:
    return f"write wrap(lambda x: {expression}, ...)"


def what_failed(error: Exception, *, name: str, shape: tuple[int, ...]) -> str:
    """Return one line on a network that raised when it was first fed, and the likely remedy."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    message, side = str(error), shape[-1]
    if "to have 1 channel" in message:
        fix = "it takes gray images: write wrap(lambda x: network(x.mean(1, keepdim=True)), ...)"
    elif any(word in message for word in ("dtype", "scalar type", "Input type", "c10::Half", "BFloat16")):
        fix = "where it computes in half precision: write wrap(lambda x: network(x.half()), ...)"
    elif f"to have {side} channels" in message or f"got {side} channels" in message:
        fix = "it takes channels last: write wrap(lambda x: network(x.permute(0, 2, 3, 1)), ...)"
    elif any(
        word in message.lower() for word in ("height", "image size", "shapes cannot be multiplied", "size of tensor")
    ):
        fix = f"give the side in pixels that it takes as input_size (now {side})"
    else:
        fix = "call it yourself on torch.zeros of that shape"
    return f"{name}: the network failed on images {shape}: {first}; {fix}"
