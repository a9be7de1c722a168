"""The record of one run, as plain data: no tracker, no network, nothing that can fail halfway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

Pixels = UInt8[ndarray, "H W 3"]
CURVE_STEP = "images"
"""x-axis of learning curves: images seen, which compares batch sizes fairly."""


@dataclass(frozen=True)
class RunTable:
    """Rows of numbers, text and 8-bit images under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Plot:
    """A plot that wandb draws from a table; `kind` is "bar" (label, value), "scatter" or "line" (x, y).

    A line plot has a line for each value of the table's first column.
    """

    kind: str
    table: RunTable
    first: str
    second: str
    title: str


@dataclass(frozen=True)
class Reference:
    """A folder that the run made or used; its content is uploaded only when asked for."""

    name: str
    kind: str
    folder: Path
    metadata: Mapping[str, Any]
    made: bool
    """made by this run (else used by it)"""


@dataclass(frozen=True)
class RunRecord:
    """Everything that one run logs: settings, curves, scores, files."""

    name: str
    job_type: str
    config: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    curves: Sequence[Mapping[str, int | float]] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, RunTable] = field(default_factory=dict)
    images: Mapping[str, Pixels] = field(default_factory=dict)
    plots: Mapping[str, Plot] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()

    @property
    def key(self) -> str:
        """Return a key that is unique in its study: an attack may be called "comparison"."""
        return f"{self.job_type}/{self.name}"
