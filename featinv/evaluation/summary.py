"""From per-image values to the metrics of a row, each with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.columns import normalised
from featinv.evaluation.intervals import Clusters, Interval, bootstrap_all, excess_of, rate
from featinv.evaluation.judging import run_judge
from featinv.evaluation.mutual_information import clipped
from featinv.evaluation.reidentification import chance_mrr, chance_top
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
        reconstruction = rounded(original + 0.1 * torch.randn_like(original))
    # One copy is perfect and one very bad, so that a mean over the batch shows.
    reconstruction[0], reconstruction[-1] = original[0], 1 - original[-1]
    for metric in metrics:
        given = (
            (reconstruction, original)
            if metric.needs == "images"
            else (run_judge(judge, reconstruction), run_judge(judge, original))
        )
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


def values_of(metric: Metric, reconstructed: Any, original: Any, *, count: int) -> np.ndarray:
    """Call the metric and return (B,) Boolean or float32 values.

    Raises BadInput for another shape or type.
    """
    assert metric.function is not None
    with torch.no_grad():
        answer = metric.function(reconstructed, original)
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


Metrics = dict[str, Interval]
TOP = (1, 10)
STRENGTH = "attack_strength"
STRENGTH_TOP = 10


def fill_failed(
    arrays: dict[str, np.ndarray], controls: Sequence[Mapping[str, np.ndarray]], catalogue: Catalogue
) -> dict[str, np.ndarray]:
    """Give images that an attack failed on (NaN) the worst value that any control got on any image."""
    if "failed" not in arrays:
        return arrays
    return {key: _filled(key, array, controls, catalogue) for key, array in arrays.items()}


def _filled(
    key: str, array: np.ndarray, controls: Sequence[Mapping[str, np.ndarray]], catalogue: Catalogue
) -> np.ndarray:
    holes = np.isnan(array)
    if not holes.any():
        return array
    metric = catalogue[key.partition("/")[0]]
    worse = np.nanmin if metric.higher_is_better else np.nanmax
    columns = [
        values for values in (control[key] for control in controls if key in control) if not np.isnan(values).all()
    ]
    worst = worse([worse(values) for values in columns]) if columns else metric.worst
    return np.where(holes, worst, array).astype(array.dtype)


def summarise(
    arrays: Mapping[str, np.ndarray],
    gallery_sizes: Mapping[str, int | np.ndarray],
    label_chance: Mapping[str, float],
    *,
    priors: Mapping[str, float] | None = None,
    clusters: Clusters | None = None,
    resamples: int,
    seed: int,
) -> dict[str, Metrics]:
    """Return, for every view ("" first), its metrics with intervals and, where there is one, chance."""
    means = {key: values for key, values in arrays.items() if values.dtype.kind == "f"}
    for key, values in arrays.items():
        if key.partition("/")[0] == "rank":
            means[key.replace("rank", "reid_mrr", 1)] = 1 / values.astype(np.float64)
            position = normalised(values, gallery_sizes[key.partition("/")[2]])
            means.setdefault(key.replace("rank", "reid_auc", 1), position)
    intervals = bootstrap_all(means, clusters=clusters, resamples=resamples, seed=seed)
    views: dict[str, Metrics] = {view: {} for view in gallery_sizes}
    for key, interval in intervals.items():
        metric, _, view = key.partition("/")
        chance = {"reid_auc": 0.5}.get(metric)
        if metric == "reid_mrr":
            chance = chance_mrr(gallery_sizes[view])
        if metric == "identified_bits":
            views.setdefault(view, {})[metric] = clipped(interval)
            continue
        views.setdefault(view, {})[metric] = Interval(interval.mean, interval.low, interval.high, interval.n, chance)
    for key, values in arrays.items():
        metric, _, view = key.partition("/")
        if metric == "judge_agreement":
            views.setdefault(view, {})[metric] = rate(values, clusters=clusters, chance=label_chance[view])
        elif values.dtype == bool and metric != "failed":
            views.setdefault(view, {})[metric] = rate(values, clusters=clusters, chance=(priors or {}).get(metric))
        elif metric == "rank":
            for k in TOP:
                chance = chance_top(k, gallery_sizes[view])
                views[view][f"reid_top{k}"] = rate(values <= k, clusters=clusters, chance=chance)
    return {view: metrics for view, metrics in views.items() if metrics}


def strength(ranks: np.ndarray, control_ranks: np.ndarray, clusters: Clusters | None = None) -> Interval | None:
    """Return the excess risk of top-10 re-identification over a control; None when the control finds every image."""
    attack, control = (rate(rank <= STRENGTH_TOP, clusters=clusters) for rank in (ranks, control_ranks))
    return None if control.mean == 1 else excess_of(attack, control)


def best_control(controls: Mapping[str, Mapping[str, np.ndarray]], key: str) -> str | None:
    """Return the name of the control that re-identifies most often among the first ten (the first one at a tie)."""
    hits = {name: int((arrays[key] <= STRENGTH_TOP).sum()) for name, arrays in controls.items() if key in arrays}
    return max(hits, key=lambda name: hits[name]) if hits else None
