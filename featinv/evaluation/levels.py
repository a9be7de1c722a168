"""Assess a scoreboard: the criterion of each level, tested, and the highest level that holds."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.special

from featinv.errors import BadInput
from featinv.evaluation import leak_level, significance
from featinv.evaluation.attack_score import MISMATCHED_FEATURES, AttackScore
from featinv.evaluation.ceiling_text import floor_and_ceiling
from featinv.evaluation.columns import Columns, within_view, wrong_view
from featinv.evaluation.intervals import LEVEL, Interval, rate
from featinv.evaluation.leak_level import LEVELS, NOT_MEASURED, NOT_SHOWN, Evidence, LeakLevel, Thresholds


@dataclass(frozen=True)
class Finding:
    """What one view says of a row: the value with its bounds, what it must exceed, and a one-sided p."""

    view: str
    value: Interval
    threshold: float
    p: float


class Criterion(ABC):
    """The test of one level. It holds only where it holds in every view, so that its weakest view speaks for it."""

    def __init__(self, level: str, columns: Columns, views: Sequence[str]) -> None:
        self.level = level
        self.columns = columns
        self.views = tuple(views)

    @abstractmethod
    def examine(self, row: str, view: str) -> Finding | None:
        """Return what a view says of a row; None where it was not measured."""

    @abstractmethod
    def minimum_detectable_effect(self, rows: Sequence[str], strict: float, reach: float) -> float:
        """Return the value that exceeds the threshold by `strict` standard errors in a share Phi(reach) of studies."""

    def weakest(self, row: str) -> Finding | None:
        """Return the finding of the view with the largest p; None where nothing was measured of this row."""
        findings = [finding for view in self.views if (finding := self.examine(row, view)) is not None]
        return max(findings, key=lambda finding: finding.p, default=None)

    def worth(self, rows: Sequence[str]) -> int:
        """Return how many independent images there are at least."""
        if self.columns.clusters is not None:
            return len(np.unique(self.columns.clusters))
        return len(self.columns.get(rows[0], "rank"))


@final
class ClassAgreement(Criterion):
    """L1: the judge gives the original's label more often to reconstructions than to those of mismatched features."""

    def __init__(self, columns: Columns, excess: float) -> None:
        super().__init__("L1", columns, columns.independent)
        self.excess = excess

    def examine(self, row: str, view: str) -> Finding | None:
        """Return the rate of agreement, with the bounds of its paired difference from that of mismatched features."""
        null_view = wrong_view(view)
        if not (self.columns.has(row, "judge_agreement", view) and self.columns.has(row, "judge_agreement", null_view)):
            return None
        right, wrong = (self.columns.get(row, "judge_agreement", view_key) for view_key in (view, null_view))
        chance, clusters = float(wrong.mean()), self.columns.clusters
        gap = right.astype(np.float64) - wrong
        if clusters is None and self.excess == 0:
            p = float(significance.mcnemar(np.stack([right, wrong]).astype(bool))[0, 1])
        else:
            p = significance.above(gap, self.excess, clusters)
        mean, low, high = (chance + bound for bound in significance.mean_limits(gap, clusters, LEVEL))
        value = Interval(mean, max(0.0, low), min(1.0, high), len(gap), chance)
        return Finding(view, value, chance + self.excess, p)

    def minimum_detectable_effect(self, rows: Sequence[str], strict: float, reach: float) -> float:
        """The test counts discordant images, of which a larger leak makes more; 1/n is what its steps cost."""
        nulls = [
            self.columns.get(row, "judge_agreement", MISMATCHED_FEATURES).mean()
            for row in rows
            if self.examine(row, "")
        ]
        null, n = float(np.mean(nulls)), self.worth(rows)

        def error(value: float) -> float:
            discordant = value * (1 - null) + null * (1 - value)
            spread = max(0.0, discordant - (value - null) ** 2)
            return strict * math.sqrt(discordant / n) + reach * math.sqrt(spread / n)

        return _reached(null + self.excess + 1 / n, error)


