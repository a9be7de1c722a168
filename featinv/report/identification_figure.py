"""Re-identification as a curve: how many originals are found among the first k."""

from collections.abc import Sequence

import numpy as np

from featinv.evaluation import rate
from featinv.evaluation.attack_score import MISMATCHED_FEATURES
from featinv.report.document import Figure, Table
from featinv.report.drawing import CONTROL, DASHES, INK, LINES, as_svg, drawn, shortened
from featinv.report.entries import Entry

_MOST = len(LINES)
_AT = (1, 5, 10, 50, 100, 500)
EXPLANATION = (
    "Each reconstruction is shown to the judge, which sorts all private images by how alike they are. The curve says "
    "how many originals stand among the first k. A vector that tells nothing gives the dotted line; feature linkage "
    "links the vectors themselves to images at hand, and reconstructs nothing."
)


def identification_figure(listed: Sequence[Entry]) -> Figure | None:
    """Return rank against hit rate with chance; None where no ranks are at hand."""
    ranked = [(entry, ranks) for entry in listed if (ranks := entry.values("rank")) is not None]
    if not ranked:
        return None
    count = int(ranked[0][0].run.board.protocol["gallery"])
    attacks = sorted((pair for pair in ranked if pair[0].is_attack), key=lambda pair: -float((pair[1] <= 10).mean()))
    shown = attacks[:_MOST]
    others = [pair for pair in ranked if _is_reference(pair[0])]
    steps = [k for k in _AT if k < count] + [count]
    left = len(attacks) - len(shown)
    numbers = Table(
        ("", *(f"first {k:,}" for k in steps)),
        (
            *((entry.label, *(_percent(ranks, k) for k in steps)) for entry, ranks in ranked),
            ("chance", *(_short(100 * k / count) for k in steps)),
        ),
    )
    told = [
        f"{entry.label} {_percent(ranks, 1)} % first and {_percent(ranks, 10)} % among ten" for entry, ranks in ranked
    ]
    return Figure(
        title=f"Originals found among the first k of {count:,}",
        image=_draw(shown, others, count),
        alternative=f"Curves of hit rate against rank among {count:,} candidates: {'; '.join(told)}; chance "
        f"{_short(100 / count)} % first and {_short(1000 / count)} % among ten.",
        caption="The band is the 95 % interval of the first attack."
        + (f" {left} weaker attacks are in the numbers only." if left else ""),
        numbers=numbers,
        wide=True,
    )


def _is_reference(entry: Entry) -> bool:
    return entry.is_best_control or entry.links or entry.row.role == MISMATCHED_FEATURES


def _draw(shown: Sequence[tuple[Entry, np.ndarray]], others: Sequence[tuple[Entry, np.ndarray]], count: int) -> str:
    first = np.unique(np.round(np.geomspace(1, count, 120)).astype(np.int64))
    with drawn(3.9) as (figure, axes):
        for place, (entry, ranks) in enumerate(shown):
            hits = 100 * _curve(ranks, first)
            axes.plot(first, hits, color=LINES[place], linestyle=DASHES[place], label=shortened(entry.label))
            if place == 0:
                bounds = np.array([(seen.low, seen.high) for k in first for seen in [rate(ranks <= k)]]).T
                axes.fill_between(first, *(100 * bounds), color=LINES[0], alpha=0.15, linewidth=0)
        for (entry, ranks), dash in zip(others, (*DASHES[1:], *DASHES), strict=False):
            axes.plot(first, 100 * _curve(ranks, first), color=CONTROL, linestyle=dash, label=shortened(entry.label))
        axes.plot(first, 100 * first / count, color=INK, linestyle=":", linewidth=1.2, label="chance")
        axes.set_xscale("log")
        axes.set_xlim(1, count)
        axes.set_ylim(0, 100)
        axes.set_xlabel("k, candidates looked at (logarithmic)")
        axes.set_ylabel("originals found, %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        figure.legend(loc="outside lower left", ncols=2, handlelength=2.8)
        return as_svg(figure)


def _curve(ranks: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(ranks), first, side="right") / len(ranks)


def _percent(ranks: np.ndarray, k: int) -> str:
    return _short(100 * float((ranks <= k).mean()))


def _short(percent: float) -> str:
    return f"{percent:.2f}" if 0 < percent < 1 else f"{percent:.1f}"
