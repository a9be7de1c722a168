"""Whether a likelihood is one, tried on samples: a wrong one would state a ceiling that attacks can exceed."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from featinv.defences.likelihood import KnownRelease
from featinv.errors import BadInput
from featinv.processes import seeded

_MOST = 500
"""Vectors that are tried."""
_DRAWS = 4
_SURE = 4.0
"""Standard errors."""
_SLACK = 0.02
"""How far a mean posterior may be off without a word."""
_TINY = 1e-6
_STREAM = 7


@torch.no_grad()
def check_likelihood(release: KnownRelease, mapped: Tensor, seed: int) -> None:
    """Raise BadInput unless the noise's `log_likelihood` behaves like the log density of the noise that is drawn.

    On draws for up to 500 vectors it has to (1) be (B, N), without NaN, and finite for the true vector; (2) rank the
    truth above chance where the nearest vector does, and no worse than the nearest vector; (3) be calibrated: the
    posterior over the candidates gives the truth as much on average as its own sum of squares, which holds for the
    true density alone.
    """
    order = np.random.default_rng([seed, _STREAM]).permutation(len(mapped))[:_MOST]
    vectors, name = mapped[torch.from_numpy(order)], repr(release.noise)
    by_density, by_distance, trusted, expected = [], [], [], []
    for draw in range(_DRAWS):
        with seeded(seed, _STREAM, draw):
            released: Any = release.noise(vectors)  # type: ignore[misc]
        density = _matrix(release, released, vectors, name)
        by_density.append(_position(density))
        if released.shape == vectors.shape:
            distances = torch.cdist(released.flatten(1).double(), vectors.flatten(1).double())
            by_distance.append(_position(-distances.numpy()))
        posterior = np.exp(density - density.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        trusted.append(np.diag(posterior))
        expected.append(np.square(posterior).sum(axis=1))
    _demand_rank(by_density, by_distance, name)
    gap = np.concatenate(trusted) - np.concatenate(expected)
    if abs(gap.mean()) > _SLACK + _SURE * _error(gap):
        raise BadInput(
            f"likelihood of {name}: expected that of the noise that it draws, but the posterior gives the true vector "
            f"{np.concatenate(trusted).mean():.3f} on average where it promises {np.concatenate(expected).mean():.3f}; "
            "correct log_likelihood"
        )


def _demand_rank(by_density: list[np.ndarray], by_distance: list[np.ndarray], name: str) -> None:
    density = np.mean(by_density, axis=0)
    distance = np.mean(by_distance, axis=0) if by_distance else None
    worse = density - (0.5 if distance is None else distance)
    below = density.mean() + _SURE * _error(density) < 0.5
    uninformed = distance is None and density.mean() - _SURE * _error(density) <= 0.5
    if below or uninformed or worse.mean() + _SURE * _error(worse) + _TINY < 0:
        nearest = "" if distance is None else f", where the nearest vector is behind {distance.mean():.3f}"
        raise BadInput(
            f"likelihood of {name}: expected to rank the true vector above chance and no worse than the nearest vector "
            f"does; it ranks it above {density.mean():.3f} of the others (chance .5{nearest}); correct log_likelihood"
        )


def _matrix(release: KnownRelease, released: Tensor, vectors: Tensor, name: str) -> Float64[np.ndarray, "N N"]:
    output = release.log_likelihood(released, vectors)
    shape = (len(vectors), len(vectors))
    if not isinstance(output, Tensor) or tuple(output.shape) != shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise BadInput(f"likelihood of {name}: expected (released, candidates) {shape}, got {got}")
    density = output.double().cpu().numpy()
    if np.isnan(density).any() or not np.isfinite(np.diag(density)).all():
        raise BadInput(
            f"likelihood of {name}: expected a finite log density of the true vector, got NaN or infinity; "
            "correct log_likelihood"
        )
    return density


def _position(scores: Float64[np.ndarray, "N N"]) -> Float64[np.ndarray, " N"]:
    """Return the share of the other candidates behind the truth, half of the ties."""
    truth = np.diag(scores)[:, None]
    others = max(1, len(scores) - 1)
    return ((scores < truth).sum(axis=1) + ((scores == truth).sum(axis=1) - 1) / 2) / others


def _error(values: Float64[np.ndarray, " N"]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
