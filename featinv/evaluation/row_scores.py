"""From the measured rows to those of the scoreboard: intervals, strength over the best control, notes, order."""

from collections.abc import Mapping, Sequence

from featinv.evaluation.attack_score import WRONG_VECTOR, AttackScore
from featinv.evaluation.columns import WITHIN_CLASS, wrong_view
from featinv.evaluation.intervals import Clusters
from featinv.evaluation.measuring import Measured
from featinv.evaluation.panel import MAIN, Panel, PerPicture, gallery_view, keyed
from featinv.evaluation.summary import STRENGTH, Metrics, best_control, strength, summarise


def row_scores(
    measured: Sequence[Measured],
    panel: Panel,
    *,
    resamples: int,
    fit_seconds: Mapping[str, float],
    clusters: Clusters | None = None,
    priors: Mapping[str, float] | None = None,
) -> list[AttackScore]:
    """Return the rows of the scoreboard: the given controls, those of the scorer, the attacks."""
    controls = {row.name: row.arrays for row in measured if row.counts_as_control}
    rows = [_row_score(row, controls, panel, resamples, fit_seconds, clusters, priors or {}) for row in measured]
    return sorted(rows, key=lambda row: (row.kind != "control", row.role not in ("control", "attack")))


def _row_score(
    row: Measured,
    controls: Mapping[str, PerPicture],
    panel: Panel,
    resamples: int,
    fit_seconds: Mapping[str, float],
    clusters: Clusters | None,
    priors: Mapping[str, float],
) -> AttackScore:
    galleries = map(gallery_view, panel.galleries)
    sizes = {view: panel.size_of(view) for view in (*panel.views, *galleries, WITHIN_CLASS, WRONG_VECTOR)}
    chance = panel.label_chance()
    chance.update({wrong_view(view): value for view, value in panel.label_chance().items()})
    views = summarise(row.arrays, sizes, chance, priors=priors, clusters=clusters, resamples=resamples, seed=panel.seed)
    notes = _add_strength(views, row.arrays, controls, clusters) if row.kind == "attack" else []
    if "failed" in row.arrays:
        count = int(row.arrays["failed"].sum())
        notes.append(f"{count} reconstructions were no pictures (not finite, or not in [0, 1]); counted as the worst")
    seconds = {"reconstruct": row.seconds}
    if row.name in fit_seconds:
        seconds["fit"] = float(fit_seconds[row.name])
    return AttackScore(
        name=row.name,
        kind=row.kind,
        role=row.role,
        metrics={**views.pop(MAIN), **row.metrics},
        metrics_by=views,
        seconds=sum(seconds.values()),
        seconds_by=seconds,
        parameters=row.parameters,
        notes=(*row.notes, *notes),
    )


def _add_strength(
    views: dict[str, Metrics], arrays: PerPicture, controls: Mapping[str, PerPicture], clusters: Clusters | None
) -> list[str]:
    """Add the excess risk over the best control of each view, and say where it could not be measured."""
    notes = []
    for view, metrics in views.items():
        key = keyed("rank", view)
        best = best_control(controls, key)
        if view.startswith(WRONG_VECTOR) or best is None:
            continue
        excess = strength(arrays[key], controls[best][key], clusters)
        if excess is None:
            name = keyed(STRENGTH, view)
            notes.append(f"{name} not measured: {best!r} already finds every picture; use more pictures")
        else:
            metrics[STRENGTH] = excess
    return notes
