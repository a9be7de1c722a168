"""Reading vectors from tables: parquet, Arrow, `datasets`, Lance."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featinv.data.tables import Table, open_table
from featinv.errors import BadInput
from featinv.features.choosing import FEATURES, Content, Entry, ambiguous, as_names, choose_features, choose_ids, said
from featinv.files import unreadable, within


def read_table(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read the column of vectors (lists of one length, or numbered columns f0, f1, ...), and the column of names."""
    table = open_table(path)
    entries = entries_of(table)
    columns = _columns(path, entries, column)
    named = choose_ids(path, entries, columns, id_column)
    wanted = columns if named is None else [*columns, named.name]
    blocks: list[np.ndarray] = []
    names: list[object] = []
    held = 0
    for batch in table.batches(wanted):
        blocks.append(_rows(path, batch, columns))
        # Counted as they come: a compressed file can hold far more than its size.
        held += blocks[-1].nbytes + (0 if named is None else batch.column(named.name).nbytes)
        within(path, held, limit)
        names += [] if named is None else names_of(path, batch, named.name)
    if len(widths := sorted({block.shape[1] for block in blocks})) > 1:
        raise BadInput(f"{path}: expected lists of one length, got several ({widths[:4]}); store vectors of one width")
    features = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
    words = repr(columns[0]) if len(columns) == 1 else f"the numbered columns {columns[0]!r} to {columns[-1]!r}"
    ids = None if named is None else as_names(path, named.name, names)
    shards = (f"{table.form}, {len(table.files)} files in the order of their numbers",) if len(table.files) > 1 else ()
    return Content(features, ids, (*shards, *said(entries, words, named)))


def entries_of(table: Table) -> list[Entry]:
    """Return the columns of a table and what they can hold."""
    return [_entry(field.name, field.type) for field in table.schema]


def names_of(path: Path, batch: Any, name: str) -> list[object]:
    """Return the values of a column of names. Raises BadInput for text that is not UTF-8."""
    try:
        return list(batch.column(name).to_pylist())
    except UnicodeDecodeError as error:
        raise unreadable(path, "names in UTF-8", error) from error


def _entry(name: str, kind: Any) -> Entry:
    import pyarrow as pa

    held = kind.value_type if pa.types.is_dictionary(kind) else kind
    if _is_text(held):
        return Entry(name, "text", str(kind))
    if pa.types.is_integer(held):
        return Entry(name, "integers", str(kind))
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    # Lists of whole numbers may be vectors, too: they make a choice ambiguous, and are refused where chosen.
    return Entry(name, "vectors" if lists and not _is_text(kind.value_type) else "other", str(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    tests = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_fixed_size_binary")
    # Views are of pyarrow 16 and later.
    return any(getattr(pa.types, test, _never)(kind) for test in (*tests, "is_binary_view"))


def _never(kind: Any) -> bool:
    return False


def _columns(path: Path, entries: Sequence[Entry], column: str | None) -> list[str]:
    """Choose the columns of vectors: one of lists, else all floating-point columns where these are numbered."""
    floats = [entry.name for entry in entries if entry.type in ("halffloat", "float", "double")]
    lists = any(entry.kind == "vectors" for entry in entries)
    if column is None and not lists and not {entry.name for entry in entries} & set(FEATURES):
        if not (numbered := _numbered(floats)):
            raise ambiguous(path, entries)
        return numbered
    return [choose_features(path, entries, column).name]


def _numbered(names: Sequence[str]) -> list[str]:
    """Put columns such as f0, f1, ... in the order of their numbers; empty unless all are numbered without a gap."""
    matches = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    parts = [(match[1], int(match[2])) for match in matches if match is not None]
    if not parts or len(parts) < len(names) or len({prefix for prefix, _ in parts}) > 1:
        return []
    numbers = sorted(number for _, number in parts)
    if numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return []
    return [name for _, name in sorted(zip([number for _, number in parts], names, strict=True))]


def _rows(path: Path, batch: Any, columns: list[str]) -> np.ndarray:
    import pyarrow as pa

    for column in columns:
        if batch.column(column).null_count:
            raise BadInput(f"{path}: expected a number in every row, got nulls in column {column}; leave such rows out")
    if len(columns) > 1 or (pa.types.is_floating(batch.column(columns[0]).type) and columns[0] not in FEATURES):
        return np.stack([_float32(batch.column(column)) for column in columns], axis=1)
    lists, name = batch.column(columns[0]), columns[0]
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise BadInput(f"{path}: expected the column {name!r} to hold lists of numbers, got {kind}; see --column")
    if not pa.types.is_floating(kind.value_type):
        raise BadInput(f"{path}: expected lists of floating-point numbers in {name!r}, got {kind}; convert to float32")
    values = lists.flatten()
    if values.null_count:
        raise BadInput(f"{path}: expected numbers in the column {name!r}, got nulls; leave such rows out")
    lengths = set(lists.value_lengths().to_pylist()) if not pa.types.is_fixed_size_list(kind) else {kind.list_size}
    if len(lengths) != 1:
        raise BadInput(f"{path}: expected lists of one length, got {sorted(lengths)[:4]}; store vectors of one width")
    return _float32(values).reshape(len(lists), -1)


def _float32(column: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
