"""Reading a scoreboard that somebody wrote."""

import math
from pathlib import Path
from typing import Any

from featinv import files
from featinv.errors import BadInput
from featinv.evaluation.attack_score import KINDS, AttackScore
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.intervals import Interval
from featinv.evaluation.leak_level import read_level
from featinv.evaluation.scoreboard import ARRAYS_NAME, JSON_NAME, SCHEMA, Scoreboard, read_arrays


def load_scoreboard(path: Path | str) -> Scoreboard:
    """Read a scoreboard from its folder or from its JSON file; the arrays beside it are read when they are there.

    Raises BadInput that names the file when it is missing, truncated, no scoreboard, of another schema, or holds NaN.
    """
    path = Path(path)
    file = path / JSON_NAME if path.is_dir() else path
    document = files.read_json(file)
    if not isinstance(document, dict) or "attacks" not in document:
        raise BadInput(f"{file}: expected a scoreboard, got other JSON")
    schema = document.get("schema")
    if schema != SCHEMA:
        raise BadInput(
            f"{file}: expected schema {SCHEMA}, got {schema!r}; read it with the featinv that wrote it, or run the "
            "comparison again (schema 2 renamed rows and keys)"
        )
    _check_finite(document, file)
    try:
        attacks = tuple(_row(row) for row in document["attacks"])
        victim, protocol = dict(document["victim"]), dict(document["protocol"])
        Catalogue.of(protocol)
        _check_attributes(protocol.get("attributes") or {})
        level = read_level(document["leak_level"]) if document.get("leak_level") else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{file}: expected a scoreboard of schema {SCHEMA}, but it lacks a part ({error!r})") from error
    return Scoreboard(victim, protocol, attacks, read_arrays(file.parent / ARRAYS_NAME), level)


def _row(row: dict[str, Any]) -> AttackScore:
    if row["kind"] not in KINDS:
        raise ValueError(f"kind {row['kind']!r}")
    return AttackScore(
        name=str(row["name"]),
        kind=row["kind"],
        role=str(row.get("role", row["kind"])),
        metrics=_metrics(row["metrics"]),
        metrics_by={view: _metrics(metrics) for view, metrics in row["metrics_by"].items()},
        seconds=float(row["seconds"]),
        seconds_by={key: float(value) for key, value in row.get("seconds_by", {}).items()},
        parameters=int(row["parameters"]),
        notes=tuple(str(note) for note in row.get("notes", ())),
    )


def _metrics(metrics: dict[str, Any]) -> dict[str, Interval]:
    return {name: read_interval(shape) for name, shape in metrics.items()}


def read_interval(shape: dict[str, Any]) -> Interval:
    """Return the interval that `interval_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
    chance = shape.get("chance")
    return Interval(
        float(shape["mean"]),
        float(shape["low"]),
        float(shape["high"]),
        int(shape["n"]),
        None if chance is None else float(chance),
    )


def _check_attributes(attributes: dict[str, Any]) -> None:
    for known in attributes.values():
        read_interval(known["vector"])
        read_interval(known["original"])
        float(known["prior"])


def _check_finite(value: Any, file: Path) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _check_finite(part, file)
    elif isinstance(value, list):
        for part in value:
            _check_finite(part, file)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{file}: expected finite numbers, got {value}; the file was not written by featinv")
