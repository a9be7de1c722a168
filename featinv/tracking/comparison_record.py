"""The record of the comparison: the scoreboard as tables, its intervals and its trade-off as figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from featinv import plots
from featinv.evaluation import AttackScore, Catalogue, Interval, Scoreboard
from featinv.metrics.metric import Metric
from featinv.tracking.attack_record import common, tracked_name
from featinv.tracking.run_record import Pixels, Plot, Reference, RunRecord, RunTable

COMPARISON = "comparison"
TRADE_OFF = ("psnr", "reid_top10")
_HEIGHT, _PER_ROW, _PANEL = 0.9, 0.28, 3.0
"""Inches of the figure of intervals: its frame, each row, each panel."""


def comparison_record(
    board: Scoreboard,
    config: Mapping[str, Any],
    *,
    tags: Sequence[str] = (),
    references: tuple[Reference, ...] = (),
) -> RunRecord:
    """Return the record of the whole board."""
    catalogue = Catalogue.of(board.protocol)
    metrics = [metric for metric in catalogue.at("bars") if any(metric.name in row.metrics for row in board.attacks)]
    names = [metric.name for metric in metrics]
    table = scoreboard_table(board.attacks)
    plots = {
        f"plots/{tracked_name(metric)}": Plot(
            "bar", _pairs(board.attacks, ("attack", metric)), "attack", metric, metric
        )
        for metric in names
    }
    images = {"scoreboard/bars": interval_pixels(board.attacks, metrics)}
    if all(metric in names for metric in TRADE_OFF):
        columns = ("attack", *TRADE_OFF)
        plots["plots/trade_off"] = Plot(
            "scatter", _pairs(board.attacks, columns), *TRADE_OFF, "likeness against re-identification"
        )
        images["scoreboard/trade_off"] = trade_off_pixels(board.attacks, *(catalogue[name] for name in TRADE_OFF))
    return RunRecord(
        name=COMPARISON,
        job_type=COMPARISON,
        config=common(board, config),
        tags=(*tags, COMPARISON, str(board.victim.get("name", "unnamed victim"))),
        summary=_verdict(board),
        tables={"scoreboard/rows": table, "scoreboard/views": views_table(board.attacks)},
        images=images,
        plots=plots,
        references=references,
    )


def interval_pixels(rows: Sequence[AttackScore], metrics: Sequence[Metric]) -> Pixels:
    """Return one panel a metric: the interval of each row, and the chance level as a line."""
    columns = max(1, len(metrics))
    with plots.styled_figure(_HEIGHT + _PER_ROW * len(rows), 2 + _PANEL * columns) as figure:
        panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
        for axes, metric in zip(panels, metrics, strict=False):
            plots.draw_intervals(axes, metric, _marks(rows))
        return plots.as_pixels(figure)


def trade_off_pixels(rows: Sequence[AttackScore], across: Metric, up: Metric) -> Pixels:
    """Return each row as a point with both of its intervals and its name beside it."""
    with plots.styled_figure(5.5, 8) as figure:
        axes = figure.subplots()
        plots.draw_trade_off(axes, across, up, _marks(rows))
        axes.margins(0.15)
        return plots.as_pixels(figure)


def _marks(rows: Sequence[AttackScore]) -> list[plots.Mark]:
    return [plots.Mark(row.name, row.metrics, row.kind == "attack") for row in rows]


def scoreboard_table(rows: Sequence[AttackScore]) -> RunTable:
    """Return one row an attack: every plain metric with its bounds, what it cost, and the notes."""
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.metrics))
    bounded = [f"{tracked_name(metric)}{bound}" for metric in metrics for bound in ("", "_low", "_high")]
    columns = ("attack", "kind", "role", *bounded, "seconds", "parameters", "notes")
    lines = []
    for row in rows:
        numbers = [value for metric in metrics for value in _bounds(row.metrics.get(metric))]
        lines.append((row.name, row.kind, row.role, *numbers, row.seconds, row.parameters, "; ".join(row.notes)))
    return RunTable(columns, tuple(lines))


def views_table(rows: Sequence[AttackScore]) -> RunTable:
    """Return every number in every view (treated, other judges, galleries), one a row."""
    columns = ("attack", "view", "metric", "value", "low", "high", "n", "chance")
    lines = [
        (row.name, view, metric, *_bounds(interval), interval.n, interval.chance)
        for row in rows
        for view, metrics in {"": row.metrics, **row.metrics_by}.items()
        for metric, interval in metrics.items()
    ]
    return RunTable(columns, tuple(lines))


def _bounds(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if interval is None else (interval.mean, interval.low, interval.high)


def _pairs(rows: Sequence[AttackScore], columns: tuple[str, ...]) -> RunTable:
    measured = [row for row in rows if all(metric in row.metrics for metric in columns[1:])]
    return RunTable(columns, tuple((row.name, *(row.metrics[m].mean for m in columns[1:])) for row in measured))


def _verdict(board: Scoreboard) -> dict[str, Any]:
    attacks = [row for row in board.attacks if "attack_strength" in row.metrics]
    summary: dict[str, Any] = {"comparison/best_control": board.protocol.get("best_control")}
    if attacks:
        best = max(attacks, key=lambda row: row.metrics["attack_strength"].mean)
        strength = best.metrics["attack_strength"]
        summary |= {"comparison/strongest": best.name, "comparison/strength": strength.mean}
        summary |= {"comparison/strength_low": strength.low, "comparison/strength_high": strength.high}
    for rate in board.protocol.get("ceiling", {}).get("rates", ()):
        summary[f"comparison/ceiling_top{rate['k']}_of_{rate['size']}"] = rate["high"]
    if board.leak_level is not None:
        summary |= {"comparison/level": board.leak_level.level, "comparison/sentence": board.leak_level.sentence}
        summary |= {"comparison/budget": board.leak_level.budget}
    not_measured = board.protocol.get("not_measured", {})
    return {**summary, "comparison/not_measured": "; ".join(f"{name} ({why})" for name, why in not_measured.items())}
