"""The figures of curves: re-identification against the rank, and how the attacks were trained."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from featinv import plots
from featinv.evaluation import rate
from featinv.evaluation.attack_score import MISMATCHED_FEATURES
from featinv.report.document import Figure, Table
from featinv.report.entries import Entry
from featinv.report.runs import Rows

EXPLANATION = (
    "A judge receives each reconstruction and sorts all private images by similarity. The curve shows how many "
    "originals stand among the first k. The dotted line is chance: a vector without information reaches it. Feature "
    "linkage compares the vectors themselves with images at hand, and reconstructs nothing."
)
_CURVES = len(plots.LINES)
_RANKS = (1, 5, 10, 50, 100, 500)
_VALIDATION = "val/psnr"
_LOSS = "train/loss/"
_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (0.0, "seconds"))
Ranked = tuple[Entry, np.ndarray]
Line = tuple[np.ndarray, np.ndarray]


def identification_figure(listed: Sequence[Entry]) -> Figure | None:
    """Return hit rate against rank with chance; None where no ranks are at hand."""
    ranked = [(entry, ranks) for entry in listed if (ranks := entry.values("rank")) is not None]
    if not ranked:
        return None
    count = int(ranked[0][0].run.board.protocol["gallery"])
    attacks = sorted((pair for pair in ranked if pair[0].is_attack), key=lambda pair: -float((pair[1] <= 10).mean()))
    references = [pair for pair in ranked if _is_reference(pair[0])]
    left = len(attacks) - _CURVES
    at_ranks = [
        f"{entry.label} {_hits(ranks, 1)} % at top-1 and {_hits(ranks, 10)} % at top-10" for entry, ranks in ranked
    ]
    return Figure(
        title=f"Re-identification at rank k, {count:,} candidates",
        draw=lambda: _draw_identification(attacks[:_CURVES], references, count),
        alternative=f"Curves of hit rate against rank among {count:,} candidates: {'; '.join(at_ranks)}; chance "
        f"{_percent(100 / count)} % at top-1 and {_percent(1000 / count)} % at top-10.",
        caption="The band is the 95 % interval of the first attack."
        + (f" {left} weaker attacks are in the numbers only." if left > 0 else ""),
        numbers=_hit_rates(ranked, count),
        wide=True,
    )


def _is_reference(entry: Entry) -> bool:
    return entry.is_best_control or entry.links or entry.row.role == MISMATCHED_FEATURES


def _hit_rates(ranked: Sequence[Ranked], count: int) -> Table:
    steps = [k for k in _RANKS if k < count] + [count]
    rows = [(entry.label, *(_hits(ranks, k) for k in steps)) for entry, ranks in ranked]
    chance = ("chance", *(_percent(100 * k / count) for k in steps))
    return Table(("", *(f"top-{k:,}, %" for k in steps)), (*rows, chance))


def _draw_identification(attacks: Sequence[Ranked], references: Sequence[Ranked], count: int) -> str:
    first = np.unique(np.round(np.geomspace(1, count, 120)).astype(np.int64))
    with plots.styled_figure(3.9) as figure:
        axes = figure.subplots()
        for place, (entry, ranks) in enumerate(attacks):
            (line,) = axes.plot(first, 100 * _curve(ranks, first), label=plots.shortened(entry.label))
            line.set(color=plots.LINES[place], linestyle=plots.DASHES[place])
            if place == 0:
                bounds = np.array([(value.low, value.high) for k in first for value in [rate(ranks <= k)]]).T
                axes.fill_between(first, *(100 * bounds), color=plots.LINES[0], alpha=0.15, linewidth=0)
        for (entry, ranks), dash in zip(references, (*plots.DASHES[1:], *plots.DASHES), strict=False):
            (line,) = axes.plot(first, 100 * _curve(ranks, first), label=plots.shortened(entry.label))
            line.set(color=plots.CONTROL, linestyle=dash)
        axes.plot(first, 100 * first / count, color=plots.INK, linestyle=":", linewidth=1.2, label="chance")
        axes.set_xscale("log")
        axes.set_xlim(1, count)
        axes.set_ylim(0, 100)
        axes.set_xlabel("k, candidates considered (logarithmic)")
        axes.set_ylabel("originals among the first k, %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        figure.legend(loc="outside lower left", ncols=2, handlelength=2.8)
        return plots.as_svg(figure)


def _curve(ranks: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(ranks), first, side="right") / len(ranks)


def _hits(ranks: np.ndarray, k: int) -> str:
    return _percent(100 * float((ranks <= k).mean()))


def _percent(percent: float) -> str:
    return f"{percent:.2f}" if 0 < percent < 1 else f"{percent:.1f}"


def training_figures(listed: Sequence[Entry]) -> list[Figure]:
    """Return the validation of all trained attacks together, and a figure of the losses of each."""
    trained = [entry for entry in listed if entry.history]
    figures = [_validation(trained)] if any(_series(entry.history, _VALIDATION)[0].size for entry in trained) else []
    return figures + [figure for entry in trained if (figure := _losses(entry)) is not None]


def _series(rows: Rows, key: str, at: str = "seconds") -> Line:
    points = [(row[at], row[key]) for row in rows if at in row and key in row]
    return np.array([x for x, _ in points]), np.array([y for _, y in points])


def _validation(trained: Sequence[Entry]) -> Figure:
    lines = {entry.label: _series(entry.history, _VALIDATION) for entry in trained}
    lines = {label: line for label, line in lines.items() if line[0].size}
    longest = max(float(x[-1]) for x, _ in lines.values())
    divisor, unit = next((size or 1.0, unit) for size, unit in _UNITS if longest >= 2 * size)
    ends = [(label, f"{y[-1]:.2f}", f"{y.max():.2f}", f"{x[-1] / divisor:.3g}") for label, (x, y) in lines.items()]
    scaled = {label: (x / divisor, y) for label, (x, y) in lines.items()}
    return Figure(
        title="Validation PSNR during training",
        draw=_drawing(scaled, f"training time, {unit}", "PSNR on public images, dB", logarithmic=False),
        alternative="Validation PSNR over training time: "
        + "; ".join(f"{label} ends at {end} dB after {time} {unit}" for label, end, _, time in ends)
        + ".",
        caption="Measured on public images held out of the training. Where a curve still rises, longer training would "
        "make the attack stronger.",
        numbers=Table(("", "last, dB", "best, dB", f"time, {unit}"), tuple(ends)),
    )


def _losses(entry: Entry) -> Figure | None:
    keys = dict.fromkeys(key for row in entry.history for key in row if key.startswith(_LOSS))
    lines = {key.removeprefix(_LOSS): _series(entry.history, key, "images") for key in keys}
    lines = {name: line for name, line in list(lines.items())[: len(plots.LINES)] if line[0].size}
    if not lines:
        return None
    positive = all((y > 0).all() for _, y in lines.values())
    ends = [(name, f"{y[0]:.4g}", f"{y[-1]:.4g}") for name, (_, y) in lines.items()]
    return Figure(
        title=f"Losses of {entry.label}",
        draw=_drawing(lines, "images seen in training", "loss", logarithmic=positive),
        alternative=f"Training losses of {entry.label}: "
        + "; ".join(f"{name} from {begin} to {end}" for name, begin, end in ends)
        + ".",
        caption="Each term before its weight.",
        numbers=Table(("", "first", "last"), tuple(ends)),
    )


def _drawing(lines: Mapping[str, Line], across: str, up: str, *, logarithmic: bool) -> Callable[[], str]:
    return lambda: _draw_lines(lines, across, up, logarithmic=logarithmic)


def _draw_lines(lines: Mapping[str, Line], across: str, up: str, *, logarithmic: bool) -> str:
    with plots.styled_figure(2.7) as figure:
        axes = figure.subplots()
        for place, (name, (x, y)) in enumerate(lines.items()):
            (line,) = axes.plot(x, y, label=plots.shortened(name), marker="o" if len(x) < 2 else "", markersize=3)
            line.set(color=plots.LINES[place % _CURVES], linestyle=plots.DASHES[place % len(plots.DASHES)])
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:.3g}")
            axes.tick_params(axis="y", which="minor", labelsize=7)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.legend(loc="best")
        return plots.as_svg(figure)
