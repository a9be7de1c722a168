"""Reading vectors from parquet, where pyarrow is installed."""

from pathlib import Path
from typing import Any

import numpy as np

from featinv.errors import BadInput
from featinv.features.array_files import unreadable, within

ROWS_AT_ONCE = 4096


def read_parquet(path: Path, limit: int) -> tuple[np.ndarray, list[str] | None]:
    """Read the column `features` (lists of one length), or all floating-point columns, and the column `id` or `ids`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise BadInput(f"{path}: parquet needs pyarrow; install it with: pip install 'featinv[parquet]'") from error
    blocks: list[np.ndarray] = []
    ids: list[str] = []
    try:
        with pq.ParquetFile(path) as file:
            columns, name = _columns(path, file.schema_arrow)
            wanted = columns if name is None else [*columns, name]
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
                blocks.append(_rows(path, batch, columns))
                # Counted as they come: a compressed file can hold far more than its size.
                within(path, sum(block.nbytes for block in blocks), limit)
                ids += [str(value) for value in batch.column(name).to_pylist()] if name is not None else []
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "a parquet file", error) from error
    if len({block.shape[1] for block in blocks}) > 1:
        raise BadInput(f"{path}: expected lists of one length, got several; store vectors of one width")
    features = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
    return features, ids if name is not None else None


def _columns(path: Path, schema: Any) -> tuple[list[str], str | None]:
    import pyarrow as pa

    named = [field.name for field in schema if field.name in ("id", "ids") and pa.types.is_string(field.type)]
    name = named[0] if named else None
    if "features" in schema.names:
        return ["features"], name
    columns = [field.name for field in schema if pa.types.is_floating(field.type)]
    if not columns:
        listed = ", ".join(f"{field.name} ({field.type})" for field in list(schema)[:8]) or "none"
        raise BadInput(f"{path}: expected a column features or floating-point columns, got: {listed}")
    return columns, name


def _rows(path: Path, batch: Any, columns: list[str]) -> np.ndarray:
    import pyarrow as pa

    for column in columns:
        if batch.column(column).null_count:
            raise BadInput(f"{path}: expected a number in every row, got nulls in column {column}; leave such rows out")
    if columns != ["features"] or pa.types.is_floating(batch.column("features").type):
        return np.stack([_float32(batch.column(column)) for column in columns], axis=1)
    lists = batch.column("features")
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise BadInput(f"{path}: expected the column features to hold lists of numbers, got {kind}")
    if not pa.types.is_floating(kind.value_type):
        raise BadInput(f"{path}: expected lists of floating-point numbers, got {kind}")
    values = lists.flatten()
    if values.null_count:
        raise BadInput(f"{path}: expected numbers in the column features, got nulls; leave such rows out")
    lengths = set(lists.value_lengths().to_pylist()) if not pa.types.is_fixed_size_list(kind) else {kind.list_size}
    if len(lengths) != 1:
        raise BadInput(f"{path}: expected lists of one length, got {sorted(lengths)[:4]}; store vectors of one width")
    return _float32(values).reshape(len(lists), -1)


def _float32(column: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
