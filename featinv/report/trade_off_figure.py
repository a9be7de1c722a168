"""Fidelity against perception: images that are close are not those that look real, and neither is what identifies."""

from collections.abc import Sequence

from featinv.evaluation import Catalogue
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.document import Figure, Table
from featinv.report.drawing import ATTACK, CONTROL, INK, LEADER, as_svg, drawn
from featinv.report.entries import Entry, catalogue_of


def trade_off_figure(listed: Sequence[Entry]) -> Figure | None:
    """Return a scatter of fidelity and perception, a number a row; None where one of the two was not measured."""
    catalogue = catalogue_of([entry.run for entry in listed])
    for name in (*catalogue.families()["perceptual"], "judge_cosine"):
        perception = catalogue[name]
        shown = [entry for entry in listed if {"psnr", perception.name} <= set(entry.row.metrics)]
        if shown:
            return _figure(shown, perception)
    return None


def _figure(shown: Sequence[Entry], up: Metric) -> Figure:
    across = Catalogue()["psnr"]
    rows = tuple(
        (f"{place}. {entry.label}", number(entry.row.metrics["psnr"]), number(entry.row.metrics[up.name], up.factor))
        for place, entry in enumerate(shown, start=1)
    )
    key = "; ".join(name for name, *_ in rows)
    instead = "" if up.name == "lpips" else " LPIPS was not measured; what the judge finds alike stands for it."
    if up.family == "perceptual" and up.name != "lpips":
        instead = f" LPIPS was not measured; {up.title or up.name} stands for it."
    return Figure(
        title=f"{across.title} and {up.title}",
        image=_draw(shown, across, up),
        alternative=f"Scatter of {across.heading} and {up.heading}, a point a row: "
        f"{'; '.join(f'{name} at {x} and {y}' for name, x, y in rows)}.",
        caption=f"{key}. An attack that averages all likely images lies to the right, one that invents detail lies "
        f"towards what looks alike; neither alone shows what leaks.{instead}",
        numbers=Table(("", across.heading, up.heading), rows),
        wide=True,
    )


def _draw(shown: Sequence[Entry], across: Metric, up: Metric) -> str:
    with drawn(3.2) as (figure, axes):
        for place, entry in enumerate(shown, start=1):
            x, y = entry.row.metrics["psnr"], entry.row.metrics[up.name].scaled(up.factor)
            colour = LEADER if entry.leads else ATTACK if entry.is_attack else CONTROL
            spread = ([[x.mean - x.low], [x.high - x.mean]], [[y.mean - y.low], [y.high - y.mean]])
            axes.errorbar(
                x.mean,
                y.mean,
                xerr=spread[0],
                yerr=spread[1],
                color=colour,
                marker="o" if entry.is_attack else "s",
                markersize=4,
                linewidth=1.2,
            )
            axes.annotate(str(place), (x.mean, y.mean), (4, 4), textcoords="offset points", color=INK, fontsize=8)
        axes.set_xlabel(f"{across.heading} (to the right: closer)")
        axes.set_ylabel(f"{up.heading} ({'up' if up.higher_is_better else 'down'}: more alike)")
        return as_svg(figure)
