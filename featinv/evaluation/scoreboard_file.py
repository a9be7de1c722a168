"""Scoreboards on disk: JSON for everybody, NumPy arrays for the numbers of every picture; neither holds code."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featinv import files
from featinv.errors import BadInput

SCHEMA = 1
"""Version of the JSON's public shape; it grows by new keys only, and changes when a key changes its meaning."""
JSON_NAME = "scoreboard.json"
ARRAYS_NAME = "per_image.npz"
ARRAYS_LIMIT = 8 * 2**30
"""Bytes of unpacked per-picture numbers that we are willing to read."""


def save(folder: Path, document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write both files, the arrays first, so that a JSON never speaks of arrays that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(folder / ARRAYS_NAME) as temporary, open(temporary, "wb") as out:
        np.savez_compressed(out, **dict(arrays))  # type: ignore[arg-type]  # the stub knows no names but its flag
    files.write_json(folder / JSON_NAME, document)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read the numbers per picture, without pickle; none when the file is missing. BadInput names a broken file."""
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