@final
class WithinClass(Criterion):
    """L2: reconstructions are nearer to their originals than to other images of the same class."""

    def __init__(self, columns: Columns, bar: float) -> None:
        super().__init__("L2", columns, columns.independent)
        self.bar = bar

    def examine(self, row: str, view: str) -> Finding | None:
        """Return the normalised rank within the class, 0.5 by chance."""
        if not self.columns.has(row, "reid_auc", within_view(view)):
            return None
        ranks, clusters = self.columns.get(row, "reid_auc", within_view(view)), self.columns.clusters
        value = Interval(*significance.mean_limits(ranks, clusters, LEVEL), len(ranks), 0.5)
        return Finding(view, value, self.bar, significance.above(ranks, self.bar, clusters))

    def minimum_detectable_effect(self, rows: Sequence[str], strict: float, reach: float) -> float:
        """A uniform position has the variance 1/12."""
        return self.bar + (strict + reach) / math.sqrt(12 * self.worth(rows))


@final
class FoundFirst(Criterion):
    """L3 and L4: top-1 re-identification among so many candidates (or among all, where these are fewer)."""

    def __init__(self, level: str, columns: Columns, bar: float, thresholds: Thresholds) -> None:
        self.gallery = min(columns.gallery(), thresholds.gallery)
        self.bar = max(bar, thresholds.times_chance / self.gallery)
        # As many as can be shown at all: a bar of 1 cannot be exceeded.
        super().__init__(level, columns, columns.independent if self.bar < 1 else ())

    def examine(self, row: str, view: str) -> Finding | None:
        """Return the top-1 rate; a treated view is asked for the share of what treated originals reach."""
        if not self.columns.has(row, "rank", view):
            return None
        ranks, count, clusters = self.columns.get(row, "rank", view), self.columns.gallery(), self.columns.clusters
        bar, chance = self.bar * self.columns.treated_original_top1(view), 1 / self.gallery
        if self.gallery == count:
            value = rate(ranks == 1, clusters=clusters, chance=chance)
            return Finding(view, value, bar, significance.rate_above(ranks == 1, bar, clusters))
        hits = top1_among(ranks, count, self.gallery)
        if bool(np.isin(hits, (0, 1)).all()):
            value = rate(hits > 0, clusters=clusters, chance=chance)
            return Finding(view, value, bar, significance.rate_above(hits > 0, bar, clusters))
        value = Interval(*significance.mean_limits(hits, clusters, LEVEL), len(hits), chance)
        return Finding(view, value, bar, significance.above(hits, bar, clusters))

    def minimum_detectable_effect(self, rows: Sequence[str], strict: float, reach: float) -> float:
        """A rate above a bar."""
        n = self.worth(rows)
        bar = self.bar + strict * math.sqrt(self.bar * (1 - self.bar) / n) + 1 / n
        return _reached(bar, lambda value: reach * math.sqrt(value * (1 - value) / n))


def criteria(columns: Columns, thresholds: Thresholds) -> list[Criterion]:
    """Return the tests of all levels that this board allows, lowest level first."""
    asked = [
        ClassAgreement(columns, float(thresholds.class_excess)),
        WithinClass(columns, float(thresholds.within_class_auc)),
        FoundFirst("L3", columns, float(thresholds.identifying_top1), thresholds),
        FoundFirst("L4", columns, float(thresholds.recognisable_top1), thresholds),
    ]
    return [criterion for criterion in asked if criterion.views]


def top1_among(ranks: np.ndarray, count: int, gallery: int) -> np.ndarray:
    """Return how likely each image, of this rank among `count`, comes first among itself and gallery - 1 others.

    That none of the r - 1 better ones is drawn: C(N - r, G - 1) / C(N - 1, G - 1).
    """
    r = ranks.astype(np.float64)
    others = gallery - 1
    log = scipy.special.gammaln
    possible = r <= count - others
    left = np.where(possible, count - r, others)
    chance = log(left + 1) - log(left - others + 1) - log(count) + log(count - others)
    return np.where(possible, np.exp(chance), 0.0)


