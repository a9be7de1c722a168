"""The rows of a comparison: numbers of every image for each attack and control, then intervals, strength and notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int64

from featinv.evaluation.attack_score import (
    HEADROOM,
    MISMATCHED_FEATURES,
    WITHOUT_IMAGES,
    AttackScore,
)
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.columns import WITHIN_CLASS, wrong_view
from featinv.evaluation.extras import ExtraMeasures
from featinv.evaluation.headroom import WHITENED, Headroom, with_headroom
from featinv.evaluation.intervals import Clusters, Interval
from featinv.evaluation.judging import ImageStore
from featinv.evaluation.panel import MAIN, Panel, PerImage, gallery_view, keyed
from featinv.evaluation.recovered_record import Recovered
from featinv.evaluation.summary import STRENGTH, Metrics, best_control, fill_failed, strength, summarise
from featinv.types import Attack
from featinv.victim import Release


@dataclass(frozen=True)
class Measured:
    """One row: what it is, what it cost, its numbers per image, and by view the metrics that these do not give.

    `recovered` is what of the images it recovers, where there are public images to compare with.
    """

    name: str
    kind: str
    role: str
    parameters: int
    seconds: float
    arrays: PerImage
    metrics: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recovered: Recovered | None = None

    @property
    def counts_as_control(self) -> bool:
        """Whether an attack must beat this row (what reconstructs nothing does not count)."""
        return self.kind == "control" and self.role not in WITHOUT_IMAGES


def measure(
    name: str, attack: Attack, release: Release, panel: Panel, extra: ExtraMeasures, *, mismatched_row: bool
) -> list[Measured]:
    """Score one attack, also on mismatched features; with `mismatched_row` the latter become a control of their own."""
    order = derangement(len(panel.truth), panel.seed)
    with ImageStore(panel.truth.size) as images:
        features = release.features
        skipped = extra.skipped(attack)
        result = panel.run(
            name,
            lambda rows: attack.reconstruct(torch.from_numpy(features[rows])),
            images,
            without=frozenset(skipped),
        )
        arrays = panel.score(result) | extra.of_images(result)
        wrong = panel.score(result, order=order, views=[MAIN])
        arrays.update({keyed(key, MISMATCHED_FEATURES): values for key, values in wrong.items() if _plain(key)})
        for view, agreed in panel.agreement(result, order).items():
            arrays[keyed("judge_agreement", wrong_view(view))] = agreed
        by_view, notes = extra.of_all(result)
        notes = [*skipped.values(), *notes]
        rows = [
            Measured(
                name,
                attack.kind,
                attack.kind,
                attack.parameters,
                result.seconds,
                arrays,
                by_view,
                tuple(notes),
                extra.recovered_by(result),
            )
        ]
        if mismatched_row:
            title, everything = f"{MISMATCHED_FEATURES} ({name})", panel.score(result, order=order)
            rows.append(Measured(title, "control", MISMATCHED_FEATURES, attack.parameters, 0.0, everything))
    return rows


def predicted_rows(headroom: Headroom | None, release: Release, panel: Panel) -> list[Measured]:
    """Return the rows of judge features predicted from the vectors; none without public pairs."""
    rows = [] if headroom is None else headroom.rows(release, panel)
    return [Measured(row.name, "control", HEADROOM, 0, row.seconds, row.arrays, notes=row.notes) for row in rows]


def with_failures_filled(rows: Sequence[Measured], catalogue: Catalogue) -> list[Measured]:
    """Give the images that an attack failed on the worst that any other control got."""
    return [
        replace(row, arrays=fill_failed(row.arrays, [other.arrays for other in rows if _serves(other, row)], catalogue))
        for row in rows
    ]


def derangement(count: int, seed: int) -> Int64[np.ndarray, " N"]:
    """Give every row another one's place: a single seeded cycle through all of them, so that none keeps its own."""
    cycle = np.random.default_rng([seed, 1]).permutation(count)
    order = np.empty(count, dtype=np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def _plain(key: str) -> bool:
    return "/" not in key and key != "failed"


def _serves(control: Measured, row: Measured) -> bool:
    return control.role == "control" and control is not row


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
    return with_headroom(sorted(rows, key=lambda row: (row.kind != "control", row.role not in ("control", "attack"))))


def _row_score(
    row: Measured,
    controls: Mapping[str, PerImage],
    panel: Panel,
    resamples: int,
    fit_seconds: Mapping[str, float],
    clusters: Clusters | None,
    priors: Mapping[str, float],
) -> AttackScore:
    galleries = map(gallery_view, panel.galleries)
    views_of_ranks = (*panel.views, *galleries, WITHIN_CLASS, MISMATCHED_FEATURES, WHITENED)
    sizes = {view: panel.size_of(view) for view in views_of_ranks}
    chance = panel.label_chance()
    chance.update({wrong_view(view): value for view, value in panel.label_chance().items()})
    views = summarise(row.arrays, sizes, chance, priors=priors, clusters=clusters, resamples=resamples, seed=panel.seed)
    for view, metrics in row.metrics.items():
        views[view] = {**views.get(view, {}), **metrics}
    notes = _add_strength(views, row.arrays, controls, clusters) if row.kind == "attack" else []
    if "failed" in row.arrays:
        count = int(row.arrays["failed"].sum())
        notes.append(f"{count} reconstructions were no images (not finite, or not in [0, 1]); counted as the worst")
    seconds = {"reconstruct": row.seconds}
    if row.name in fit_seconds:
        seconds["fit"] = float(fit_seconds[row.name])
    return AttackScore(
        name=row.name,
        kind=row.kind,
        role=row.role,
        metrics=views.pop(MAIN),
        metrics_by=views,
        seconds=sum(seconds.values()),
        seconds_by=seconds,
        parameters=row.parameters,
        notes=(*row.notes, *notes),
    )


def _add_strength(
    views: dict[str, Metrics], arrays: PerImage, controls: Mapping[str, PerImage], clusters: Clusters | None
) -> list[str]:
    """Add the excess risk over the best control of each view, and say where it could not be measured."""
    notes = []
    for view, metrics in views.items():
        key = keyed("rank", view)
        best = best_control(controls, key)
        if view.startswith(MISMATCHED_FEATURES) or best is None:
            continue
        excess = strength(arrays[key], controls[best][key], clusters)
        if excess is None:
            name = keyed(STRENGTH, view)
            notes.append(f"{name} not measured: {best!r} already finds every image; use more images")
        else:
            metrics[STRENGTH] = excess
    return notes
