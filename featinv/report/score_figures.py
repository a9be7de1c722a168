"""The figures of a scoreboard: the intervals of each metric, and fidelity against perception."""

from collections.abc import Sequence

from featinv import plots
from featinv.evaluation import Catalogue, Interval
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.document import Figure, Table
from featinv.report.entries import Entry, catalogue_of, shown_metrics


def interval_figures(listed: Sequence[Entry]) -> list[Figure]:
    """Return a figure for each metric that was measured and has one."""
    chosen = shown_metrics(listed, "figure")
    if any("lpips" in entry.row.metrics for entry in listed):
        chosen = [metric for metric in chosen if metric.name != "judge_agreement"]
    measured = [(metric, [entry for entry in listed if metric.name in entry.row.metrics]) for metric in chosen]
    return [_intervals(metric, entries) for metric, entries in measured if entries]


def _intervals(metric: Metric, listed: Sequence[Entry]) -> Figure:
    values = [entry.row.metrics[metric.name] for entry in listed]
    numbers = tuple((entry.label, number(value, metric.factor)) for entry, value in zip(listed, values, strict=True))

    def draw() -> str:
        with plots.styled_figure(0.62 + 0.21 * len(listed)) as figure:
            plots.draw_intervals(figure.subplots(), metric, _marks(listed))
            return plots.as_svg(figure)

    return Figure(
        title=metric.heading,
        draw=draw,
        alternative=_intervals_in_words(metric, listed, values),
        caption=metric.text,
        numbers=Table(("", metric.heading), numbers),
        repeats=True,
    )


def _intervals_in_words(metric: Metric, listed: Sequence[Entry], values: Sequence[Interval]) -> str:
    best = (max if metric.higher_is_better else min)(zip(values, listed, strict=True), key=lambda pair: pair[0].mean)
    most = "highest" if metric.higher_is_better else "lowest"
    sentences = [
        f"Intervals of {metric.heading} for {len(listed)} rows; {metric.direction} means that more leaks.",
        f"The {most} is {best[1].label} with {number(best[0], metric.factor)}",
    ]
    controls = [value for value, entry in zip(values, listed, strict=True) if not entry.is_attack]
    if controls and metric.name != "attack_strength":
        ends = (pick(controls, key=lambda value: value.mean) for pick in (min, max))
        bounds = " to ".join(number(end, metric.factor) for end in ends)
        sentences[-1] += f"; the controls lie from {bounds}"
    return f"{' '.join(sentences)}."


def trade_off_figure(listed: Sequence[Entry]) -> Figure | None:
    """Return a scatter of fidelity and perception, a number a row; None where one of the two was not measured."""
    catalogue = catalogue_of([entry.run for entry in listed])
    for name in (*catalogue.families()["perceptual"], "judge_cosine"):
        perception = catalogue[name]
        points = [entry for entry in listed if {"psnr", perception.name} <= set(entry.row.metrics)]
        if points:
            return _trade_off(points, perception)
    return None


def _trade_off(points: Sequence[Entry], up: Metric) -> Figure:
    across = Catalogue()["psnr"]
    rows = tuple(
        (f"{place}. {entry.label}", number(entry.row.metrics["psnr"]), number(entry.row.metrics[up.name], up.factor))
        for place, entry in enumerate(points, start=1)
    )
    instead = "" if up.name == "lpips" else f" LPIPS was not measured; {up.title or up.name} replaces it."

    def draw() -> str:
        with plots.styled_figure(3.2) as figure:
            plots.draw_trade_off(figure.subplots(), across, up, _marks(points, numbered=True))
            return plots.as_svg(figure)

    return Figure(
        title=f"{across.title} and {up.title}",
        draw=draw,
        alternative=f"Scatter of {across.heading} and {up.heading}, a point a row: "
        f"{'; '.join(f'{name} at {x} and {y}' for name, x, y in rows)}.",
        caption=f"{'; '.join(name for name, *_ in rows)}. An attack that averages all likely images lies to the "
        "right. An attack that adds detail of its own has a lower PSNR and looks more alike. Neither metric alone "
        f"shows what leaks.{instead}",
        numbers=Table(("", across.heading, up.heading), rows),
        wide=True,
    )


def _marks(listed: Sequence[Entry], *, numbered: bool = False) -> list[plots.Mark]:
    return [
        plots.Mark(str(place) if numbered else entry.label, entry.row.metrics, entry.is_attack, entry.leads)
        for place, entry in enumerate(listed, start=1)
    ]
