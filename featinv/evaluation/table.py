"""The scoreboard as text: controls first, every number with its interval, chance beside the rates."""

from collections.abc import Sequence
from typing import Any

from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.intervals import Interval
from featinv.evaluation.judging import TREATMENTS
from featinv.metrics.metric import Metric

_GAP = "  "
_VIEWS = 6
"""Columns of one table of views, so that it fits a terminal; more make another table."""


def render(victim: dict[str, Any], protocol: dict[str, Any], attacks: Sequence[AttackScore]) -> str:
    """Return the main table, the robustness views, and the notes that the numbers need."""
    parts = [_heading(victim, protocol), _main_table(attacks, Catalogue.of(protocol).at("table"))]
    if tables := _views_tables(attacks):
        tables[0] = f"Top-10 %, robustness views (an advantage that is lost here is texture, not leakage)\n{tables[0]}"
        parts += tables
    parts.append("\n".join(_notes(protocol, attacks)))
    return "\n\n".join(parts)


def number(interval: Interval | None, factor: int = 1) -> str:
    """Return "12.72 [12.65 12.79]", or "-" for what was not measured; `factor` is 100 for rates, shown in percent."""
    if interval is None:
        return "-"
    mean, low, high = (_short(bound, factor) for bound in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low} {high}]"


def _short(value: float, factor: int = 1) -> str:
    """Three digits of a percentage, two decimals of a decibel, and ".187" for a similarity."""
    size = abs(value * factor)
    if factor == 1:
        digits = 3 if size <= 1 else 2 if size < 99.995 else 0
    else:
        digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    text = f"{value * factor:.{digits}f}"
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("0.", ".", 1) if digits == 3 and abs(float(text)) < 1 else text


def _heading(victim: dict[str, Any], protocol: dict[str, Any]) -> str:
    judge = protocol["judges"][0]
    return (
        f"{victim.get('name', 'unnamed victim')}, {protocol['private']['count']} private images of "
        f"{protocol['private']['size']} px, judged by {judge['name']} ({judge['family']})"
    )


def _main_table(attacks: Sequence[AttackScore], metrics: Sequence[Metric]) -> str:
    """MSE, the judge's cosine and MRR stand in the JSON only: they say little that these do not."""
    rows = [["", *(metric.column for metric in metrics)]]
    first_attack = next((row for row in attacks if row.kind == "attack"), None)
    for row in attacks:
        if row is first_attack:
            rows.append([])
        rows.append([row.name, *(number(row.metrics.get(metric.name), metric.factor) for metric in metrics)])
    rows += [[], ["chance", *(_chance(attacks, metric.name, metric.factor) for metric in metrics)]]
    return _aligned(rows)


def _chance(attacks: Sequence[AttackScore], key: str, factor: int) -> str:
    chances = [row.metrics[key].chance for row in attacks if key in row.metrics]
    measured = [chance for chance in chances if chance is not None]
    return _short(measured[0], factor) if measured else ""


def _views_tables(attacks: Sequence[AttackScore]) -> list[str]:
    views = list(dict.fromkeys(view for row in attacks for view in row.metrics_by if _top10(row, view)))
    return [_views_table(attacks, views[start : start + _VIEWS]) for start in range(0, len(views), _VIEWS)]


def _views_table(attacks: Sequence[AttackScore], views: Sequence[str]) -> str:
    rows = [["", *(view.removesuffix(" features") for view in views)]]  # "mismatched features" is wider than a number
    rows += [[row.name, *(number(_top10(row, view), 100) for view in views)] for row in attacks]
    chances = [next(interval.chance for row in attacks if (interval := _top10(row, view))) for view in views]
    rows += [[], ["chance", *(_short(chance or 0.0, 100) for chance in chances)]]
    return _aligned(rows)


def _top10(row: AttackScore, view: str) -> Interval | None:
    return row.metrics_by.get(view, {}).get("reid_top10")


def _notes(protocol: dict[str, Any], attacks: Sequence[AttackScore]) -> list[str]:
    notes = [_judge_note(judge, first=position == 0) for position, judge in enumerate(protocol["judges"])]
    treated = protocol.get("treated_originals", {})
    rates = [f"{_percent(treated[view])} ({view})" for view in TREATMENTS if view in treated]
    if rates:
        notes.append(f"The originals themselves, once treated, reach a top-10 % of {', '.join(rates)}.")
    if protocol.get("best_control"):
        best = protocol["best_control"]
        notes.append(f"Strength: excess risk of top-10 re-identification over the best control, here {best!r}.")
    missing = protocol.get("not_measured", {})
    notes += [f"Not measured: {name} ({why})." for name, why in missing.items() if not why.startswith("not asked for")]
    if "warning" in protocol:
        notes.append(f"{protocol['warning']}.")
    notes += [f"{row.name}: {note}." for row in attacks for note in row.notes]
    notes.append("At least this much leaks under this budget; a stronger attack may show more.")
    return notes


def _percent(metrics: dict[str, Any]) -> str:
    return _short(metrics["reid_top10"]["mean"], 100)


def _judge_note(judge: dict[str, Any], *, first: bool) -> str:
    role = "First judge" if first else "Judge"
    data = f", trained on {judge['trained_on']}" if judge["trained_on"] else ""
    warning = ": a SIBLING of the victim, for diagnosis only (it sees texture that nobody else sees)"
    return f"{role} {judge['name']}: family {judge['family']}{data}{warning if judge['sibling'] else ''}."


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    columns = max(len(row) for row in rows)
    widths = [max((len(row[column]) for row in rows if row), default=0) for column in range(columns)]
    rule = "-" * (sum(widths) + len(_GAP) * (columns - 1))
    lines = [_line(row, widths) if row else rule for row in rows]
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return _GAP.join(cells).rstrip()
