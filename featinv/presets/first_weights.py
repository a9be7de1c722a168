"""First weights of a preset."""

from collections.abc import Callable
from typing import TypeVar

from featinv.processes import seeded
from featinv.training import Training

Made = TypeVar("Made")


def drawn(training: Training, make: Callable[[], Made]) -> Made:
    """Return what `make` builds; its first weights depend on the seed of the attack and on nothing built before."""
    with seeded(training.seed):
        return make()
