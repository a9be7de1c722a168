"""How scoreboards are drawn, for the report and for trackers: one style, intervals of a metric, and a trade-off."""

import base64
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from featinv.evaluation import Interval
from featinv.metrics.metric import Metric

Pixels = UInt8[np.ndarray, "H W 3"]
INK, FAINT, GRID = "#1f2328", "#8b949e", "#d8dee4"
CONTROL, ATTACK, LEADER = "#7d8590", "#0969da", "#bc4c00"
LINES = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700", "#1b7c83")
"""Colours of lines; each is dark enough on white for text, and dashes tell them apart in print."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))
WIDTH = 4.7
"""Inches: on a telephone the figure is not shrunk much, on a screen two stand side by side."""
_STYLE: Any = {
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "path",
    "svg.hashsalt": "featinv",
    "axes.formatter.use_mathtext": False,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Mark:
    """A row of a scoreboard as figures show it; `leads` marks the leading attack."""

    label: str
    metrics: Mapping[str, Interval]
    is_attack: bool
    leads: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """Return colour and marker: the leading attack orange, attacks blue dots, controls grey squares."""
        colour = LEADER if self.leads else ATTACK if self.is_attack else CONTROL
        return {"color": colour, "marker": "o" if self.is_attack else "s"}


@contextlib.contextmanager
def styled_figure(height: int | float, width: int | float = WIDTH) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, in the common style."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)  # whatever backend the caller's own windows have
        yield figure


def draw_intervals(axes: Axes, metric: Metric, marks: Sequence[Mark]) -> None:
    """Draw one metric: a line a row from the lower to the upper bound, its mean, and the chance level."""
    for place, mark in enumerate(marks):
        if metric.name in mark.metrics:
            value = mark.metrics[metric.name].scaled(metric.factor)
            axes.plot([value.low, value.high], [place, place], color=mark.style["color"], linewidth=2)
            axes.plot([value.mean], [place], markersize=4.5, **mark.style)
    chances = [mark.metrics[metric.name].chance for mark in marks if metric.name in mark.metrics]
    chance = next((chance for chance in chances if chance is not None), None)
    if chance is not None:
        _reference(axes, chance * metric.factor, "chance")
    elif metric.name == "attack_strength":
        _reference(axes, 0, "adds nothing")
    axes.set_yticks(range(len(marks)), [shortened(mark.label) for mark in marks])
    axes.set_ylim(len(marks) - 0.4, -1.1)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{metric.heading} ({metric.direction}: more leaks)")


def draw_trade_off(axes: Axes, across: Metric, up: Metric, marks: Sequence[Mark]) -> None:
    """Draw one metric against another: a point a row with both intervals, and its label beside it."""
    for mark in marks:
        if not {across.name, up.name} <= set(mark.metrics):
            continue
        x, y = (mark.metrics[metric.name].scaled(metric.factor) for metric in (across, up))
        axes.plot([x.low, x.high], [y.mean, y.mean], color=mark.style["color"], linewidth=1.2)
        axes.plot([x.mean, x.mean], [y.low, y.high], color=mark.style["color"], linewidth=1.2)
        axes.plot([x.mean], [y.mean], markersize=4, **mark.style)
        axes.annotate(mark.label, (x.mean, y.mean), (4, 4), textcoords="offset points", color=INK, fontsize=8)
    axes.set_xlabel(f"{across.heading} ({'to the right' if across.higher_is_better else 'to the left'}: better)")
    axes.set_ylabel(f"{up.heading} ({'up' if up.higher_is_better else 'down'}: better)")


def draw_spans(axes: Axes, bars: Sequence[tuple[str, float, float | None, float]]) -> None:
    """Draw bars of (label, floor, ceiling, chance), shares above 0 on a log axis; dotted up to 1 without a ceiling.

    A dot marks the floor, a bar across the ceiling, and a short line chance.
    """
    least = min(min(chance, floor or chance) for _, floor, _, chance in bars)
    axes.set_xscale("log")
    axes.set_xlim(least / 1.5, 1.25)
    for place, (_, floor, ceiling, chance) in enumerate(bars):
        low, high = max(floor, least / 1.5), 1.0 if ceiling is None else ceiling
        axes.plot([low, high], [place, place], color=ATTACK, linewidth=3, linestyle=":" if ceiling is None else "-")
        axes.plot([low], [place], marker="o", color=ATTACK, markersize=5)
        axes.plot([chance, chance], [place - 0.35, place + 0.35], color=INK, linewidth=1)
        if ceiling is None:
            axes.annotate("no ceiling known", (1.0, place), (-4, 5), textcoords="offset points", color=INK, ha="right")
        else:
            axes.plot([high], [place], marker="|", color=ATTACK, markersize=12, markeredgewidth=2)
    axes.annotate("chance", (bars[0][3], -0.4), (0, 2), textcoords="offset points", color=INK, ha="center")
    axes.set_yticks(range(len(bars)), [shortened(label) for label, *_ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.9)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.set_xlabel("images found, %: from the floor that attacks show to the ceiling for any attack")


def draw_shares(axes: Axes, octaves: Sequence[str], lines: Mapping[str, Sequence[Interval]]) -> None:
    """Draw the share of the variance that is recovered in each octave of frequency: a line a label, with its bounds."""
    for place, (label, shares) in enumerate(lines.items()):
        at = np.arange(len(octaves)) + 0.08 * (place - (len(lines) - 1) / 2)
        colour, dash = LINES[place % len(LINES)], DASHES[place % len(DASHES)]
        axes.plot(at, [100 * share.mean for share in shares], color=colour, linestyle=dash, marker="o", markersize=4)
        axes.vlines(at, [100 * share.low for share in shares], [100 * share.high for share in shares], color=colour)
        axes.plot([], [], color=colour, linestyle=dash, marker="o", markersize=4, label=shortened(label))
    axes.axhline(0, color=INK, linewidth=1, linestyle=":")
    axes.annotate("the mean image", (len(octaves) - 1, 0), (0, 3), textcoords="offset points", color=INK, ha="right")
    # What adds errors is below 0 however large they are; the scale is kept for what is recovered.
    axes.set_ylim(-50, 103)
    axes.set_xticks(range(len(octaves)), octaves)
    axes.set_xlabel("frequency, half-waves across the image (to the right: finer)")
    axes.set_ylabel("variance recovered, %")
    axes.legend(loc="upper right")


def draw_cells(axes: Axes, cells: np.ndarray) -> None:
    """Draw the share of the variance that is recovered in each cell of the image, on the scale from 0 to 100 %."""
    axes.imshow(100 * cells, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*cells.shape):
        value = 100 * cells[row, column]
        colour = "white" if value > 60 else INK
        axes.text(column, row, f"{value:.0f}", color=colour, ha="center", va="center", fontsize=7)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("by place, % of the variance")


def draw_coverage(axes: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw expected-coverage curves, (levels, coverage) by space; the diagonal is a right sampler's."""
    axes.plot([0, 100], [0, 100], color=INK, linestyle=":", linewidth=1.2, label="right")
    for place, (space, (levels, curve)) in enumerate(curves.items()):
        colour, dash = LINES[place % len(LINES)], DASHES[place % len(DASHES)]
        x, y = 100 * np.array(levels), 100 * np.array(curve)
        axes.plot(x, y, color=colour, linestyle=dash, label=shortened(space))
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("share of the samples in a region, %")
    axes.set_ylabel("originals in it, %")
    axes.legend(loc="upper left")


def as_svg(figure: Figure) -> str:
    """Return the figure as a data URI; the same figure gives the same bytes."""
    out = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        # Not `savefig`, which draws a figure with a layout twice.
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"


def as_pixels(figure: Figure) -> Pixels:
    """Return the figure as 8-bit RGB pixels; no display is needed."""
    with matplotlib.rc_context(_STYLE):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def shortened(name: str, most: int = 26) -> str:
    """Return a name that fits beside a figure."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _reference(axes: Axes, value: int | float, label: str) -> None:
    axes.axvline(value, color=INK, linewidth=1, linestyle=":")
    axes.annotate(label, (value, -0.75), (3, 0), textcoords="offset points", color=INK, va="center")
