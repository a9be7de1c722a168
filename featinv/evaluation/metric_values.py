"""Calling a metric: its answer is checked on a few images before the long work, and on every batch during it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.judging import look
from featinv.metrics.metric import Metric
from featinv.metrics.value_range import rounded
from featinv.processes import seeded
from featinv.types import Judge

_TOLERANCE = 1e-5
_PROBED = 4


def probe(metrics: Sequence[Metric], truth: ImageSet, judge: Judge) -> None:
    """Try metrics on a few originals and worse copies of them, before the long work.

    Raises BadInput for an answer of another shape than (B,), one that is not finite, and one that depends on the other
    images of the batch.
    """
    rows = np.arange(min(_PROBED, len(truth)))
    original = truth.batch(rows)
    with seeded(0):
        made = rounded(original + 0.1 * torch.randn_like(original))
    # One copy is perfect and one very bad, so that a mean over the batch shows.
    made[0], made[-1] = original[0], 1 - original[-1]
    for metric in metrics:
        given = (made, original) if metric.needs == "images" else (look(judge, made), look(judge, original))
        whole = values_of(metric, *given, count=len(rows))
        check_finite(metric, whole)
        for some in ([0], [len(rows) - 1], list(reversed(range(len(rows))))):
            parts = (part[some] if isinstance(part, Tensor) else part.take(np.asarray(some)) for part in given)
            alone = values_of(metric, *parts, count=len(some))
            gap = float(np.abs(alone.astype(np.float64) - whole[some]).max())
            if gap > _TOLERANCE * max(1.0, float(np.abs(whole).max())):
                raise BadInput(
                    f"metrics: {metric.name!r} must give each image its own number, but it depends on the other images "
                    f"of the batch (by {gap:.2g}); reduce over pixels only"
                )


def values_of(metric: Metric, made: Any, original: Any, *, count: int) -> np.ndarray:
    """Call the metric and return (B,) Boolean or float32 values.

    Raises BadInput for another shape or type.
    """
    assert metric.function is not None
    with torch.no_grad():
        answer = metric.function(made, original)
    values = answer.detach().cpu().numpy() if isinstance(answer, Tensor) else answer
    if not isinstance(values, np.ndarray) or values.shape != (count,):
        got = tuple(values.shape) if isinstance(values, np.ndarray) else type(answer).__name__
        raise BadInput(f"metrics: {metric.name!r} must return one number an image, shape ({count},); got {got}")
    if values.dtype == bool:
        return values
    if values.dtype.kind not in "fiu":
        raise BadInput(f"metrics: {metric.name!r} must return numbers or truth values, got {values.dtype}")
    return values.astype(np.float32)


def check_finite(metric: Metric, values: np.ndarray, row: int = 0) -> None:
    """Raise BadInput that names the first image on which the metric is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise BadInput(
            f"metrics: {metric.name!r} must be finite, got {values[bad[0]]} on private image {row + int(bad[0])}"
        )
