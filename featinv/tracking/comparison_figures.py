"""The scoreboard drawn with its intervals, which wandb's own bars do not have; 8-bit pixels, no display needed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from featinv.evaluation import AttackScore
from featinv.metrics.metric import Metric
from featinv.tracking.run_record import Pixels

_COLOURS = {"control": "#8a8f98", "attack": "#c2410c"}
_PER_ROW, _HEAD, _PANEL, _DPI = 0.28, 0.9, 2.6, 100


def bars(rows: Sequence[AttackScore], metrics: Sequence[Metric]) -> Pixels:
    """Return one panel a metric: a bar a row, its interval, and the chance level as a line; controls grey."""
    figure = Figure(figsize=(2 + _PANEL * max(1, len(metrics)), _HEAD + _PER_ROW * len(rows)), dpi=_DPI)
    panels = figure.subplots(1, max(1, len(metrics)), squeeze=False, sharey=True)[0]
    for panel, metric in zip(panels, metrics, strict=False):
        for place, row in enumerate(rows):
            if metric.name in row.metrics:
                found = row.metrics[metric.name].scaled(metric.factor)
                panel.barh(place, found.mean, color=_COLOURS[row.kind], height=0.7)
                panel.plot([found.low, found.high], [place, place], color="black", linewidth=1.2)
        measured = [row.metrics[metric.name] for row in rows if metric.name in row.metrics]
        chances = [one.scaled(metric.factor).chance for one in measured]
        for chance in {chance for chance in chances if chance is not None}:
            panel.axvline(chance, color="#555555", linestyle=":", linewidth=1)
        panel.set_title(metric.heading, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows])
    panels[0].invert_yaxis()
    return _drawn(figure)


def trade_off(rows: Sequence[AttackScore], across: Metric, up: Metric) -> Pixels:
    """Return each row as a point with both of its intervals and its name beside it."""
    figure = Figure(figsize=(8, 5.5), dpi=_DPI)
    panel = figure.subplots()
    for row in rows:
        if across.name not in row.metrics or up.name not in row.metrics:
            continue
        x, y = (row.metrics[metric.name].scaled(metric.factor) for metric in (across, up))
        colour = _COLOURS[row.kind]
        panel.plot([x.low, x.high], [y.mean, y.mean], color=colour, linewidth=1)
        panel.plot([x.mean, x.mean], [y.low, y.high], color=colour, linewidth=1)
        panel.plot(x.mean, y.mean, "o", color=colour, markersize=5)
        panel.annotate(row.name, (x.mean, y.mean), xytext=(5, 4), textcoords="offset points", fontsize=8)
    panel.set_xlabel(across.heading)
    panel.set_ylabel(up.heading)
    panel.margins(0.15)
    panel.spines[["top", "right"]].set_visible(False)
    return _drawn(figure)


def _drawn(figure: Figure) -> Pixels:
    figure.tight_layout()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
