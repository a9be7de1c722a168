"""The scoreboard drawn: one line a row, from the lower to the upper bound."""

from collections.abc import Sequence

from featinv.evaluation import Interval
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.document import Figure, Table
from featinv.report.drawing import ATTACK, CONTROL, INK, LEADER, as_svg, drawn, shortened
from featinv.report.entries import Entry, shown_metrics


def interval_figures(listed: Sequence[Entry]) -> list[Figure]:
    """Return a figure for each metric that was measured and is worth one."""
    chosen = shown_metrics(listed, "figure")
    if any("lpips" in entry.row.metrics for entry in listed):
        chosen = [metric for metric in chosen if metric.name != "judge_agreement"]
    figures = [_figure(metric, [entry for entry in listed if metric.name in entry.row.metrics]) for metric in chosen]
    return [figure for figure in figures if figure is not None]


def _figure(meaning: Metric, listed: Sequence[Entry]) -> Figure | None:
    if not listed:
        return None
    values = [entry.row.metrics[meaning.name] for entry in listed]
    image = _draw(meaning, listed, values)
    best = (max if meaning.higher_is_better else min)(zip(values, listed, strict=True), key=lambda pair: pair[0].mean)
    controls = [value for value, entry in zip(values, listed, strict=True) if not entry.is_attack]
    told = f"Intervals of {meaning.heading} for {len(listed)} rows; {meaning.direction} means that more leaks. "
    told += f"The {meaning.direction}st is {best[1].label} with {number(best[0], meaning.factor)}"
    told = told.replace("higherst", "highest").replace("lowerst", "lowest")
    if controls and meaning.name != "attack_strength":
        bounds = (number(edge, meaning.factor) for edge in _ends(controls))
        told += f"; the controls lie from {' to '.join(bounds)}"
    numbers = Table(
        ("", meaning.heading),
        tuple((entry.label, number(value, meaning.factor)) for entry, value in zip(listed, values, strict=True)),
    )
    return Figure(meaning.heading, image, f"{told}.", meaning.text, numbers, repeats=True)


def _ends(values: Sequence[Interval]) -> tuple[Interval, Interval]:
    return min(values, key=lambda value: value.mean), max(values, key=lambda value: value.mean)


def _draw(meaning: Metric, listed: Sequence[Entry], values: Sequence[Interval]) -> str:
    with drawn(0.62 + 0.21 * len(listed)) as (figure, axes):
        for place, (entry, value) in enumerate(zip(listed, values, strict=True)):
            mean, low, high = (bound * meaning.factor for bound in (value.mean, value.low, value.high))
            colour = LEADER if entry.leads else ATTACK if entry.is_attack else CONTROL
            axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([mean], [place], marker="o" if entry.is_attack else "s", markersize=4.5, color=colour)
        chance = next((value.chance for value in values if value.chance is not None), None)
        if chance is not None:
            axes.axvline(chance * meaning.factor, color=INK, linewidth=1, linestyle=":")
            axes.annotate(
                "chance", (chance * meaning.factor, -0.75), (3, 0), textcoords="offset points", color=INK, va="center"
            )
        elif meaning.name == "attack_strength":
            axes.axvline(0, color=INK, linewidth=1, linestyle=":")
            axes.annotate("adds nothing", (0, -0.75), (3, 0), textcoords="offset points", color=INK, va="center")
        axes.set_yticks(range(len(listed)), [shortened(entry.label) for entry in listed])
        axes.set_ylim(len(listed) - 0.4, -1.1)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{meaning.heading} ({meaning.direction}: more leaks)")
        return as_svg(figure)
