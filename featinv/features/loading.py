"""Loading vectors that somebody already has, whatever the format, and telling the content of two files apart."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from featinv.errors import BadInput
from featinv.features.array_files import read_id_list, read_npy, read_npz, read_numbered, within
from featinv.features.choosing import NO_IDS, Content
from featinv.features.manifest import MANIFEST, UNFINISHED, layout_of, read_manifest
from featinv.features.parquet_files import read_parquet
from featinv.features.rows import ShardRows, unknown_metadata
from featinv.features.store import IDS, must_be_complete
from featinv.features.tensor_files import read_safetensors, read_torch
from featinv.features.vectors import Vectors
from featinv.files import sha256_file


def content_digest(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, or of the names and bytes of all files of a folder.

    Of a feature store that is the manifest, the ids and every shard; hidden files do not count. The path itself never
    counts. Raises BadInput where nothing is there.
    """
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise BadInput(f"{path}: expected a file or a folder of vectors, found none")
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            whole.update(f"{file.name}\0{sha256_file(file)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


LIMIT = 64 * 2**30
"""Bytes of a file, and of the numbers in it, that are read without asking."""

FORMATS = ".npy, .npz, .safetensors, .pt, .pth, .parquet, the folder of a feature store or of numbered .npy files"


def load_features(
    path: Path | str, *, column: str | None = None, id_column: str | None = None, limit_bytes: int = LIMIT
) -> Vectors:
    """Load vectors (N, D) or (N, C, h, w) of any floating-point type as float32, with the images' names if there.

    From .npy (memory-mapped when it is float32), .npz, .safetensors, .pt, .pth or .parquet, the folder of a feature
    store, or a folder of numbered .npy files. The vectors are `column`, else the entry named `features`, `embedding`,
    `embeddings`, `vector` or `vectors`, else the only one; the names are `id_column`, else the entry named `ids` (or
    `path`, `filename`, ...), else the only text; "none" leaves them out. `notes` of the result say what was chosen.
    Nothing in the file is executed. Raises BadInput when the file is missing, larger than `limit_bytes`, truncated, a
    pickle, ambiguous, not of floating-point numbers, of another number of axes, empty, or not finite (naming the first
    row), and when it holds names that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, column, id_column, limit_bytes)
    if not path.is_file():
        raise BadInput(f"{path}: expected a file of vectors, found none; give {FORMATS}")
    within(path, path.stat().st_size, limit_bytes)
    content = _read(path, column, id_column, limit_bytes)
    return _vectors(path, content)


def _vectors(path: Path, content: Content) -> Vectors:
    if content.features.dtype.kind != "f":
        raise BadInput(
            f"{path}: expected floating-point features, got {content.features.dtype}; convert them to float32"
        )
    return Vectors(_float32(content.features), str(path), content.ids, notes=content.notes)


def _read(path: Path, column: str | None, id_column: str | None, limit: int) -> Content:
    match path.suffix.lower():
        case ".npy":
            _has_no_columns(path, column, id_column)
            return Content(read_npy(path))
        case ".npz":
            return read_npz(path, limit, column, id_column)
        case ".safetensors":
            return read_safetensors(path, column, id_column)
        case ".pt" | ".pth":
            return read_torch(path, limit, column, id_column)
        case ".parquet":
            return read_parquet(path, limit, column, id_column)
        case ".pkl" | ".pickle" | ".joblib":
            raise BadInput(f"{path}: a pickle runs code when it is read; save the vectors as one of {FORMATS}")
    raise BadInput(f"{path}: expected {FORMATS}, got {path.suffix or 'a file without a suffix'}")


def _of_folder(folder: Path, column: str | None, id_column: str | None, limit: int) -> Vectors:
    _has_no_columns(folder, column, id_column)
    if any((folder / name).exists() for name in (MANIFEST, UNFINISHED)):
        vectors = _of_store(folder, limit)
    elif any(folder.glob("*.npy")):
        vectors = _vectors(folder, read_numbered(folder, limit))
    else:
        raise BadInput(f"{folder}: expected a feature store or numbered .npy files, found neither; give {FORMATS}")
    return replace(vectors, ids=None) if id_column == NO_IDS else vectors


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
