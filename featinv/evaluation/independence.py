"""Whether a judge is independent of what it judges: no network of the victim's or of an attack's (rule 1)."""

import hashlib
import types
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from featinv.data import ImageSet

_MOST_OBJECTS = 100_000
_LEAVES = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, type, types.ModuleType, ImageSet)


def shares_network(judge: object, other: object) -> bool:
    """Say whether more than half of the judge's weight tensors hang, equal bit by bit, anywhere on the other object.

    Fingerprints also cover the layer and the input size, so that one network cut in two places has two of them; weights
    do not. A head of its own on somebody else's trunk makes no independent judge. What has no weights is compared by
    identity and by fingerprint.
    """
    own = _weights([judge]) if isinstance(judge, nn.Module) else set()
    parts = list(_parts(other))
    if not own:
        name = getattr(judge, "fingerprint", None)
        return any(part is judge or (name and getattr(part, "fingerprint", None) == name) for part in parts)
    return 2 * len(own & _weights(parts)) > len(own)


def excluded_by(judge: object, attack: object) -> bool:
    """Say whether the weights of the judge are among those that an attack, or one inside it, was trained to please.

    An attack that was saved and loaded no longer has its objective and its adversary; it remembers their networks by
    `excluded_judges`, fingerprints of weights.
    """
    name = getattr(judge, "weights_fingerprint", None)
    lists = (getattr(part, "excluded_judges", None) for part in _parts(attack))
    return name is not None and any(name in excluded for excluded in lists if isinstance(excluded, frozenset | set))


def _weights(parts: list[object]) -> set[str]:
    """Digests of the weight matrices and kernels; biases and constants may well agree by chance."""
    tensors = {
        id(parameter): parameter
        for part in parts
        if isinstance(part, nn.Module)
        for parameter in part.parameters()
        if parameter.ndim > 1 and parameter.numel() > 16
    }
    return {
        hashlib.sha256(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        for tensor in tensors.values()
    }


def _parts(root: object) -> Iterator[object]:
    """Everything that hangs on an object by attributes and containers, so that a loss's network is found too."""
    todo, seen = [root], {id(root)}
    while todo and len(seen) < _MOST_OBJECTS:
        thing = todo.pop()
        yield thing
        if isinstance(thing, Mapping):
            children = list(thing.values())
        elif isinstance(thing, list | tuple | set | frozenset):
            children = list(thing)
        else:
            children = list(getattr(thing, "__dict__", {}).values())
        for child in children:
            if not isinstance(child, _LEAVES) and id(child) not in seen:
                seen.add(id(child))
                todo.append(child)
