"""The scoreboard: frozen rows, per-image arrays, one JSON file and one .npz file."""

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from featinv import files
from featinv.errors import BadInput
from featinv.evaluation.attack_score import KINDS, AttackScore
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.ceiling_text import check_ceiling
from featinv.evaluation.columns import Columns
from featinv.evaluation.intervals import Interval
from featinv.evaluation.leak_level import LeakLevel, Thresholds, read_level
from featinv.evaluation.levels import assess
from featinv.evaluation.notebook import as_frame, as_html
from featinv.evaluation.recovered_record import read_cell_variance, read_recovered
from featinv.evaluation.table import render
from featinv.evaluation.versus import Versus, decide, difference

SCHEMA = 2
"""Version of the JSON's public shape; it grows by new keys only, and changes when a key changes its meaning."""
JSON_NAME = "scoreboard.json"
ARRAYS_NAME = "per_image.npz"
ARRAYS_LIMIT = 8 * 2**30
"""Bytes of unpacked per-image numbers that we are willing to read."""


def save(folder: Path, document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write both files, the arrays first, so that a JSON never speaks of arrays that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(folder / ARRAYS_NAME) as temporary, open(temporary, "wb") as out:
        np.savez_compressed(out, **dict(arrays))  # type: ignore[arg-type]  # the stub knows no names but its flag
    files.write_json(folder / JSON_NAME, document)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read the numbers per image, without pickle; none when the file is missing. BadInput names a broken file."""
    if not file.is_file():
        return {}
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        arrays = {} if unpacked > ARRAYS_LIMIT else _unpacked(file)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError) as error:
        raise BadInput(f"{file}: expected numeric arrays, but it is truncated or something else ({error})") from error
    if unpacked > ARRAYS_LIMIT:
        raise BadInput(f"{file}: expected at most {ARRAYS_LIMIT} bytes of numbers, got {unpacked}")
    return arrays


def _unpacked(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@dataclass(frozen=True, eq=False)
class Scoreboard:
    """Rows of numbers with intervals, controls first, with the victim, the protocol and the numbers of every image.

    `per_image` maps "<attack>/<metric>" (first judge, whole gallery) and "<attack>/<metric>/<view>" to (N,) arrays in
    the order of the release. `leak_level` is the verdict (None on boards of older versions). `print(board)` shows all.
    """

    victim: dict[str, Any]
    protocol: dict[str, Any]
    attacks: tuple[AttackScore, ...]
    per_image: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    leak_level: LeakLevel | None = None

    def __str__(self) -> str:
        table = render(self.victim, self.protocol, self.attacks)
        return table if self.leak_level is None else f"{table}\n\n{self.leak_level}"

    def _repr_html_(self) -> str:
        return as_html(self.protocol, self.attacks, "" if self.leak_level is None else self.leak_level.sentence)

    def to_frame(self) -> Any:
        """Return every number as a row of a pandas frame (row, kind, role, view, metric, mean, low, high, n, chance).

        Raises BadInput where pandas is not installed.
        """
        return as_frame(self.attacks)

    def __getitem__(self, name: str) -> AttackScore:
        """Return the row called `name`; BadInput lists the names that exist."""
        for row in self.attacks:
            if row.name == name:
                return row
        raise BadInput(f"scoreboard: no row {name!r}; there are {', '.join(repr(row.name) for row in self.attacks)}")

    def as_json(self) -> dict[str, Any]:
        """Return the public shape of `scoreboard.json`."""
        return {
            "schema": SCHEMA,
            "victim": self.victim,
            "protocol": self.protocol,
            "attacks": [row.as_json() for row in self.attacks],
            "leak_level": None if self.leak_level is None else self.leak_level.as_json(),
        }

    def assess(self, *, named: str | None = None, thresholds: Thresholds | None = None) -> LeakLevel:
        """Return the level of the leak anew, by other thresholds or for an attack named beforehand.

        Raises BadInput when `named` is no control or attack of the board.
        """
        return assess(self.protocol, self.attacks, self.per_image, named=named, thresholds=thresholds)

    def save(self, folder: Path | str) -> None:
        """Write `scoreboard.json` and `per_image.npz` into `folder`, atomically; BadInput when the disk is full."""
        save(Path(folder), self.as_json(), self.per_image)

    @overload
    def versus(self, first: str | Sequence[str], second: str | Sequence[str]) -> Versus: ...

    @overload
    def versus(self, first: str | Sequence[str], second: str | Sequence[str], metric: str) -> Interval: ...

    def versus(
        self, first: str | Sequence[str], second: str | Sequence[str], metric: str | None = None
    ) -> Versus | Interval:
        """Say whether the first attack is stronger than the second, family by family and in pairs of images.

        Several names a side are trainings of one attack with different seeds; these are then a second level of chance.
        With `metric` (a per-image name such as "psnr", "reid_top10" or "judge_cosine/low-pass"): the mean of
        `first - second` and its interval. Raises BadInput for a row or a metric that was not measured, for a row on
        both sides of a verdict, and for a scoreboard without numbers per image.
        """
        left, right = _group(first), _group(second)
        resamples, seed = int(self.protocol["resamples"]), int(self.protocol["seed"])
        columns = Columns(self.per_image, self.protocol, self.attacks)
        if metric is not None:
            return difference(columns, left, right, metric, resamples=resamples, seed=seed)
        return decide(columns, left, right, resamples=resamples, seed=seed)


def _group(side: str | Sequence[str]) -> tuple[str, ...]:
    names = (side,) if isinstance(side, str) else tuple(side)
    if not names or len(set(names)) < len(names):
        raise BadInput(f"versus: expected different names of rows, got {list(names)}")
    return names


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
        check_ceiling(protocol.get("ceiling"))
        read_recovered(protocol)
        read_cell_variance(protocol)
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
    for attribute in attributes.values():
        read_interval(attribute["vector"])
        read_interval(attribute["original"])
        float(attribute["prior"])


def _check_finite(value: Any, file: Path) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _check_finite(part, file)
    elif isinstance(value, list):
        for part in value:
            _check_finite(part, file)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{file}: expected finite numbers, got {value}; the file was not written by featinv")
