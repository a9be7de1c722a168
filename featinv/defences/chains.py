"""Defences as a whole: one module or a `torch.nn.Sequential` of them, fitted, described and taken apart."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featinv.defences.defence import Learned
from featinv.defences.public_features import read_public
from featinv.processes import seeded


def parts(defence: nn.Module) -> list[nn.Module]:
    """Return the modules that a defence applies one after another, chains within chains unrolled."""
    if not isinstance(defence, nn.Sequential):
        return [defence]
    return [part for member in defence for part in parts(member)]


def fit(defence: nn.Module, public: Any, labels: Any = None, *, seed: int = 0) -> nn.Module:
    """Fit every part of a defence that learns, each on the public features as the parts before it leave them.

    `public` is Pairs, Vectors, or an array or tensor (N, D) or (N, C, h, w), as the encoder makes them; `seed` draws
    the noise of earlier parts. Other modules are applied as they are. Returns the defence. Raises BadInput as
    `Learned.fit` does.
    """
    data = read_public("fit", public, labels)
    features = torch.from_numpy(data.rows.reshape(-1, *data.feature_shape))
    members = parts(defence)
    with torch.no_grad(), seeded(seed):
        for place, part in enumerate(members):
            if isinstance(part, Learned):
                part.fit(features if place else data, data.labels)
                part.encoder_fingerprint, part.layer = data.encoder_fingerprint, data.layer
            if place < len(members) - 1:
                features = part(features)
    return defence


def least_batch(defence: nn.Module) -> int:
    """Return how many vectors have to be defended at once."""
    return max((int(getattr(part, "least_batch", 1)) for part in defence.modules()), default=1)


def whole_release(defence: nn.Module) -> bool:
    """Return whether all vectors of a release have to be defended at once."""
    return any(getattr(part, "whole_release", False) for part in defence.modules())


def fingerprint(defence: nn.Module) -> str:
    """Return the sha256 (64 hex digits) of all that a defence consists of: classes, settings and learned numbers."""
    digest = hashlib.sha256()
    for piece in fingerprint_pieces(defence):
        digest.update(piece)
    return digest.hexdigest()


def fingerprint_pieces(defence: nn.Module) -> Iterator[bytes]:
    """What tells one defence from another: its repr, the plain settings of its parts, and the bytes of its state."""
    yield repr(defence).encode()
    for name, part in defence.named_modules():
        # A foreign defence may show nothing of its strength in its repr.
        settings = {key: value for key, value in vars(part).items() if isinstance(value, bool | int | float | str)}
        settings.pop("training", None)
        yield f"{name}: {type(part).__qualname__} {sorted(settings.items())}".encode()
    for name, tensor in sorted(defence.state_dict().items()):
        yield f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode()
        yield as_bytes(tensor)


def as_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor, of any type and on any device."""
    array: np.ndarray = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return array.tobytes()
