"""The learning rate as a function of progress, and nothing else."""

import math

from featinv.training.settings import Training


def rate(settings: Training, fraction: float) -> float:
    """Return what the learning rate is multiplied by when `fraction` of the budget is used up.

    Linear warm-up over `settings.warmup`, then half a cosine down to 0 (arXiv:1608.03983 eq. 5, one cycle), or 1.
    A plain function instead of a scheduler object, because a prepared scheduler steps once per process.
    """
    if fraction < settings.warmup:
        # The first step is already taken at a rate above 0.
        return max(fraction, 1e-3 * settings.warmup) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (fraction - settings.warmup) / (1.0 - settings.warmup)))
