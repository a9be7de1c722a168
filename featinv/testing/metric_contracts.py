"""The contracts of metrics: (reconstruction, original) -> (B,)."""

from collections.abc import Callable
from typing import Any

from featinv.metrics.metric import Metric
from featinv.processes import seeded
from featinv.testing.contracts import demand
from featinv.testing.paired_contracts import demand_pairwise, worse_reconstructions
from featinv.testing.synthetic import synthetic_images


def check_metric(
    metric: Metric | Callable[[Any, Any], Any], *, higher_is_better: bool | None = None, size: int = 32
) -> None:
    """Raise AssertionError unless `metric` scores each image independently, and the perfect copy best.

    On images of `size` pixels it returns (B,) float32, finite, independent of the rest of the batch, and best for the
    perfect copy. A `Metric` of images declares the direction; for a plain function pass `higher_is_better`.
    """
    if isinstance(metric, Metric):
        demand(metric.needs == "images" and metric.function is not None, f"{metric.name} must be a function of images")
        name, score, higher_is_better = metric.name, metric.function, metric.higher_is_better
        assert score is not None
    else:
        name, score = getattr(metric, "__name__", type(metric).__name__), metric
    demand(higher_is_better is not None, f"{name}: higher_is_better must be given for a plain function")
    sign = -1 if higher_is_better else 1
    original = synthetic_images(4, size=size)
    with seeded(0):
        demand_pairwise(score, original, name)
        perfect = sign * score(original, original)
        for what, worse in worse_reconstructions(original):
            values = sign * score(worse, original)
            demand(
                bool((perfect < values).all()),
                f"{name} must score a perfect copy better than {what} (higher_is_better={higher_is_better}): got "
                f"{(sign * perfect).tolist()} and {(sign * values).tolist()}",
            )
