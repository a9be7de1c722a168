"""Loading vectors that somebody already has, whatever the format."""

import json
from pathlib import Path

import numpy as np

from featinv.errors import BadInput
from featinv.features.array_files import read_npy, read_npz, within
from featinv.features.filling import IDS, must_be_complete
from featinv.features.manifest import MANIFEST, layout_of, read_manifest
from featinv.features.parquet_files import read_parquet
from featinv.features.shard_rows import ShardRows
from featinv.features.tensor_files import read_safetensors, read_torch
from featinv.features.vectors import Vectors
from featinv.files import read_json

LIMIT = 64 * 2**30
"""Bytes of a file, and of the numbers in it, that are read without asking."""

FORMATS = ".npy, .npz, .safetensors, .pt, .pth, .parquet or the folder of a feature store"


def load_features(path: Path | str, *, limit_bytes: int = LIMIT) -> Vectors:
    """Load vectors (N, D) or (N, C, h, w) of any floating-point type as float32.

    From .npy (memory-mapped when it is float32), .npz, .safetensors, .pt, .pth or .parquet: the array, tensor or column
    named `features`, or the only one; or from the folder of a feature store. Nothing in the file is executed. Raises
    BadInput when the file is missing, larger than `limit_bytes`, truncated, a pickle, not of floating-point numbers, of
    another number of axes, empty, or not finite (naming the first row).
    """
    path = Path(path)
    if path.is_dir():
        return _of_store(path, limit_bytes)
    if not path.is_file():
        raise BadInput(f"{path}: expected a file of vectors, found none; give {FORMATS}")
    within(path, path.stat().st_size, limit_bytes)
    features, ids = _read(path, limit_bytes)
    if features.dtype.kind != "f":
        raise BadInput(f"{path}: expected floating-point features, got {features.dtype}; convert them to float32")
    return Vectors(_float32(features), str(path), ids)


def _read(path: Path, limit: int) -> tuple[np.ndarray, list[str] | None]:
    match path.suffix.lower():
        case ".npy":
            return read_npy(path), None
        case ".npz":
            return read_npz(path, limit)
        case ".safetensors":
            return read_safetensors(path), None
        case ".pt" | ".pth":
            return read_torch(path, limit), None
        case ".parquet":
            return read_parquet(path, limit)
        case ".pkl" | ".pickle" | ".joblib":
            raise BadInput(f"{path}: a pickle runs code when it is read; save the vectors as one of {FORMATS}")
    raise BadInput(f"{path}: expected {FORMATS}, got {path.suffix or 'a file without a suffix'}")


def _of_store(folder: Path, limit: int) -> Vectors:
    manifest = read_manifest(folder / MANIFEST)
    layout = layout_of(manifest)
    must_be_complete(folder, layout)
    ids = read_json(folder / IDS)
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise BadInput(f"{folder / IDS}: expected a list of strings, got {json.dumps(ids)[:40]}; extract again")
    first = next(layout.shards())
    if layout.blocks == 1:
        return Vectors(read_npy(folder / first.name), str(folder), ids, manifest["victim"])
    within(folder, 4 * layout.count * int(np.prod(layout.feature_shape)), limit)
    rows = ShardRows(folder, layout).gather(np.arange(layout.count), None)
    return Vectors(rows, str(folder), ids, manifest["victim"])


def _float32(features: np.ndarray) -> np.ndarray:
    # A float64 beyond float32 becomes infinity, which is then refused by its row.
    with np.errstate(over="ignore"):
        return features.astype(np.float32, copy=False)
