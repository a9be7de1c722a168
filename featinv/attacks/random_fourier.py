"""Ridge regression on random Fourier features: the non-linear attack that still has a closed form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv.attacks.checks import Layout, check_positive
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.ridge import NormalEquations
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Images, PairsLike


@dataclass(frozen=True)
class FourierLift:
    """Standardise vectors with `mean` and `scale` (D,); cosines at `frequencies` (D, K) and `phases` (K,)."""

    mean: Tensor
    scale: Tensor
    frequencies: Tensor
    phases: Tensor

    @property
    def width(self) -> int:
        """K + D."""
        return len(self.phases) + len(self.mean)

    def __call__(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        z = (features - self.mean) / self.scale
        return torch.cat([torch.addmm(self.phases, z, self.frequencies).cos_(), z], dim=1)

    def scaled(self, factor: float) -> "FourierLift":
        """Return the lift with its frequencies multiplied by `factor`."""
        return replace(self, frequencies=self.frequencies * factor)

    def tensors(self) -> dict[str, Tensor]:
        """Return the four tensors by name."""
        return {"mean": self.mean, "scale": self.scale, "frequencies": self.frequencies, "phases": self.phases}


SPREADS = (0.2, 0.4, 0.8)
"""Standard deviations of z F that are tried, in radians; a frequency's scale is this over the square root of D."""
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e6)
"""Penalties that are tried, for each pair: the one chosen is multiplied by the number of pairs that are fitted."""
MOST_FITTED, MOST_HELD, MOST_PIXELS = 20_000, 4_000, 384


def choose(
    pairs: PairsLike, unit: FourierLift, *, scale: int | float | None, penalty: int | float | None, seed: int
) -> tuple[float, float]:
    """Return (scale, penalty): those given, and in place of None those with the least squared error on held-out pairs.

    One tenth of the pairs (at most 4,000) is held out; the others (at most 20,000) are fitted, and errors are taken on
    at most 384 pixel values: seeded draws, so that choosing costs a fraction of fitting. Raises BadInput with fewer
    than 10 pairs, unless nothing is to be chosen.
    """
    if scale is not None and penalty is not None:
        return float(scale), float(penalty)
    if len(pairs) < 10:
        raise BadInput(
            f"pairs: expected at least 10 to choose scale and penalty on, got {len(pairs)}; give scale and penalty"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(pairs))
    held = min(MOST_HELD, len(pairs) // 10)
    held_rows, fitted_rows = np.sort(order[:held]), np.sort(order[held : held + MOST_FITTED])
    scales = [s / len(unit.mean) ** 0.5 for s in SPREADS] if scale is None else [float(scale)]
    share = [p * len(fitted_rows) for p in PENALTIES]
    penalties = share if penalty is None else [float(penalty) * len(fitted_rows) / len(pairs)]
    errors = {}
    for number, candidate in enumerate(scales, 1):
        candidate_errors = _errors(
            pairs, unit.scaled(candidate), penalties, fitted_rows, held_rows, seed, f"{number}/{len(scales)}"
        )
        errors.update({(candidate, p): error for p, error in zip(penalties, candidate_errors, strict=True)})
    best_scale, best_penalty = min(errors, key=errors.__getitem__)
    return best_scale, float(penalty) if penalty is not None else best_penalty * len(pairs) / len(fitted_rows)


def _errors(
    pairs: PairsLike,
    lift: FourierLift,
    penalties: Sequence[float],
    fitted_rows: np.ndarray,
    held_rows: np.ndarray,
    seed: int,
    number: str,
) -> list[float]:
    """Return the summed squared error on the held-out pairs at each penalty."""
    values = 3 * pairs.image_size**2
    chosen = torch.from_numpy(np.random.default_rng([seed, 2]).permutation(values)[:MOST_PIXELS].copy())
    equations = NormalEquations(lift.width, len(chosen))
    for _, features, images in pair_blocks(pairs, f"random features: choosing {number}", fitted_rows):
        equations.add(lift(features), images[:, chosen])
    solved = [equations.solve(penalty) for penalty in penalties]
    errors = [0.0] * len(solved)
    for _, features, images in pair_blocks(pairs, f"random features: trying {number}", held_rows):
        lifted, targets = lift(features), images[:, chosen]
        for row, (weight, bias) in enumerate(solved):
            guess = torch.addmm(bias, lifted, weight).clamp_(0, 1)
            errors[row] += float((guess - targets).square().sum(dtype=torch.float64))
    return errors


@final
class RandomFourier(TensorAttack):
    """features -> the images that ridge regression predicts from [cos(z F + p), z], clamped to [0, 1].

    z are the standardised (flattened) features, F is `scale` times a normal (D, count) matrix and p uniform phases
    (Rahimi and Recht 2007, "Random features for large-scale kernel machines"): a kernel regression in closed form.
    `penalty` is added to the un-normalised Gram matrix, as for Ridge. Whichever of `scale` and `penalty` is None is
    chosen from a small grid on held-out public pairs (see `fourier_choice`) and recorded in `chosen`. Memory holds
    (count + D)^2 + (count + D) x 3 S^2 numbers. Raises BadInput for a count, scale or penalty that is not above zero,
    and in `fit` when there are too few pairs to choose on.
    """

    def __init__(
        self,
        count: int = 3000,
        *,
        scale: int | float | None = None,
        penalty: int | float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if count < 1:
            raise BadInput(f"count: expected at least 1 random feature, got {count}")
        for name, value in (("scale", scale), ("penalty", penalty)):
            if value is not None:
                check_positive(name, value)
        self.count = count
        self.scale = scale
        self.penalty = penalty
        self.seed = seed

    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        moments = feature_moments(pairs)
        width = len(moments.mean)
        draw = torch.Generator().manual_seed(self.seed)
        frequencies = torch.randn(width, self.count, generator=draw)
        phases = 2 * math.pi * torch.rand(self.count, generator=draw)
        unit = FourierLift(moments.mean, moments.scale, frequencies, phases)
        scale, penalty = choose(pairs, unit, scale=self.scale, penalty=self.penalty, seed=self.seed)
        lift = unit.scaled(scale)
        equations = NormalEquations(lift.width, 3 * pairs.image_size**2)
        for _, features, images in pair_blocks(pairs, "random features"):
            equations.add(lift(features), images)
        weight, bias = equations.solve(penalty)
        self.chosen = {"scale": scale, "penalty": penalty}
        return {**lift.tensors(), "weight": weight, "bias": bias}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        t = self.tensors
        lift = FourierLift(t["mean"], t["scale"], t["frequencies"], t["phases"])
        pixels = torch.addmm(t["bias"], lift(features), t["weight"])
        return pixels.reshape(-1, 3, self.image_size, self.image_size)

    def _layout(self, width: int, size: int) -> Layout:
        vector, pixels = (torch.float32, (width,)), 3 * size**2
        return {
            "mean": vector,
            "scale": vector,
            "frequencies": (torch.float32, (width, self.count)),
            "phases": (torch.float32, (self.count,)),
            "weight": (torch.float32, (self.count + width, pixels)),
            "bias": (torch.float32, (pixels,)),
        }
