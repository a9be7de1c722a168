"""How the attacks learnt: validation on public images, and the terms of each loss."""

from collections.abc import Sequence

import numpy as np

from featinv.report.document import Figure, Table
from featinv.report.drawing import DASHES, LINES, as_svg, drawn, shortened
from featinv.report.entries import Entry
from featinv.report.finished_run import Rows

_VALIDATION = "val/psnr"
_LOSS = "train/loss/"
_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (0.0, "seconds"))


def learning_figures(listed: Sequence[Entry]) -> list[Figure]:
    """Return the validation of all trained attacks together, and a figure of the losses of each."""
    trained = [entry for entry in listed if entry.history]
    figures = [_validation(trained)] if any(_series(entry.history, _VALIDATION)[0].size for entry in trained) else []
    return figures + [figure for entry in trained if (figure := _losses(entry)) is not None]


def _series(rows: Rows, key: str, at: str = "seconds") -> tuple[np.ndarray, np.ndarray]:
    kept = [(row[at], row[key]) for row in rows if at in row and key in row]
    return np.array([x for x, _ in kept]), np.array([y for _, y in kept])


def _validation(trained: Sequence[Entry]) -> Figure:
    lines = {entry.label: _series(entry.history, _VALIDATION) for entry in trained}
    lines = {label: line for label, line in lines.items() if line[0].size}
    longest = max(float(x[-1]) for x, _ in lines.values())
    divisor, unit = next((size or 1.0, unit) for size, unit in _UNITS if longest >= 2 * size)
    ends = [(label, f"{y[-1]:.2f}", f"{y.max():.2f}", f"{x[-1] / divisor:.3g}") for label, (x, y) in lines.items()]
    scaled = {label: (x / divisor, y) for label, (x, y) in lines.items()}
    return Figure(
        title="Validation PSNR while training",
        image=_draw(scaled, f"training time, {unit}", "PSNR on public images, dB", logarithmic=False),
        alternative="Validation PSNR over training time: "
        + "; ".join(f"{label} ends at {end} dB after {time} {unit}" for label, end, _, time in ends)
        + ".",
        caption="Measured on public images held out of the training. A curve that still rises has not shown all "
        "that its attack can do.",
        numbers=Table(("", "last, dB", "best, dB", f"time, {unit}"), tuple(ends)),
    )


def _losses(entry: Entry) -> Figure | None:
    keys = dict.fromkeys(key for row in entry.history for key in row if key.startswith(_LOSS))
    lines = {key.removeprefix(_LOSS): _series(entry.history, key, "images") for key in keys}
    lines = {name: line for name, line in list(lines.items())[: len(LINES)] if line[0].size}
    if not lines:
        return None
    positive = all((y > 0).all() for _, y in lines.values())
    ends = [(name, f"{y[0]:.4g}", f"{y[-1]:.4g}") for name, (_, y) in lines.items()]
    return Figure(
        title=f"Losses of {entry.label}",
        image=_draw(lines, "images seen in training", "loss", logarithmic=positive),
        alternative=f"Training losses of {entry.label}: "
        + "; ".join(f"{name} from {begin} to {end}" for name, begin, end in ends)
        + ".",
        caption="Each term as it is, before its weight.",
        numbers=Table(("", "first", "last"), tuple(ends)),
    )


def _draw(lines: dict[str, tuple[np.ndarray, np.ndarray]], across: str, up: str, *, logarithmic: bool) -> str:
    with drawn(2.7) as (figure, axes):
        for place, (name, (x, y)) in enumerate(lines.items()):
            (line,) = axes.plot(x, y, label=shortened(name), marker="o" if len(x) < 2 else "", markersize=3)
            line.set(color=LINES[place % len(LINES)], linestyle=DASHES[place % len(DASHES)])
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:.3g}")
            axes.tick_params(axis="y", which="minor", labelsize=7)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.legend(loc="best")
        return as_svg(figure)
