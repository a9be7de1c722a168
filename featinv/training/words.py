"""Objects in a line of words: how a training knows its parts again, and what is left of them in a saved attack."""

import inspect
from typing import Any

from torch import nn


def in_words(value: Any) -> str:
    """Return a value in one line; a module as it was built, or by its fingerprint where it has one."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(in_words(item) for item in value)}]"
    fingerprint = getattr(value, "weights_fingerprint", None) or getattr(value, "fingerprint", None)
    if isinstance(fingerprint, str):
        return f"{type(value).__name__}({fingerprint[:12]})"
    return as_built(value) if isinstance(value, nn.Module) else repr(value)


def as_built(value: Any) -> str:
    """Return how an object was built, `DCGAN(32, norm='none')`: its class, and its arguments but for those at default.

    An argument is what the object keeps under the argument's name, and `...` where it keeps nothing.
    """
    told = []
    for name, parameter in inspect.signature(type(value)).parameters.items():
        given = in_words(getattr(value, name)) if hasattr(value, name) else "..."
        if parameter.default is parameter.empty:
            told.append(given)
        elif given != in_words(parameter.default):
            told.append(f"{name}={given}")
    return f"{type(value).__name__}({', '.join(told)})"
