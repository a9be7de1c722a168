"""Images from tables that hold them encoded: parquet, Arrow, folders of `datasets.save_to_disk`, Lance."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from featinv.data.encoder_pixels import pixels_to_keep
from featinv.data.image_decode import Fit
from featinv.data.image_stream import (
    LIMIT_PIXELS,
    ON_DISK_ABOVE,
    Encoded,
    Reading,
    Smaller,
    Source,
    check_settings,
    read_source,
)
from featinv.data.imageset import ImageSet
from featinv.data.naming import best_of
from featinv.data.tables import Table, open_table
from featinv.errors import BadInput
from featinv.types import Encoder

ROWS_AT_ONCE = 64
"""Encoded images of a batch: a photograph has megabytes."""
LABELS = ("label", "labels")


@final
@dataclass(frozen=True)
class _Columns:
    """The columns of images and of names, whether images are structs of bytes and path, and the column of labels."""

    image: str
    struct: bool
    names: str | None
    label: str | None


def table(
    path: Path | str,
    *,
    size: int,
    column: str | None = None,
    cache: Path | str | None = None,
    smaller: Smaller = "refuse",
    fit: Fit = "crop",
    limit_pixels: int = LIMIT_PIXELS,
    on_disk_above: int = ON_DISK_ABOVE,
    encoder: Encoder | None = None,
) -> ImageSet:
    """Read the encoded images of a table, in the order of its rows: parquet, Arrow, Lance, `datasets` on disk, shards.

    The images are `column`, else the only column of bytes or of {bytes, path}, as `datasets` stores them. Ids are these
    paths where each row has one of its own, else the column that names images (`id`, `file_name`, `path`, `key`, ...),
    else FILE:ROW. Labels are the whole numbers in the column `label`, classes those that `datasets` wrote beside them.
    What is skipped and the settings are as in `folder`. Raises BadInput as `folder` does, for a table that cannot be
    read or holds no images, and where several columns could be meant.
    """
    check_settings(size, limit_pixels, fit, smaller)
    root = Path(path)
    if not root.exists():
        raise BadInput(f"{root}: expected a table of images, found none; check the path")
    reading = Reading(
        _source(open_table(root), column), size, fit, smaller, limit_pixels, pixels_to_keep(encoder, size)
    )
    return read_source(reading, None if cache is None else Path(cache), on_disk_above)


def _source(opened: Table, column: str | None) -> Source:
    columns = _choose(opened, column)
    ids, how = _ids(opened, columns)
    if not ids:
        raise BadInput(f"{opened.path}: expected images, got a table without rows; give another one")
    classes, labels = _labels(opened, columns, ids)

    def stream() -> Iterator[Encoded]:
        row = 0
        for batch in opened.batches([columns.image], ROWS_AT_ONCE):
            if row + len(batch) > len(ids):
                raise _uneven(opened, row + len(batch), len(ids))
            for value in batch.column(columns.image):
                yield _encoded(ids[row], _bytes_of(value, columns.struct))
                row += 1
        if row < len(ids):
            raise _uneven(opened, row, len(ids))

    stamps = [[str(file), [_stamp(part) for part in _parts(file)]] for file in opened.files]
    provenance = {"table": opened.form, "image_column": columns.image, "ids": how}
    return Source(opened.path, "table", len(ids), stream, stamps, classes, labels, provenance=provenance)


def _choose(opened: Table, column: str | None) -> _Columns:
    import pyarrow as pa

    schema = opened.schema
    candidates = _candidates(schema)
    if column is not None:
        if column not in schema.names or column not in candidates:
            raise BadInput(f"{opened.path}: expected encoded images in {column!r} as asked, got {_listed(schema)}")
        candidates = [column]
    if len(candidates) > 1:
        likely = [name for name in candidates if name.lower() in ("image", "images", "img", "jpg", "png", "webp")]
        candidates = likely if len(likely) == 1 else candidates
    if len(candidates) != 1:
        raise BadInput(
            f"{opened.path}: expected one column of encoded images (bytes, or a struct of bytes and path), got "
            f"{_listed(schema)}; featinv.data.table(..., column=NAME) says which"
        )
    text = [field.name for field in schema if _is_text(pa, field.type) and field.name != candidates[0]]
    named = best_of(text)
    label = [name for name in LABELS if name in schema.names and pa.types.is_integer(schema.field(name).type)]
    struct = pa.types.is_struct(schema.field(candidates[0]).type)
    return _Columns(candidates[0], struct, named[0] if len(named) == 1 else None, label[0] if label else None)


def _candidates(schema: Any) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if _is_image(pa, field.type)]


def _is_image(pa: Any, kind: Any) -> bool:
    if pa.types.is_struct(kind):
        fields = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
        return "bytes" in fields and _is_bytes(pa, fields["bytes"])
    return _is_bytes(pa, kind)


def _is_bytes(pa: Any, kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(pa: Any, kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _ids(opened: Table, columns: _Columns) -> tuple[list[str], str]:
    """Return an id for each row, and what it comes from: a name counts only where every row has one of its own."""
    count = 0
    paths: list[Any] = []
    names: list[Any] = []
    wanted = [columns.image] if columns.struct or columns.names is None else []
    wanted += [] if columns.names is None else [columns.names]
    for batch in opened.batches(wanted, ROWS_AT_ONCE):
        count += len(batch)
        if columns.struct:
            paths += [value["path"].as_py() if "path" in value else None for value in _structs(batch, columns.image)]
        if columns.names is not None:
            names += batch.column(columns.names).to_pylist()
    for values, how in ((paths, f"{columns.image}.path"), (names, columns.names or "")):
        if values and all(isinstance(value, str) and value for value in values) and len(set(values)) == len(values):
            return values, how
    return [f"{opened.path.name}:{row}" for row in range(count)], "rows"


def _structs(batch: Any, name: str) -> Iterator[Any]:
    for value in batch.column(name):
        yield value if value.is_valid else {}


def _labels(opened: Table, columns: _Columns, ids: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    if columns.label is None:
        return (), {}
    labels = [value for batch in opened.batches([columns.label]) for value in batch.column(columns.label).to_pylist()]
    if len(labels) != len(ids):
        raise _uneven(opened, len(labels), len(ids))
    classes = _classes(opened.schema.metadata or {}, columns.label)
    if any(label is None or label < 0 or (classes and label >= len(classes)) for label in labels):
        return (), {}
    return classes, dict(zip(ids, labels, strict=True))


def _classes(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """Return the names of the classes that `datasets` keeps in a table's metadata."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if good else ()


def _bytes_of(value: Any, struct: bool) -> bytes | None:
    if not value.is_valid:
        return None
    content = value["bytes"].as_py() if struct else value.as_py()
    return None if content is None else bytes(content)


def _encoded(name: str, content: bytes | None) -> Encoded:
    if content is None:
        return Encoded(name, reason="no bytes in the table: the image lies elsewhere, embed it")
    return Encoded(name, content)


def _uneven(opened: Table, some: int, others: int) -> BadInput:
    """Return the error for columns of different lengths, which only a damaged file has."""
    return BadInput(f"{opened.path}: expected columns of one length, got {some} and {others} rows; write it again")


def _parts(file: Path) -> list[Path]:
    return [file] if file.is_file() else sorted(part for part in file.rglob("*") if part.is_file())


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _listed(schema: Any) -> str:
    shown = ", ".join(f"{field.name!r} ({str(field.type)[:40]})" for field in list(schema)[:8])
    return f"{len(schema.names)}: {shown or 'none'}"
