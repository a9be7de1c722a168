"""The figure of what is known: from the floor that attacks show to the ceiling that none can exceed."""

from collections.abc import Sequence

from featinv import plots
from featinv.evaluation.ceiling_text import UNKNOWN, Span, spans
from featinv.report.document import Figure, Section, Table
from featinv.report.runs import Run

_LEAD = (
    "The floor is the lower limit of what the strongest attack finds, in the whole gallery before the weakest judge. "
    "The ceiling is the upper limit of what any attack on one vector at a time could find, from the likelihood of the "
    "release. The truth lies between: more training or a better attack can raise the floor up to the ceiling."
)


def ceiling_section(runs: Sequence[Run]) -> Section | None:
    """Return the floors and ceilings of all runs in one figure; None where no board has them."""
    listed = [(run, span) for run in runs for span in spans(run.board.protocol, run.board.attacks)]
    return Section("Floor and ceiling", (_LEAD,), (_figure(listed, several=len(runs) > 1),)) if listed else None


def _figure(listed: Sequence[tuple[Run, Span]], *, several: bool) -> Figure:
    labels = [f"{run.name}: {span.heading}" if several else span.heading for run, span in listed]
    every = [span for _, span in listed]

    def draw() -> str:
        with plots.styled_figure(0.8 + 0.3 * len(every), 2 * plots.WIDTH) as figure:
            bars = [(x, span.floor, span.ceiling, span.chance) for x, span in zip(labels, every, strict=True)]
            plots.draw_spans(figure.subplots(), bars)
            return plots.as_svg(figure)

    rows = tuple(
        (label, _percent(span.floor), span.attack, _limit(span), _percent(span.chance))
        for label, span in zip(labels, every, strict=True)
    )
    words = "; ".join(
        f"{label} at least {low} %, {_most(span)}" for (label, low, *_), span in zip(rows, every, strict=True)
    )
    return Figure(
        title="Re-identification, from floor to ceiling",
        draw=draw,
        alternative=f"Bars from floor to ceiling: {words}.",
        caption="Dots are floors, bars across are ceilings, short black lines are chance. A dotted line has no known "
        "ceiling. The axis is logarithmic.",
        numbers=Table(("", "floor, %", "attack", "ceiling, %", "chance, %"), rows, words=frozenset({2, 3})),
        wide=True,
    )


def _limit(span: Span) -> str:
    return UNKNOWN if span.ceiling is None else _percent(span.ceiling)


def _most(span: Span) -> str:
    return UNKNOWN if span.ceiling is None else f"at most {_percent(span.ceiling)} %"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"
