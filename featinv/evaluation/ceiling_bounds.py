"""Upper bounds on re-identification that follow from a defence's construction, without its likelihood."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import scipy.special
from torch import nn

from featinv.defences import Clip, GaussianNoise, Microaggregate, parts


@final
@dataclass(frozen=True)
class Bound:
    """An upper bound on top-k re-identification among `size` candidates, and what it rests on.

    `worst_case` bounds hold for every image and every vector, the others for the mean over the gallery.
    """

    name: str
    k: int
    size: int
    value: float
    worst_case: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return the bound as plain data."""
        return asdict(self)


def code_bound(bits: int | float, k: int, size: int) -> float:
    """Return k 2^bits / size: each of 2^bits codes lets k candidates be named, so that so many images are found."""
    return min(1.0, k * 2.0 ** min(bits, 64.0) / size)


def group_bound(group: int, k: int) -> float:
    """Return k / group: at least `group` images of the release have the same vector."""
    return min(1.0, k / group)


def gaussian_dp_bound(mu: int | float, prior: float) -> float:
    """Return Phi(Phi^-1(prior) + mu), the success in an event of blind probability `prior` under mu-Gaussian-DP.

    The trade-off function of Gaussian DP (Dong et al., arXiv:1905.02383, definition 2.1) at the error of the blind
    guess; it holds for every prior, and so for a gallery (reconstruction robustness, arXiv:2307.03928).
    """
    return float(scipy.special.ndtr(scipy.special.ndtri(prior) + mu))


def bounds_of(defence: nn.Module, count: int, sizes: Sequence[int], top: Sequence[int]) -> tuple[Bound, ...]:
    """Return the bounds that hold for a defence or a chain: what follows a part can only lower what it lets through.

    `count` is the number of images released. Groups bound the whole gallery only: a smaller one may hold one of each.
    """
    members = parts(defence)
    return tuple(
        bound
        for size in sizes
        for k in top
        for bound in (
            *_of_codes(members, k, size),
            *(_of_groups(members, k, size) if size == count else ()),
            *_of_privacy(members, k, size),
        )
    )


def _of_codes(members: Sequence[nn.Module], k: int, size: int) -> Iterator[Bound]:
    counts = [bits for part in members if (bits := _code_bits(part)) is not None]
    if counts:
        bits = min(counts)
        text = f"a release of {bits:g} bits: k 2^bits / N"
        yield Bound("code", k, size, code_bound(bits, k, size), False, text)


def _code_bits(part: nn.Module) -> float | None:
    code_bits = getattr(part, "code_bits", None)
    return code_bits() if callable(code_bits) else None


def _of_groups(members: Sequence[nn.Module], k: int, size: int) -> Iterator[Bound]:
    groups = [part.k for part in members if isinstance(part, Microaggregate) and part.k > 1]
    if groups:
        text = f"means of groups of at least {max(groups)}, released once: k / group"
        yield Bound("groups", k, size, group_bound(max(groups), k), False, text)


def _of_privacy(members: Sequence[nn.Module], k: int, size: int) -> Iterator[Bound]:
    for clip, noise in itertools.pairwise(members):
        if not isinstance(clip, Clip) or not isinstance(noise, GaussianNoise) or clip.norm is None or noise.std == 0:
            continue
        mu = 2 * clip.norm / noise.std
        text = f"{mu:.3g}-Gaussian-DP for one vector (clip {clip.norm:g}, deviation {noise.std:g}), prior {k}/{size}"
        if math.isfinite(mu):
            yield Bound("differential privacy", k, size, gaussian_dp_bound(mu, k / size), True, text)
