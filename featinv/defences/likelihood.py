"""The likelihood of a release: what is known of p(released | clean) for a whole defence.

A chain has an exact one when it is a deterministic map, or a deterministic map followed by one part with noise whose
density is known. Anything else (noise that is rounded afterwards, a foreign module) has none here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.defences.chains import parts
from featinv.defences.defence import equal_outputs
from featinv.defences.noise import AdditiveNoise


@final
@dataclass(frozen=True, eq=False)
class KnownRelease:
    """A release as a deterministic map and, behind it, noise with a `log_likelihood`; either may be missing."""

    mapping: nn.Sequential
    noise: nn.Module | None

    def log_likelihood(self, released: Tensor, mapped: Tensor) -> Float[Tensor, "B N"]:
        """Return log p(released row | clean row) of clean rows that `mapping` was applied to, in float64."""
        if self.noise is None:
            return equal_outputs(released, mapped)
        density: Tensor = self.noise.log_likelihood(released, mapped)  # type: ignore[operator]
        return density

    def scorer(self, mapped: Tensor) -> Callable[[Tensor], Tensor]:
        """Return released -> scores (B, N) of these candidates: log likelihoods, up to a number for each row.

        Only our own noise is trusted to have scores beside its log likelihood.
        """
        if isinstance(self.noise, AdditiveNoise):
            return self.noise.scorer(mapped)
        return lambda released: self.log_likelihood(released, mapped)


def known_release(defence: nn.Module) -> KnownRelease | None:
    """Return what is known of the release that `defence` makes, or None: then no ceiling is known.

    A foreign module counts as deterministic where it has an attribute `deterministic` that is true, and as noise where
    it has a method `log_likelihood(released, clean)`; any other has no known likelihood.
    """
    members = parts(defence)
    if not members:
        return KnownRelease(nn.Sequential(), None)
    *before, last = members
    if not all(getattr(part, "deterministic", False) is True for part in before):
        return None
    if getattr(last, "deterministic", False) is True:
        return KnownRelease(nn.Sequential(*members), None)
    return KnownRelease(nn.Sequential(*before), last) if callable(getattr(last, "log_likelihood", None)) else None


@torch.no_grad()
def log_likelihood(
    defence: nn.Module, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]
) -> Float[Tensor, "B N"] | None:
    """Return log p(released row | clean row) for a defence or a chain, in float64; None where it is not known.

    Codes, ties and groups give 0 where the candidate's output equals the released row, else -infinity: all candidates
    with equal outputs are equally likely.
    """
    release = known_release(defence)
    return None if release is None else release.log_likelihood(released, release.mapping(clean))
