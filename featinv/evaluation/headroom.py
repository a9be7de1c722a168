"""Rows that say what a judge could find if the drawing were perfect, and a view with that judge's features whitened."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from featinv.errors import BadInput
from featinv.evaluation.attack_score import PREDICTED, AttackScore
from featinv.evaluation.feature_prediction import (
    LEAST_PAIRS,
    Prediction,
    predict_closed_form,
    predict_contrastive,
    whitener,
)
from featinv.evaluation.intervals import Interval, ratio_of
from featinv.evaluation.judging import judge_features
from featinv.evaluation.panel import MAIN, Panel, Pass, PerImage, keyed
from featinv.evaluation.reidentification import ranks
from featinv.types import PairsLike
from featinv.victim import Release

CLOSED_FORM = f"{PREDICTED} (closed form)"
WHITENED = "whitened"
"""View in which the first judge's features are whitened by their covariance on public images."""
SHARE = "headroom"
"""Metric of an attack: its top-10 re-identification over that of the row of predicted features, in the same view."""
_TOP = "reid_top10"
_FORMS: dict[str, Callable[..., Prediction]] = {PREDICTED: predict_contrastive, CLOSED_FORM: predict_closed_form}


class HeadroomRow(NamedTuple):
    """One way to predict: its ranks of every image in each view, its cost in seconds, and what it chose."""

    name: str
    arrays: PerImage
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Headroom:
    """What public pairs say about the judges of one comparison; `prepare` makes one.

    `features` holds every judge's features of the public images, (M, E) by the view's name, the first judge's under "".
    """

    vectors: np.ndarray
    features: dict[str, np.ndarray]
    whitening: np.ndarray

    @classmethod
    def prepare(cls, pairs: PairsLike, panel: Panel, release: Release) -> "Headroom":
        """Let every judge look at the public images.

        Raises BadInput for fewer than 40 pairs, vectors of another shape than the released ones, and images of another
        size than the private ones.
        """
        if len(pairs) < LEAST_PAIRS:
            raise BadInput(f"headroom: expected at least {LEAST_PAIRS} public pairs, got {len(pairs)}; give more")
        if tuple(pairs.feature_shape) != release.features.shape[1:] or pairs.image_size != panel.truth.size:
            raise BadInput(
                f"headroom: expected public vectors of shape {release.features.shape[1:]} and images of "
                f"{panel.truth.size} px, as released, got {tuple(pairs.feature_shape)} and {pairs.image_size} px; give "
                "pairs of the same victim"
            )
        first, *others = panel.judges
        features = {MAIN: judge_features(first, pairs.images, panel.batch_size)}
        features |= {judge.name: judge_features(judge, pairs.images, panel.batch_size) for judge in others}
        vectors = np.asarray(pairs.features(np.arange(len(pairs)))).reshape(len(pairs), -1)
        return cls(vectors, features, whitener(features[MAIN]))

    def rows(self, release: Release, panel: Panel) -> list[HeadroomRow]:
        """Return the rows of predicted judge features: ranks for each judge, and in the first judge's whitened view.

        They use the judges' own weights on public images and draw nothing: controls that no attack has to beat.
        """
        asked = release.features.reshape(len(release.features), -1)
        return [self._row(name, predict, asked, panel) for name, predict in _FORMS.items()]

    def whitened(self, result: Pass, panel: Panel) -> PerImage:
        """Return the ranks of an attack's reconstructions in the whitened view."""
        ranks = self._whitened_ranks(result.outputs[MAIN].features, panel)
        return {keyed("rank", WHITENED): np.where(result.failed, len(ranks), ranks).astype(np.int32)}

    def _row(self, name: str, predict: Callable[..., Prediction], asked: np.ndarray, panel: Panel) -> HeadroomRow:
        begin = time.perf_counter()
        arrays: PerImage = {}
        notes = []
        for view, features in self.features.items():
            gallery = panel.originals[view].features
            prediction = predict(self.vectors, features, asked, seed=panel.seed)
            # `ranks` takes the gallery's mean away from both.
            placed = prediction.directions + gallery.mean(axis=0, dtype=np.float64)
            arrays[keyed("rank", view)] = ranks(placed, gallery).astype(np.int32)
            if view == MAIN:
                arrays |= panel.gallery_ranks(placed, gallery)
                arrays[keyed("rank", WHITENED)] = self._whitened_ranks(placed, panel).astype(np.int32)
            judge = view or panel.judges[0].name
            notes.append(
                f"judge {judge}: {', '.join(f'{key} {value:.3g}' for key, value in prediction.chosen.items())}"
            )
        return HeadroomRow(name, arrays, time.perf_counter() - begin, tuple(notes))

    def _whitened_ranks(self, features: np.ndarray, panel: Panel) -> np.ndarray:
        gallery = panel.originals[MAIN].features
        return ranks(features @ self.whitening.T, gallery @ self.whitening.T)


def with_headroom(rows: Sequence[AttackScore]) -> list[AttackScore]:
    """Add to each attack the share of the predicted row's top-10 that it reaches, in every view that both have."""
    predicted = next((row for row in rows if row.name == PREDICTED), None)
    if predicted is None:
        return list(rows)
    return [_with_share(row, predicted) if row.kind == "attack" else row for row in rows]


def _with_share(row: AttackScore, predicted: AttackScore) -> AttackScore:
    views = {view: _shared(metrics, predicted.metrics_by.get(view, {})) for view, metrics in row.metrics_by.items()}
    metrics = _shared(row.metrics, predicted.metrics)
    notes = row.notes
    if share := metrics.get(SHARE):
        said = f"{share.mean:.0%} [{share.low:.0%}, {share.high:.0%}]"
        notes = (*notes, f"headroom: finds {said} of what {PREDICTED!r} finds among ten")
    return replace(row, metrics=metrics, metrics_by=views, notes=notes)


def _shared(metrics: Mapping[str, Interval], predicted: Mapping[str, Interval]) -> dict[str, Interval]:
    attack, most = metrics.get(_TOP), predicted.get(_TOP)
    if attack is None or most is None or most.low <= 0:
        return dict(metrics)
    return {**metrics, SHARE: ratio_of(attack, most)}
