"""Choosing the width of the kernel and the penalty on held-out PUBLIC pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from featinv.attacks.fourier_lift import FourierLift
from featinv.attacks.least_squares import NormalEquations
from featinv.attacks.passes import pair_blocks
from featinv.errors import BadInput

SPREADS = (0.2, 0.4, 0.8)
"""Standard deviations of z F that are tried, in radians; a frequency's scale is this over the square root of D."""
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Penalties that are tried, for each pair: the one chosen is multiplied by the number of pairs that are fitted."""
MOST_FITTED, MOST_HELD, MOST_PIXELS = 20_000, 4_000, 384


def choose(
    pairs: Any, unit: FourierLift, *, scale: int | float | None, penalty: int | float | None, seed: int
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
    for number, one in enumerate(scales, 1):
        found = _errors(pairs, unit.scaled(one), penalties, fitted_rows, held_rows, seed, f"{number}/{len(scales)}")
        errors.update({(one, p): error for p, error in zip(penalties, found, strict=True)})
    best_scale, best_penalty = min(errors, key=errors.__getitem__)
    return best_scale, float(penalty) if penalty is not None else best_penalty * len(pairs) / len(fitted_rows)


def _errors(
    pairs: Any,
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
