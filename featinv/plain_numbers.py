"""Numbers as settings keep them: plain Python ones, seeds within range (nothing here imports torch or NumPy)."""

import dataclasses
import math
import operator
import sys
from typing import Any

from featinv.errors import BadInput

LARGEST_SEED = 2**63 - 1
"""largest seed that every generator here takes: torch's are signed 64-bit integers"""


def plain(value: Any) -> Any:
    """Return a NumPy scalar as the plain Python value that equals it; any other value as it is.

    Tuples, lists and dicts are copied with plain entries.
    """
    if isinstance(value, tuple) and type(value) is not tuple:  # a named tuple keeps its type
        return value
    if isinstance(value, tuple | list):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    numpy = sys.modules.get("numpy")  # without NumPy in memory nothing can be a NumPy scalar
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def make_plain(settings: Any) -> None:
    """Replace the NumPy scalars in the fields of a frozen dataclass; to be called in its `__post_init__`."""
    for item in dataclasses.fields(settings):
        object.__setattr__(settings, item.name, plain(getattr(settings, item.name)))


def check_seed(name: str, seed: Any) -> int:
    """Return a seed as a plain int. Raises BadInput unless it is a whole number from 0 to 2**63 - 1."""
    try:
        number = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = None
    if number is None or not 0 <= number <= LARGEST_SEED:
        raise BadInput(f"{name}: expected a whole number from 0 to 2**63 - 1 as seed, got {seed!r}")
    return number


def check_positive(name: str, value: Any) -> None:
    """Raise BadInput unless the value is a finite number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise BadInput(f"{name}: expected a finite number above 0, got {value!r}")
