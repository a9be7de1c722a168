"""One attack held against another, image by image: better, worse or undecided for each family of metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

from featinv.errors import BadInput
from featinv.evaluation import significance
from featinv.evaluation.attack_score import MISMATCHED_FEATURES
from featinv.evaluation.columns import Columns
from featinv.evaluation.intervals import Interval, bootstrap_all, hierarchical

ALPHA = 0.05
Side = Literal["better", "worse", "undecided", "not measured"]
Group = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """The mean of `first - second` in the metric's own unit, and how likely chance alone makes as large a one.

    `p_holm` is corrected for all metrics of the family and all pairs of attacks on the scoreboard; `side` speaks of the
    first: "better" or "worse" where `p_holm` and the interval agree, else "undecided".
    """

    interval: Interval
    p: float
    p_holm: float
    side: Side


@dataclass(frozen=True)
class Family:
    """What the metrics of one family say together, and whether what is better there knows more than its own prior."""

    side: Side
    differences: dict[str, Difference]
    beyond_prior: bool


@dataclass(frozen=True)
class Versus:
    """The verdict on two attacks, family by family; `print` shows it in words.

    `verdict` is "stronger" (the first), "weaker" or "undecided". `pairs` counts the pairs that the correction is for.
    """

    first: str
    second: str
    verdict: Literal["stronger", "weaker", "undecided"]
    reason: str
    families: dict[str, Family]
    pairs: int

    def __str__(self) -> str:
        lines = [f"{self.first} against {self.second}: {self.verdict}, {self.reason}."]
        for name, family in self.families.items():
            lines.append(f"  {name}: {family.side}")
            for metric, difference in family.differences.items():
                interval = difference.interval
                bounds = f"{interval.mean:+.3g} [{interval.low:+.3g} {interval.high:+.3g}]"
                lines.append(
                    f"    {metric} {bounds}, p {difference.p:.2g}, "
                    f"after Holm {difference.p_holm:.2g}: {difference.side}"
                )
        return "\n".join(lines)


def difference(columns: Columns, first: Group, second: Group, metric: str, *, resamples: int, seed: int) -> Interval:
    """Return the mean of `first - second` with its interval; several names a side are seeds of one attack."""
    return _differences(columns, first, second, [metric], resamples=resamples, seed=seed)[metric]


def _differences(
    columns: Columns, first: Group, second: Group, metrics: Sequence[str], *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Return the interval of every metric's difference, all from the same resamples, which cost more than the means."""
    sides = {metric: [_rows(columns, group, metric) for group in (first, second)] for metric in metrics}
    if len(first) == len(second) == 1:
        apart = {metric: one[0] - two[0] for metric, (one, two) in sides.items()}
        return bootstrap_all(apart, clusters=columns.clusters, resamples=resamples, seed=seed)
    return {
        metric: hierarchical(one, two, clusters=columns.clusters, resamples=resamples, seed=seed)
        for metric, (one, two) in sides.items()
    }


def _rows(columns: Columns, group: Group, metric: str) -> Float64[np.ndarray, "S N"]:
    name, _, view = metric.partition("/")
    return np.stack([columns.get(row, name, view) for row in group]).astype(np.float64)


def decide(columns: Columns, first: Group, second: Group, *, resamples: int, seed: int, alpha: float = ALPHA) -> Versus:
    """Say of the first attack whether it is stronger than the second.

    A family is better when a metric of it is (after Holm, over its metrics and all pairs of attacks), and none is worse
    even without correction. Identification has to hold in the weakest of all independent views: an advantage that dies
    there is texture. "Stronger" needs two families that agree, none against, and in both of them an attack that does
    better with the right vectors than with wrong ones: a better prior is no leak.
    """
    units = _units(columns, first, second)
    asked = (0, 1)
    attacks = [unit for unit, group in enumerate(units) if all(columns.rows[row].kind == "attack" for row in group)]
    pairs = sorted({*combinations(attacks, 2), asked})
    families = {
        name: _family(columns, name, metrics, units, pairs, len(attacks), resamples=resamples, seed=seed, alpha=alpha)
        for name, metrics in columns.catalogue.families().items()
    }
    verdict, reason = _verdict(families)
    return Versus(" + ".join(first), " + ".join(second), verdict, reason, families, len(pairs))


def _units(columns: Columns, first: Group, second: Group) -> list[Group]:
    for row in (*first, *second):
        columns.get(row, "rank")
    if set(first) & set(second):
        raise BadInput(f"versus: expected two attacks, got {sorted(set(first) & set(second))} on both sides")
    taken = {*first, *second}
    return [
        first,
        second,
        *((name,) for name, row in columns.rows.items() if row.kind == "attack" and name not in taken),
    ]


