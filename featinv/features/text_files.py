"""Reading vectors from CSV and JSON Lines."""

import contextlib
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from featinv.errors import BadInput
from featinv.features.choosing import (
    FEATURES,
    PANDAS_INDEX,
    Content,
    Entry,
    ambiguous,
    as_names,
    choose_features,
    choose_ids,
    is_id_name,
    said,
)
from featinv.files import unreadable, within

ROWS_AT_ONCE = 4096
_INTEGER = re.compile(r"[+-]?\d+")
_LARGEST_CELL = 2**30
BROKEN = (csv.Error, ValueError, OverflowError, RecursionError, OSError)


def read_csv(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read the numbered columns (f0, f1, ...) or the column of lists in JSON, and the column of names.

    The separator is the comma, semicolon or tab that the first line has most of, else the space. Without a line of
    headings every column belongs to the vector. Names are kept as they are written, zeros in front included.
    """
    try:
        with _large_cells(), open(path, newline="", encoding="utf-8-sig") as file:
            separator = _separator(path, file.readline())
            file.seek(0)
            rows = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=separator == " ")
            return _of_rows(path, (row for row in rows if row), limit, column, id_column)
    except BadInput:
        raise
    except BROKEN as error:
        raise unreadable(path, "a CSV file of numbers in UTF-8", error) from error


def read_jsonl(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read one object a line, {"id": ..., "embedding": [...]}; the first line says which keys there are."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            objects = _objects(path, file)
            first = next(objects, None)
            if first is None:
                raise BadInput(f"{path}: expected at least one vector, got an empty file")
            entries = [_json_entry(name, value) for name, value in first[1].items()]
            chosen = choose_features(path, entries, column)
            named = choose_ids(path, entries, [chosen.name], id_column)
            rows, names = _Rows(path, limit), []
            for number, item in (first, *objects):
                rows.add(_listed_numbers(path, number, chosen.name, item.get(chosen.name)), number)
                names += [] if named is None else [item.get(named.name)]
            ids = None if named is None else as_names(path, named.name, names)
            return Content(rows.all(), ids, said(entries, repr(chosen.name), named))
    except BadInput:
        raise
    except BROKEN as error:
        raise unreadable(path, "JSON Lines, an object a line", error) from error


class _Rows:
    """Collects rows of one width as float32; no more bytes than allowed."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.blocks: list[np.ndarray] = []
        self.held = 0

    def add(self, numbers: np.ndarray, line: int) -> None:
        """Add (D,) or (B, D)."""
        with np.errstate(over="ignore"):
            block = np.atleast_2d(numbers).astype(np.float32)
        if self.blocks and block.shape[1] != self.blocks[0].shape[1]:
            raise BadInput(
                f"{self.path}: expected vectors of one width, got {self.blocks[0].shape[1]} numbers at first and "
                f"{block.shape[1]} in line {line}; store those of one encoder"
            )
        self.held += block.nbytes
        within(self.path, self.held, self.limit)
        self.blocks.append(block)

    def all(self) -> np.ndarray:
        return np.concatenate(self.blocks) if self.blocks else np.zeros((0, 0), dtype=np.float32)


def _objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        item = json.loads(line)
        if not isinstance(item, dict):
            raise BadInput(f"{path}: expected a JSON object in every line, got {type(item).__name__} in line {number}")
        yield number, item


def _json_entry(name: str, value: object) -> Entry:
    if isinstance(value, str):
        return Entry(name, "text", "text")
    if isinstance(value, list):
        numbers = bool(value) and {type(number) for number in value} <= {int, float}
        return Entry(name, "vectors" if numbers else "other", f"a list of {len(value)}")
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Entry(name, "integers" if whole else "other", "a null" if value is None else type(value).__name__)


def _listed_numbers(path: Path, line: int, name: str, value: object) -> np.ndarray:
    if not isinstance(value, list) or not {type(number) for number in value} <= {int, float}:
        got = "no such key" if value is None else type(value).__name__
        raise BadInput(f"{path}: expected a list of numbers under {name!r} in every line, got {got} in line {line}")
    return np.array(value, dtype=np.float64)


def _of_rows(path: Path, rows: Iterator[list[str]], limit: int, column: str | None, id_column: str | None) -> Content:
    first = next(rows, None)
    if first is None:
        raise BadInput(f"{path}: expected at least one vector, got an empty file")
    if all(map(_is_number, first)):
        if column is not None or id_column not in (None, "none"):
            raise BadInput(f"{path}: expected a line of headings for {column or id_column!r}, got numbers; add one")
        numbers, _ = _read_rows(path, [first], rows, list(range(len(first))), None, len(first), limit)
        return Content(numbers, None, (f"no line of headings: vectors of all {len(first)} columns; no ids",))
    headings = [PANDAS_INDEX if not name and place == 0 else name for place, name in enumerate(first)]
    if twice := sorted({name for name in headings if headings.count(name) > 1}):
        raise BadInput(f"{path}: expected columns of different names, got {twice[0]!r} twice; rename one")
    sample = next(rows, None)
    if sample is None:
        raise BadInput(f"{path}: expected at least one vector, got headings alone")
    entries = [_csv_entry(name, cell) for name, cell in zip(headings, sample, strict=False)]
    columns = _vector_columns(path, entries, column)
    named = choose_ids(path, entries, columns, id_column)
    places = [headings.index(name) for name in columns]
    at = None if named is None else headings.index(named.name)
    lists = entries[places[0]].kind == "vectors"
    numbers, names = _read_rows(path, [sample], rows, places, at, len(headings), limit, lists=lists)
    words = repr(columns[0]) if len(columns) == 1 else f"the numbered columns {columns[0]!r} to {columns[-1]!r}"
    ids = None if named is None else as_names(path, named.name, names)
    return Content(numbers, ids, said(entries, words, named))


def _csv_entry(name: str, cell: str) -> Entry:
    if cell.startswith("["):
        return Entry(name, "vectors", "lists")
    whole = _INTEGER.fullmatch(cell) is not None
    if name == PANDAS_INDEX and whole:
        return Entry(name, "integers", "whole numbers")
    # A name such as 007 is no number.
    if is_id_name(name) or not _is_number(cell):
        return Entry(name, "text", "text")
    return Entry(name, "integers" if whole else "other", "whole numbers" if whole else "numbers")


def _vector_columns(path: Path, entries: Sequence[Entry], column: str | None) -> list[str]:
    """Choose the column of lists, else the only run of numbered columns of numbers."""
    if column is not None or any(entry.kind == "vectors" or entry.name in FEATURES for entry in entries):
        chosen = choose_features(path, entries, column)
        if chosen.kind != "vectors":
            raise BadInput(f"{path}: expected lists in JSON in {chosen.name!r}, got {chosen.type}; correct --column")
        return [chosen.name]
    matches = [re.fullmatch(r"(.*?)(\d{1,9})", entry.name) for entry in entries if entry.kind != "text"]
    parts = sorted((match[1], int(match[2]), match[0]) for match in matches if match is not None)
    runs = [list(run) for _, run in groupby(parts, key=lambda part: part[0])]
    full = [run for run in runs if len(run) > 1 and [part[1] - run[0][1] for part in run] == list(range(len(run)))]
    if len(full) != 1 or full[0][0][1] > 1 or any(len(run) > 1 for run in runs if run not in full):
        raise ambiguous(path, entries)
    columns = [name for _, _, name in full[0]]
    if any(entry.kind == "other" and entry.name not in columns for entry in entries):
        raise ambiguous(path, entries)
    return columns


def _read_rows(
    path: Path,
    first: list[list[str]],
    rest: Iterator[list[str]],
    places: Sequence[int],
    at: int | None,
    width: int,
    limit: int,
    *,
    lists: bool = False,
) -> tuple[np.ndarray, list[str]]:
    rows, names = _Rows(path, limit), []
    block: list[list[str]] = []
    line = 0
    for line, row in enumerate((*first, *rest), start=1):
        if len(row) != width:
            raise BadInput(f"{path}: expected {width} columns in every row, got {len(row)} in row {line}")
        names += [] if at is None else [row[at]]
        if lists:
            rows.add(_parsed_list(path, row[places[0]], line), line)
            continue
        block.append([row[place] for place in places])
        if len(block) == ROWS_AT_ONCE:
            rows.add(_numbers(path, block, line), line)
            block = []
    if block:
        rows.add(_numbers(path, block, line), line)
    return rows.all(), names


def _numbers(path: Path, block: list[list[str]], last: int) -> np.ndarray:
    try:
        return np.array(block, dtype=np.float64)
    except ValueError as error:
        places = ((row, cell) for row, cells in enumerate(block) for cell in cells if not _is_number(cell))
        row, cell = next(places, (0, ""))
        raise BadInput(
            f"{path}: expected numbers in every row, got {cell[:40]!r} in row {last - len(block) + row + 1}; leave "
            "such rows out"
        ) from error


def _parsed_list(path: Path, cell: str, line: int) -> np.ndarray:
    inside = cell.strip().removeprefix("[").removesuffix("]")
    parts = inside.split(",") if "," in inside else inside.split()
    if not all(map(_is_number, parts)) or not parts:
        raise BadInput(f"{path}: expected a list of numbers in every row, got {cell[:40]!r} in row {line}")
    return np.array([float(part) for part in parts])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _separator(path: Path, line: str) -> str:
    counts = {separator: line.count(separator) for separator in (",", ";", "\t")}
    best = max(counts, key=lambda separator: counts[separator])
    if path.suffix.lower() == ".tsv":
        return "\t"
    return best if counts[best] or " " not in line.strip() else " "


@contextlib.contextmanager
def _large_cells() -> Iterator[None]:
    """Lift the limit of the csv module, which is one for the whole process, while a file is read."""
    usual = csv.field_size_limit(_LARGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(usual)
