"""Figures in the paper's manner: rows of images with their numbers under them, and curves with their intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

import featinv as fi
from featinv.evaluation.judging import as_uint8

INCH = 1.05
CONTROLS = ("mean image", "nearest neighbour", "ridge")
"""without epochs, and drawn thin"""
COLOURS = {
    "mean image": "#8b949e",
    "nearest neighbour": "#1f2328",
    "ridge": "#1a7f37",
    "listik": "#bc4c00",
    "upsampling": "#0969da",
    "two surrogates": "#8250df",
}
OTHER = "#bf3989"
SIDES: dict[str, Literal["-", "--"]] = {"unseen": "-", "training": "--"}


def sheet(rows: Mapping[str, Sequence[tuple[Tensor, str]]], path: Path, title: str) -> None:
    """Draw named rows of (image (3, S, S) in [0, 1], caption) to a PNG."""
    columns = max(len(row) for row in rows.values())
    figure = Figure(figsize=(INCH * columns + 1.3, (INCH + 0.42) * len(rows) + 0.4), layout="constrained", dpi=120)
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, row) in zip(grid, rows.items(), strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, (image, caption) in zip(line, row, strict=False):
            axes.imshow(as_uint8(image[None])[0], interpolation="nearest")
            axes.text(0.5, -0.05, caption, transform=axes.transAxes, ha="center", va="top", fontsize=6.5)
        line[0].text(-0.08, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=7.5)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with fi.files.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")


def curves(
    measures: Mapping[tuple[str, int], list[dict[str, Any]]], path: Path, *, against: str, chance: float | None
) -> None:
    """Draw PSNR, agreement and re-identification against "count" (ends of training) or "epochs" (of every model)."""
    figure = Figure(figsize=(12, 3.6), layout="constrained", dpi=110)
    words = {"psnr": "PSNR, dB", "agreement": "label agreement, %", "reid_top10": "found in the top 10, %"}
    names = [name for name in dict.fromkeys(name for name, _ in measures) if against == "count" or name not in CONTROLS]
    for axes, (metric, label) in zip(figure.subplots(1, 3), words.items(), strict=True):
        for name in names:
            _lines(axes, name, measures, metric, against)
        if metric == "reid_top10" and chance is not None:
            axes.axhline(100 * chance, color="#8b949e", linestyle=":", linewidth=0.8)
            axes.annotate("chance", (0.01, 100 * chance), xycoords=("axes fraction", "data"), fontsize=6.5, va="bottom")
        axes.set_xscale("log")
        axes.set_xlabel("training images" if against == "count" else "epochs (darker: more training images)")
        axes.set_ylabel(label)
        axes.grid(color="#d8dee4", linewidth=0.5)
    keys = [Line2D([], [], color=COLOURS.get(name, OTHER), label=name) for name in names]
    keys += [Line2D([], [], color="#1f2328", linestyle=SIDES[side], label=side) for side in SIDES]
    figure.legend(handles=keys, loc="outside right center", fontsize=8, frameon=False)
    save(figure, path)


def _lines(axes: Axes, name: str, measures: Mapping[Any, list[dict[str, Any]]], metric: str, against: str) -> None:
    rows = [rows for (other, _), rows in measures.items() if other == name]
    lines = [[model[-1] for model in rows]] if against == "count" else rows
    for number, line in enumerate(lines):
        for side, dash in SIDES.items():
            if side == "training" and name in ("mean image", "nearest neighbour"):
                continue  # the neighbour of a training image is itself, and the mean image has no sides
            points = [row[side][metric] for row in line]
            scale = 1 if metric == "psnr" else 100
            x = np.array([row[against] for row in line])
            y, low, high = (scale * np.array([point[key] for point in points]) for key in ("mean", "low", "high"))
            colour = COLOURS.get(name, OTHER)
            shade = 1.0 if against == "count" else 0.3 + 0.7 * (number + 1) / len(lines)
            width = 1.0 if name in CONTROLS else 1.7
            axes.plot(x, y, dash, color=colour, linewidth=width, alpha=shade, marker=".")
            axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
