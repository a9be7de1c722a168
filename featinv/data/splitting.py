"""Which images of a set are on the first side of a split: any of them, or whole groups of images."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Shaped

from featinv.errors import BadInput


def first_side(
    count: int, fraction: int | float, seed: int, groups: Sequence[object] | Shaped[np.ndarray, " G"] | None
) -> Int64[np.ndarray, " K"]:
    """Return the rows of the first side, sorted: round(fraction * count) of them, or whole groups of at least as many.

    Groups are taken in an order drawn by the seed, and one at least is left. Raises BadInput for a fraction that leaves
    one side empty, and for another number of groups than images or a single one.
    """
    if not 0 < fraction < 1:
        raise BadInput(f"fraction: expected a number between 0 and 1, both excluded, got {fraction}; e.g. 0.9")
    wanted = round(count * fraction)
    if groups is None:
        return _checked(np.sort(np.random.default_rng(seed).permutation(count)[:wanted]), count, fraction)
    member = _members(groups, count)
    order = np.random.default_rng(seed).permutation(int(member.max()) + 1)
    images = np.cumsum(np.bincount(member)[order])
    taken = min(int(np.searchsorted(images, wanted)) + 1, len(order) - 1)
    return np.flatnonzero(np.isin(member, order[:taken]))


def _members(groups: Sequence[object] | Shaped[np.ndarray, " G"], count: int) -> Int64[np.ndarray, " N"]:
    names = list(groups)
    if len(names) != count:
        raise BadInput(f"groups: expected one for each of {count} images, got {len(names)}; e.g. the person on each")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(numbers) < 2:
        raise BadInput(f"groups: expected at least two, got only {names[0]!r}; a group is never divided")
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _checked(rows: Int64[np.ndarray, " K"], count: int, fraction: int | float) -> Int64[np.ndarray, " K"]:
    if not 0 < len(rows) < count:
        raise BadInput(
            f"fraction: expected a split of {count} images with none of its sides empty, got {fraction}, "
            f"which makes {len(rows)} and {count - len(rows)}; use another fraction or more images"
        )
    return rows
