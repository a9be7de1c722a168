"""Reading the vectors of a flat FAISS index."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from featinv.errors import BadInput
from featinv.features.choosing import Content, Entry, as_names, choose_ids
from featinv.files import missing_extra, unreadable, within

FLAT = (b"IxF2", b"IxFI", b"IxFl")
MAPS = (b"IxMp", b"IxM2")
_HEAD = struct.Struct("<4siqqq?i")
_COUNT = struct.Struct("<Q")
VECTORS = "vectors"


@final
@dataclass(frozen=True)
class _Header:
    """What a flat index announces: N vectors of D numbers, and whether each has a whole number as its id."""

    count: int
    width: int
    mapped: bool


def read_faiss(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read an IndexFlat, or one inside an IndexIDMap, whose ids are then whole numbers."""
    if column is not None:
        raise BadInput(f"{path}: expected no --column, got {column!r}; a FAISS index holds one array")
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise missing_extra(path, "a FAISS index", "faiss-cpu", "faiss") from error
    header = _checked(path)
    within(path, 4 * header.count * header.width, limit)
    try:
        index: Any = faiss.read_index(str(path))
        flat = index.index if header.mapped else index
        features = np.array(flat.reconstruct_n(0, header.count), dtype=np.float32)
        numbers = faiss.vector_to_array(index.id_map) if header.mapped else None
    except (RuntimeError, ValueError, AssertionError) as error:
        raise unreadable(path, "a flat FAISS index", error) from error
    entries = [Entry(VECTORS, "vectors", f"float32 {features.shape}", header.count)]
    if numbers is None:
        if id_column is not None:
            choose_ids(path, entries, [VECTORS], id_column)
        return Content(features, None, ("a flat FAISS index; no ids",))
    entries.append(Entry("ids", "integers", str(numbers.dtype), header.count))
    named = choose_ids(path, entries, [VECTORS], id_column)
    ids = None if named is None else as_names(path, "ids", numbers.tolist())
    return Content(features, ids, (f"a flat FAISS index; {'no ids' if ids is None else 'its whole numbers as ids'}",))


def _checked(path: Path) -> _Header:
    """Read the header and hold it against the size of the file: FAISS allocates whatever a header announces."""
    with open(path, "rb") as file:
        head = file.read(2 * (_HEAD.size + 4) + _COUNT.size)
    kind, outer = head[:4], None
    if kind in MAPS:
        outer, head = _index_head(path, head)
        kind = head[:4]
    if kind not in FLAT:
        raise BadInput(
            f"{path}: expected a flat FAISS index (IndexFlat, also in an IndexIDMap), got {kind!r}; write its vectors "
            "to .npz with index.reconstruct_n(0, index.ntotal)"
        )
    inner, rest = _index_head(path, head)
    if len(rest) < _COUNT.size:
        raise _damaged(path, "it ends in its header")
    (numbers,) = _COUNT.unpack_from(rest)
    start = (0 if outer is None else outer[2]) + inner[2] + _COUNT.size
    size = start + 4 * numbers + (0 if outer is None else _COUNT.size + 8 * inner[0])
    if numbers != inner[0] * inner[1] or (outer is not None and outer[:2] != inner[:2]):
        raise _damaged(path, f"it announces {inner[0]} vectors of {inner[1]} numbers and {numbers} numbers in all")
    if path.stat().st_size != size:
        raise _damaged(path, f"it announces {size} bytes and has {path.stat().st_size}")
    if outer is not None:
        with open(path, "rb") as file:
            file.seek(start + 4 * numbers)
            if file.read(_COUNT.size) != _COUNT.pack(inner[0]):
                raise _damaged(path, "it has another number of ids than of vectors")
    return _Header(inner[0], inner[1], outer is not None)


def _index_head(path: Path, head: bytes) -> tuple[tuple[int, int, int], bytes]:
    """Return (vectors, numbers of each, bytes of the header), and what follows it."""
    if len(head) < _HEAD.size:
        raise _damaged(path, "it ends in its header")
    _, width, count, _, _, _, metric = _HEAD.unpack_from(head)
    size = _HEAD.size + (4 if metric > 1 else 0)
    if width < 1 or count < 0:
        raise _damaged(path, f"it announces {count} vectors of {width} numbers")
    return (count, width, size), head[size:]


def _damaged(path: Path, reason: str) -> BadInput:
    return unreadable(path, "a flat FAISS index", ValueError(reason))