def _reached(bar: float, error: Callable[[float], float]) -> float:
    """Solve value = bar + error(value), at most 1."""
    value = bar
    for _ in range(60):
        value = min(1.0, bar + error(min(value, 1.0)))
    return value


POWER = 0.8
Key = tuple[str, str]


def assess(
    protocol: Mapping[str, Any],
    rows: Sequence[AttackScore],
    per_image: Mapping[str, np.ndarray],
    *,
    named: str | None = None,
    thresholds: Thresholds | None = None,
) -> LeakLevel:
    """Return the highest level whose criterion holds at its lower bound, after correction; else "not shown".

    Given controls and attacks count alike (a nearest neighbour that shows the class leaks the class); rows made by the
    scorer do not. Each criterion has to hold in the weakest of all independent views. The error `alpha` is kept by Holm
    over all rows and levels; an attack `named` before the private images were opened has half of it for itself, and
    all rows share the other half. A level need not hold for the levels below it to hold.

    Raises BadInput when `named` is none of the rows.
    """
    thresholds = thresholds or Thresholds()
    judged = [row for row in rows if row.role in ("control", "attack")]
    if named is not None and named not in [row.name for row in judged]:
        raise BadInput(f"named: no attack {named!r}; there are {', '.join(repr(row.name) for row in judged)}")
    columns = Columns(per_image, protocol, rows)
    asked = criteria(columns, thresholds)
    findings = {(row.name, criterion.level): criterion.weakest(row.name) for row in judged for criterion in asked}
    kept = {key: finding for key, finding in findings.items() if finding is not None}
    corrected = _corrected({key: finding.p for key, finding in kept.items()}, named)
    evidence = tuple(_evidence(key, finding, corrected[key], thresholds) for key, finding in kept.items())
    best = _highest(evidence)
    strict = float(scipy.special.ndtri(1 - thresholds.alpha / max(1, len(kept))))
    measured = {level: [row for row, level_of in kept if level_of == level] for level in LEVELS}
    # All views must show it: each gets the power that would be enough if they were independent.
    effects = {
        criterion.level: criterion.minimum_detectable_effect(
            measured[criterion.level], strict, float(scipy.special.ndtri(POWER ** (1 / len(criterion.views))))
        )
        for criterion in asked
        if measured[criterion.level]
    }
    level = best.level if best else NOT_SHOWN if kept else NOT_MEASURED
    said = [leak_level.sentence(level, best, effects, protocol, judged)]
    if level != NOT_MEASURED:
        said.append(floor_and_ceiling(protocol, judged, best.row if best else None))
    return LeakLevel(
        level=level,
        row=best.row if best else None,
        sentence=" ".join(filter(None, said)),
        budget=leak_level.budget(protocol, judged),
        not_tried=leak_level.not_tried(protocol, named),
        minimum_detectable_effect=effects,
        evidence=evidence,
        thresholds=thresholds,
        named=named,
    )


def _corrected(p: dict[Key, float], named: str | None) -> dict[Key, float]:
    everybody = significance.holm(p)
    if named is None:
        return everybody
    own = significance.holm({key: value for key, value in p.items() if key[0] == named})
    return {key: min(1.0, 2 * min(value, own.get(key, 1.0))) for key, value in everybody.items()}


def _evidence(key: Key, finding: Finding, corrected: float, thresholds: Thresholds) -> Evidence:
    row, level = key
    holds = corrected < thresholds.alpha and finding.value.low > finding.threshold
    return Evidence(row, level, finding.view, finding.value, finding.threshold, finding.p, corrected, holds)


def _highest(evidence: Sequence[Evidence]) -> Evidence | None:
    """Return the evidence of the highest level shown; of several rows the one that shows the most."""
    holding = [entry for entry in evidence if entry.shown]
    return max(holding, key=lambda entry: (tuple(LEVELS).index(entry.level), entry.value.low), default=None)
