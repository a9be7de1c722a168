"""From numbers to a decision: which level of leak was shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special

from featinv.errors import BadInput
from featinv.evaluation import level_words, significance
from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.columns import Columns
from featinv.evaluation.criteria import Finding, criteria
from featinv.evaluation.leak_level import LEVELS, NOT_MEASURED, NOT_SHOWN, Evidence, LeakLevel, Thresholds

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
    found = {(row.name, criterion.level): criterion.weakest(row.name) for row in judged for criterion in asked}
    kept = {key: finding for key, finding in found.items() if finding is not None}
    corrected = _corrected({key: finding.p for key, finding in kept.items()}, named)
    evidence = tuple(_evidence(key, finding, corrected[key], thresholds) for key, finding in kept.items())
    best = _highest(evidence)
    strict = float(scipy.special.ndtri(1 - thresholds.alpha / max(1, len(kept))))
    measured = {level: [row for row, seen in kept if seen == level] for level in LEVELS}
    # All views must show it: each gets the power that would be enough if they were independent.
    effects = {
        criterion.level: criterion.minimum_detectable_effect(
            measured[criterion.level], strict, float(scipy.special.ndtri(POWER ** (1 / len(criterion.views))))
        )
        for criterion in asked
        if measured[criterion.level]
    }
    level = best.level if best else NOT_SHOWN if kept else NOT_MEASURED
    return LeakLevel(
        level=level,
        row=best.row if best else None,
        sentence=level_words.sentence(level, best, effects, protocol, judged),
        budget=level_words.budget(protocol, judged),
        not_tried=level_words.not_tried(protocol, named),
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
    shown = corrected < thresholds.alpha and finding.value.low > finding.threshold
    return Evidence(row, level, finding.view, finding.value, finding.threshold, finding.p, corrected, shown)


def _highest(evidence: Sequence[Evidence]) -> Evidence | None:
    """Return the evidence of the highest level shown; of several rows the one that shows the most."""
    shown = [one for one in evidence if one.shown]
    return max(shown, key=lambda one: (tuple(LEVELS).index(one.level), one.value.low), default=None)