def _family(
    columns: Columns,
    family: str,
    metrics: Sequence[str],
    units: Sequence[Group],
    pairs: Sequence[tuple[int, int]],
    attacks: int,
    *,
    resamples: int,
    seed: int,
    alpha: float,
) -> Family:
    views = columns.independent if family == "identification" else ("",)
    measured = [m for m in metrics if views and all(columns.has(row, m) for group in units[:2] for row in group)]
    if not measured:
        return Family("not measured", {}, False)
    tests = {metric: _weakest(columns, metric, units, views) for metric in measured}
    everywhere = {
        (metric, pair): float(significance.two_sided(p)[pair]) for metric, p in tests.items() for pair in pairs
    }
    corrected = significance.holm(everywhere)
    differences = {}
    intervals = _differences(columns, units[0], units[1], measured, resamples=resamples, seed=seed)
    for metric, p in tests.items():
        interval = intervals[metric]
        higher = columns.catalogue.higher_is_better(metric)
        both = (everywhere[metric, (0, 1)], corrected[metric, (0, 1)])
        differences[metric] = Difference(interval, *both, _side(higher, interval, p, both[1], alpha))
    side = _together(columns, differences, alpha)
    ahead = units[0] if side == "better" else units[1]
    return Family(side, differences, _beyond_prior(columns, ahead, measured, attacks, alpha))


def _weakest(columns: Columns, metric: str, units: Sequence[Group], views: Sequence[str]) -> Float64[np.ndarray, "A A"]:
    """One-sided p of "unit i is better than unit j", the largest of all views; 1 where one was not measured."""
    size = len(units)
    result = np.zeros((size, size))
    for view in views:
        measured = [unit for unit, group in enumerate(units) if all(columns.has(row, metric, view) for row in group)]
        p = np.ones((size, size))
        rows = [_better_high(columns, group, metric, view) for group in (units[unit] for unit in measured)]
        p[np.ix_(measured, measured)] = _tests(rows, columns)
        result = np.maximum(result, p)
    return result


def _tests(rows: Sequence[Float[np.ndarray, "S N"]], columns: Columns) -> Float64[np.ndarray, "A A"]:
    means = np.stack([row.mean(axis=0) for row in rows])
    if columns.clusters is None and np.isin(means, (0, 1)).all():
        p = significance.mcnemar(means > 0)
    else:
        p = significance.greater(means, columns.clusters)
    for i, j in combinations(range(len(rows)), 2):
        if len(rows[i]) > 1 or len(rows[j]) > 1:
            p[i, j] = significance.seeds_greater(rows[i], rows[j], columns.clusters)
            p[j, i] = 1 - p[i, j]
    return p


def _better_high(columns: Columns, group: Group, metric: str, view: str) -> Float[np.ndarray, "S N"]:
    rows = np.stack([columns.get(row, metric, view) for row in group]).astype(np.float64)
    return rows if columns.catalogue.higher_is_better(metric) else -rows


def _side(higher: bool, interval: Interval, p: Float64[np.ndarray, "A A"], corrected: float, alpha: float) -> Side:
    if corrected >= alpha or interval.low <= 0 <= interval.high:
        return "undecided"
    ahead = interval.mean > 0 if higher else interval.mean < 0
    # Views may point in another direction than the plain numbers; then neither is shown.
    if ahead != bool(p[0, 1] < p[1, 0]):
        return "undecided"
    return "better" if ahead else "worse"


def _together(columns: Columns, differences: dict[str, Difference], alpha: float) -> Side:
    for side, other in (("better", -1), ("worse", 1)):
        against = any(
            difference.p < alpha
            and np.sign(difference.interval.mean) * (1 if columns.catalogue.higher_is_better(metric) else -1) == other
            for metric, difference in differences.items()
        )
        if any(difference.side == side for difference in differences.values()) and not against:
            return "better" if side == "better" else "worse"
    return "undecided"


def _beyond_prior(columns: Columns, group: Group, metrics: Sequence[str], attacks: int, alpha: float) -> bool:
    """Whether right vectors serve it better than wrong ones, in any metric (Bonferroni over metrics and attacks)."""
    measured = [m for m in metrics if all(columns.has(row, m, MISMATCHED_FEATURES) for row in group)]
    p_values = [
        _tests([_better_high(columns, group, m, ""), _better_high(columns, group, m, MISMATCHED_FEATURES)], columns)[
            0, 1
        ]
        for m in measured
    ]
    return bool(p_values) and float(min(p_values)) * len(measured) * max(attacks, 1) < alpha


def _verdict(families: dict[str, Family]) -> tuple[Literal["stronger", "weaker", "undecided"], str]:
    measured = [name for name, family in families.items() if family.side != "not measured"]
    if len(measured) < 2:
        return "undecided", f"two families of metrics must agree, and {len(measured)} was measured"
    better = [name for name in measured if families[name].side == "better"]
    worse = [name for name in measured if families[name].side == "worse"]
    if better and worse:
        return "undecided", f"better in {' and '.join(better)}, worse in {' and '.join(worse)}"
    agreeing = better or worse
    if len(agreeing) < 2:
        return "undecided", "fewer than two families of metrics differ by more than chance"
    if sum(families[name].beyond_prior for name in agreeing) < 2:
        return "undecided", "the one ahead does no better with the right vectors than with wrong ones: a better prior"
    return ("stronger" if better else "weaker"), f"{' and '.join(agreeing)} agree"
