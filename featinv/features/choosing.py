"""Which entry of a file holds the vectors and which one names the images: by rule, and said."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np

from featinv.data.naming import name_group
from featinv.errors import BadInput

FEATURES = ("features", "embedding", "embeddings", "vector", "vectors")
"""Names of entries with vectors. `features` always wins; two of the others are ambiguous."""

PANDAS_INDEX = "__index_level_0__"
NO_IDS = "none"
"""As `id_column`: the file names no images, and its rows are in the order of the images."""


@final
@dataclass(frozen=True)
class Entry:
    """A column, array, tensor or list of a file: its name, what it can hold, its type in words, and its rows."""

    name: str
    kind: Literal["vectors", "text", "integers", "other"]
    type: str
    count: int | None = None


@final
@dataclass(frozen=True)
class Content:
    """What was read from a file: an array of N vectors, perhaps N names, and what was chosen by rule."""

    features: np.ndarray
    ids: list[str] | None = None
    notes: tuple[str, ...] = ()


def choose_features(path: Path, entries: Sequence[Entry], column: str | None) -> Entry:
    """Choose the entry of vectors: the one asked for, else by name, else the only one. Raises BadInput listing all."""
    by_name = {entry.name: entry for entry in entries}
    if column is not None:
        if column not in by_name:
            raise BadInput(f"{path}: expected vectors in {column!r} as asked, got {_listed(entries)}; correct --column")
        return by_name[column]
    named = [by_name[name] for name in FEATURES if name in by_name]
    if named and (named[0].name == "features" or len(named) == 1):
        return named[0]
    vectors = named or [entry for entry in entries if entry.kind == "vectors"]
    if not vectors:
        # One entry alone is read, so that a wrong shape or type is named.
        vectors = [entry for entry in entries if entry.kind == "other" and _group(entry) is None]
    if len(vectors) == 1:
        return vectors[0]
    raise ambiguous(path, entries)


def ambiguous(path: Path, entries: Sequence[Entry]) -> BadInput:
    """Return the error for a file in which no entry is the one of vectors by rule."""
    return BadInput(
        f"{path}: expected vectors named {', '.join(FEATURES[:-1])} or {FEATURES[-1]}, or one entry of vectors alone, "
        f"got {_listed(entries)}; say which with --column NAME (load_features: column=)"
    )


def choose_ids(
    path: Path, entries: Sequence[Entry], features: Sequence[str], id_column: str | None, count: int | None = None
) -> Entry | None:
    """Choose the entry of names: the one asked for, else by name, else the only text of `count` rows; None without any.

    Raises BadInput where several could be meant, or where one that is named like names cannot be read as names.
    """
    others = [entry for entry in entries if entry.name not in features]
    if id_column is not None:
        return _asked(path, entries, id_column)
    recognised = [entry for entry in others if _group(entry) is not None]
    for entry in recognised:
        if _group(entry) == 0 and entry.kind not in ("text", "integers"):
            raise _not_names(path, entry)
    if text := [entry for entry in recognised if entry.kind == "text"]:
        first = min(_group(entry) or 0 for entry in text)
        return _only(path, [entry for entry in text if (_group(entry) or 0) == first])
    for entry in recognised:
        # An array called images holds pixels, and a pandas index of numbers is a count.
        if entry.name != PANDAS_INDEX and (entry.kind != "vectors" or _group(entry) == 0):
            raise _not_names(path, entry)
    rest = [entry for entry in others if entry.kind == "text" and (count is None or entry.count == count)]
    return _only(path, rest) if rest else None


def said(entries: Sequence[Entry], features: str, ids: Entry | None) -> tuple[str, ...]:
    """Say what was read, where there was a choice or where names were found."""
    names = f"ids from {ids.name!r}" if ids is not None else "no ids"
    return (f"vectors from {features} of {len(entries)} in the file; {names}",)


def as_names(path: Path, name: str, values: Sequence[object]) -> list[str]:
    """Return these values as text: strings, bytes in UTF-8, whole numbers. Raises BadInput that names the first other.

    Values are decoded one by one, because a name that is lost would leave its row to chance.
    """
    names: list[str] = []
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BadInput(
                    f"{path}: expected names in {name!r}, got bytes that are not UTF-8 in row {row}; say another entry "
                    "with --id-column NAME"
                ) from error
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
            got = "a null" if value is None else type(value).__name__
            raise BadInput(f"{path}: expected a name in every row of {name!r}, got {got} in row {row}; correct the ids")
        names.append(str(value))
    return names


def is_id_name(name: str) -> bool:
    """Say whether a column of this name is taken for the images' names."""
    return name_group(name) is not None


def _asked(path: Path, entries: Sequence[Entry], id_column: str) -> Entry | None:
    for entry in entries:
        if entry.name == id_column:
            if entry.kind not in ("text", "integers"):
                raise _not_names(path, entry)
            return entry
    if id_column == NO_IDS:
        return None
    raise BadInput(
        f"{path}: expected names in {id_column!r} as asked, got {_listed(entries)}; correct --id-column, or give "
        f"{NO_IDS} where the rows are in the order of the images"
    )


def _only(path: Path, entries: Sequence[Entry]) -> Entry:
    if len(entries) > 1:
        raise BadInput(
            f"{path}: expected one entry that names the images, got {_listed(entries)}; say which with --id-column "
            f"NAME, or {NO_IDS} where the rows are in the order of the images"
        )
    return entries[0]


def _not_names(path: Path, entry: Entry) -> BadInput:
    return BadInput(
        f"{path}: expected {entry.name!r} to hold names as text, got {entry.type}; say another entry with --id-column "
        f"NAME, or {NO_IDS} where the rows are in the order of the images"
    )


def _group(entry: Entry) -> int | None:
    return name_group(entry.name)


def _listed(entries: Sequence[Entry]) -> str:
    listed = ", ".join(f"{entry.name!r} ({entry.type})" for entry in entries[:8])
    return f"{len(entries)}: {listed or 'none'}{', ...' if len(entries) > 8 else ''}"
