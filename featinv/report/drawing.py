"""How the figures look, and how they become part of a page that loads nothing."""

import base64
import contextlib
import io
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

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


@contextlib.contextmanager
def drawn(height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of the report's width and its axes, in the report's style."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)  # whatever backend the caller's own windows have
        yield figure, figure.subplots()


def as_svg(figure: Figure) -> str:
    """Return the figure as a data URI; the same figure gives the same bytes."""
    out = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"


def as_png(image: Image.Image) -> str:
    """Return an image as a data URI."""
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def shortened(name: str, most: int = 26) -> str:
    """Return a name that fits beside a figure."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
