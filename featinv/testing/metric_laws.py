"""The laws of metrics: (reconstruction, original) -> (B,)."""

from collections.abc import Callable
from typing import Any

from featinv.processes import seeded
from featinv.testing.laws import demand
from featinv.testing.paired_laws import demand_pairwise, worse_reconstructions
from featinv.testing.synthetic import synthetic_images


def check_metric(metric: Callable[[Any, Any], Any], *, higher_is_better: bool, size: int = 32) -> None:
    """Raise AssertionError unless `metric` scores each picture by itself, and the perfect copy best.

    Tried on pictures of `size` pixels: (B,) float32 and finite; independent of batch mates; best for the perfect copy.
    """
    name = getattr(metric, "__name__", type(metric).__name__)
    sign = -1 if higher_is_better else 1
    original = synthetic_images(4, size=size)
    with seeded(0):
        demand_pairwise(metric, original, name)
        perfect = sign * metric(original, original)
        for what, worse in worse_reconstructions(original):
            values = sign * metric(worse, original)
            demand(
                bool((perfect < values).all()),
                f"{name} must score a perfect copy better than {what} (higher_is_better={higher_is_better}): got "
                f"{(sign * perfect).tolist()} and {(sign * values).tolist()}",
            )
