"""Loading vectors that somebody already has, whatever the format, and telling the content of two files apart."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from featinv.data.tables import is_table
from featinv.errors import BadInput
from featinv.features.array_files import read_id_list, read_npy, read_npz, read_numbered
from featinv.features.choosing import NO_IDS, Content
from featinv.features.faiss_files import read_faiss
from featinv.features.hdf5_files import read_hdf5
from featinv.features.manifest import MANIFEST, UNFINISHED, layout_of, read_manifest
from featinv.features.rows import ShardRows, unknown_metadata
from featinv.features.shards import is_clip_retrieval, read_clip_retrieval, read_shards
from featinv.features.store import IDS, must_be_complete
from featinv.features.table_files import read_table
from featinv.features.tensor_files import read_safetensors, read_torch
from featinv.features.text_files import read_csv, read_jsonl
from featinv.features.vectors import Vectors
from featinv.files import sha256_file, within

LIMIT = 64 * 2**30
"""Bytes of a file, and of the numbers in it, that are read without asking."""

Reader = Callable[[Path, int, str | None, str | None], Content]


def _npy(path: Path, limit: int, column: str | None, id_column: str | None) -> Content:
    _has_no_columns(path, column, id_column)
    return Content(read_npy(path))


READERS: dict[str, Reader] = {
    ".npy": _npy,
    ".npz": read_npz,
    ".safetensors": lambda path, limit, column, id_column: read_safetensors(path, column, id_column),
    **dict.fromkeys((".pt", ".pth"), read_torch),
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".ipc"), read_table),
    **dict.fromkeys((".h5", ".hdf5"), read_hdf5),
    **dict.fromkeys((".faiss", ".index"), read_faiss),
    **dict.fromkeys((".csv", ".tsv"), read_csv),
    **dict.fromkeys((".jsonl", ".ndjson"), read_jsonl),
}
"""The reader of each format, by suffix. Each takes (path, limit_bytes, column, id_column)."""
SHARDED = tuple(suffix for suffix in READERS if suffix not in (".npy", ".faiss", ".index"))
"""Formats of which a folder of numbered files is read; numbered .npy files have rules of their own."""
PICKLES = (".pkl", ".pickle", ".joblib")
BESIDE = ".ids.json"
"""Suffix of a list of names in JSON beside a .npy file or a FAISS index: `photos.npy`, `photos.ids.json`."""

FORMATS = (
    ".npy, .npz, .safetensors, .pt, .pth, .parquet, .arrow, .h5, .faiss, .csv, .jsonl, a feature store, or a folder of "
    "numbered files of one of these, of clip-retrieval, datasets or Lance"
)


def content_digest(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, or of the names and bytes of all files of a folder.

    Of a feature store that is the manifest, the ids and every shard; hidden files do not count. The path itself never
    counts. Raises BadInput where nothing is there.
    """
    path = Path(path)
    if path.is_file():
        beside = _names_beside(path)
        digest = sha256_file(path)
        return digest if beside is None else f"{digest}+{sha256_file(beside)}"
    if not path.is_dir():
        raise BadInput(f"{path}: expected a file or a folder of vectors, found none")
    whole = hashlib.sha256()
    files = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    for name, file in sorted((name.as_posix(), file) for name, file in files.items()):
        if not any(part.startswith(".") for part in name.split("/")):
            whole.update(f"{name}\0{sha256_file(file)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def load_features(
    path: Path | str, *, column: str | None = None, id_column: str | None = None, limit_bytes: int = LIMIT
) -> Vectors:
    """Load vectors (N, D) or (N, C, h, w) of any floating-point type as float32, with the images' names if there.

    From every format in `READERS` (.npy is memory-mapped when it is float32), the folder of a feature store, of
    clip-retrieval, `datasets` or Lance, or a folder of numbered files. The vectors are `column`, else the entry named
    `features`, `embedding`, `embeddings`, `vector` or `vectors`, else the only one; the names are `id_column`, else the
    entry named `ids` (or `path`, `filename`, ...), else the only text; "none" leaves them out. `notes` of the result
    say what was chosen. Nothing in the file is executed. Raises BadInput when the file is missing, larger than
    `limit_bytes`, truncated, a pickle, ambiguous, not of floating-point numbers, of another number of axes, empty, or
    not finite (naming the first row), when it holds names that cannot be read, and when the package that reads it is
    not installed.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, column, id_column, limit_bytes)
    if not path.is_file():
        raise BadInput(f"{path}: expected a file of vectors, found none; give {FORMATS}")
    return _vectors(path, _read(path, column, id_column, limit_bytes))


def _vectors(path: Path, content: Content) -> Vectors:
    if content.features.dtype.kind != "f":
        raise BadInput(
            f"{path}: expected floating-point features, got {content.features.dtype}; convert them to float32"
        )
    return Vectors(_float32(content.features), str(path), content.ids, notes=content.notes)


def _read(path: Path, column: str | None, id_column: str | None, limit: int) -> Content:
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise BadInput(f"{path}: a pickle runs code when it is read; save the vectors as one of {FORMATS}")
    if suffix not in READERS:
        raise BadInput(f"{path}: expected {FORMATS}, got {path.suffix or 'a file without a suffix'}")
    within(path, path.stat().st_size, limit)
    content = READERS[suffix](path, limit, column, id_column)
    beside = _names_beside(path)
    if beside is None or id_column == NO_IDS:
        return content
    if content.ids is not None:
        raise BadInput(f"{path}: expected names in the file or in {beside.name}, got both; move one of them elsewhere")
    return replace(content, ids=read_id_list(beside), notes=(f"ids from {beside.name!r} beside the file",))


def _names_beside(path: Path) -> Path | None:
    beside = path.with_suffix(BESIDE)
    return beside if path.suffix.lower() in (".npy", ".faiss", ".index") and beside.is_file() else None


def _of_folder(folder: Path, column: str | None, id_column: str | None, limit: int) -> Vectors:
    if any((folder / name).exists() for name in (MANIFEST, UNFINISHED)):
        _has_no_columns(folder, column, id_column)
        vectors = _of_store(folder, limit)
        return replace(vectors, ids=None) if id_column == NO_IDS else vectors
    if is_clip_retrieval(folder):
        _has_no_columns(folder, column, None)
        return _vectors(folder, read_clip_retrieval(folder, limit, id_column))
    if any(folder.glob("*.npy")):
        _has_no_columns(folder, column, id_column)
        content = read_numbered(folder, limit)
        return _vectors(folder, replace(content, ids=None) if id_column == NO_IDS else content)
    if is_table(folder):
        return _vectors(folder, read_table(folder, limit, column, id_column))
    files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    suffixes = {file.suffix.lower() for file in files}
    if len(suffixes) == 1 and suffixes <= set(SHARDED) and all(file.is_file() for file in files):
        return _vectors(folder, read_shards(folder, files, lambda file: _read(file, column, id_column, limit), limit))
    held = ", ".join(repr(file.name) for file in files[:3]) or "nothing"
    raise BadInput(f"{folder}: expected a folder of vectors, got one with {held}; give {FORMATS}")


def _of_store(folder: Path, limit: int) -> Vectors:
    if not (folder / MANIFEST).is_file() and (folder / UNFINISHED).is_file():
        raise BadInput(f"{folder}: expected a finished store, got an interrupted one; run the same extraction again")
    manifest = read_manifest(folder / MANIFEST)
    layout = layout_of(manifest)
    must_be_complete(folder, layout)
    ids = read_id_list(folder / IDS)
    metadata = {**unknown_metadata(str(folder), layout.feature_shape, None), **manifest["victim"]}
    notes = (f"a feature store; ids from {IDS!r}",)
    if layout.blocks == 1:
        return Vectors(read_npy(folder / next(layout.shards()).name), str(folder), ids, metadata, notes)
    within(folder, 4 * layout.count * int(np.prod(layout.feature_shape)), limit)
    rows = ShardRows(folder, layout).gather(np.arange(layout.count), None)
    return Vectors(rows, str(folder), ids, metadata, notes)


def _has_no_columns(path: Path, column: str | None, id_column: str | None) -> None:
    if column is not None or id_column not in (None, NO_IDS):
        raise BadInput(
            f"{path}: expected no --column or --id-column, got {column or id_column!r}; a .npy file and a folder hold "
            "one array"
        )


def _float32(features: np.ndarray) -> np.ndarray:
    # A float64 beyond float32 becomes infinity, which is then refused by its row.
    with np.errstate(over="ignore"):
        return features.astype(np.float32, copy=False)
