"""The figure of the page: utility kept across, re-identification up, each setting a bar from floor to ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from featinv import plots
from featinv.evaluation import Interval

COLOURS = {"green": "#1a7f37", "red": "#cf222e", "grey": "#6e7781"}
WIDTH, HEIGHT = 8.6, 5.0
_TICKS = [step * 10.0**power for power in range(-7, 1) for step in (1, 2, 5) if step * 10.0**power <= 1]


@dataclass(frozen=True)
class Bar:
    """One setting: its number in the table, its colour, the utility kept, and floor and ceiling (None: unknown)."""

    number: int
    colour: str
    kept: Interval
    floor: float | None
    ceiling: float | None
    leads: bool = False


def draw(bars: Sequence[Bar], *, policy: float, keep: float | None, chance: float, across: str, up: str) -> str:
    """Return the figure as an SVG data URI."""
    with plots.styled_figure(HEIGHT, WIDTH) as figure:
        axes: Axes = figure.subplots()
        bottom = min(chance, policy) / 4
        axes.set_yscale("log")
        axes.set_ylim(bottom, 2.6)  # room for labels above 100 %
        marks = [] if keep is None else [keep]
        lowest = min([1.0, *marks, *(bar.kept.low for bar in bars)])
        highest = max([1.0, *marks, *(bar.kept.high for bar in bars)])
        margin = 0.04 * max(highest - lowest, 0.02)
        axes.set_xlim(lowest - margin, highest + 2 * margin)
        for bar in bars:
            _draw_bar(axes, bar, bottom)
        _number(axes, bars, bottom)
        _lines(axes, policy, keep, chance)
        axes.set_yticks([tick for tick in _TICKS if bottom <= tick])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        return plots.as_svg(figure)


def _draw_bar(axes: Axes, bar: Bar, bottom: float) -> None:
    colour, x = COLOURS[bar.colour], bar.kept.mean
    low = max(bottom, bar.floor or 0.0)
    high = 1.0 if bar.ceiling is None else bar.ceiling
    style = ":" if bar.ceiling is None else "-"
    axes.plot([x, x], [low, high], color=colour, linewidth=3 if bar.leads else 2, linestyle=style)
    axes.plot([bar.kept.low, bar.kept.high], [high, high], color=colour, linewidth=0.8, alpha=0.6)
    if bar.ceiling is None:
        axes.plot([x], [1.0], marker="^", color=colour, markersize=5)
    else:
        axes.plot([x], [high], marker="_", color=colour, markersize=9, markeredgewidth=2)
    if bar.floor is not None and bar.floor > bottom:
        axes.plot([x], [low], marker="o", color=colour, markersize=3.5)


def _number(axes: Axes, bars: Sequence[Bar], bottom: float) -> None:
    """Write each setting's number above its bar; settings at one place share a label, and labels do not overlap."""
    axes.figure.canvas.draw()  # the layout decides what is at one place
    groups: list[tuple[float, float, list[Bar]]] = []
    for bar in sorted(bars, key=lambda item: item.number):
        x, y = axes.transData.transform((bar.kept.mean, max(bottom, _top(bar))))
        near = next((group for gx, gy, group in groups if abs(gx - x) < 14 and abs(gy - y) < 8), None)
        if near is None:
            groups.append((float(x), float(y), [bar]))
        else:
            near.append(bar)
    taken: list[tuple[float, float, float]] = []
    for x, y, group in sorted(groups, key=lambda item: item[0]):
        numbers, leads = _joined([bar.number for bar in group]), any(bar.leads for bar in group)
        half, lift = 2.6 * len(numbers) + 4, 5.0
        while any(abs(x - tx) < half + th and abs(y + lift - ty) < 10 for tx, ty, th in taken):
            lift += 10
        taken.append((x, y + lift, half))
        label = axes.annotate(
            numbers,
            (group[0].kept.mean, max(bottom, _top(group[0]))),
            (0, lift * 72 / axes.figure.dpi),
            textcoords="offset points",
            ha="center",
            fontsize=8.5 if leads else 6.5,
            fontweight="bold" if leads else "normal",
            color=COLOURS["green" if leads else group[0].colour],
        )
        label.set_in_layout(False)


def _top(bar: Bar) -> float:
    return 1.0 if bar.ceiling is None else bar.ceiling


def _joined(numbers: Sequence[int]) -> str:
    """Return numbers with runs shortened: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _lines(axes: Axes, policy: float, keep: float | None, chance: float) -> None:
    for value, label in ((policy, f"policy {100 * policy:g} %"), (chance, f"chance {100 * chance:g} %")):
        axes.axhline(value, color=plots.INK, linewidth=1, linestyle="--" if value == policy else ":")
        axes.annotate(
            label, (0, value), (3, 2), xycoords=("axes fraction", "data"), textcoords="offset points", color=plots.INK
        )
    if keep is not None:
        axes.axvline(keep, color=plots.INK, linewidth=1, linestyle="--")
        axes.annotate(
            f"kept {100 * keep:g} %",
            (keep, 0),
            (3, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=plots.INK,
        )
