"""Reading .npy and .npz files of strangers: no pickle, no more bytes than allowed."""

import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from featinv.errors import BadInput

BROKEN = (ValueError, TypeError, OSError, EOFError, SyntaxError, RecursionError, tokenize.TokenError)
"""What numpy raises for a file that is truncated, something else or a pickle (found by damaging files at random)."""


def read_npy(path: Path) -> np.ndarray:
    """Memory-map a .npy file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.lib.format.open_memmap(path, mode="r")
    except BROKEN as error:
        raise unreadable(path, "a .npy file of numbers", error) from error


def read_npz(path: Path, limit: int) -> tuple[np.ndarray, list[str] | None]:
    """Read `features` (or the only array) of a .npz file, and its `ids` where there are any."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            chosen = the_one(path, [name for name in names if name != "ids"])
            features = _member(path, archive, names[chosen], limit)
            ids = _member(path, archive, names["ids"], limit) if "ids" in names else None
    except BadInput:
        raise
    except (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise unreadable(path, "a .npz file of arrays of numbers", error) from error
    if ids is not None and (ids.ndim != 1 or ids.dtype.kind != "U"):
        raise BadInput(f"{path}: expected ids as an array of strings, got {ids.dtype} of shape {ids.shape}")
    return features, None if ids is None else [str(name) for name in ids]


def the_one(path: Path, names: list[str]) -> str:
    """Choose `features` among the names of arrays, or the only one. Raises BadInput that lists them."""
    if "features" in names:
        return "features"
    if len(names) != 1:
        listed = ", ".join(sorted(names)[:8]) or "none"
        raise BadInput(f"{path}: expected an array named features, or only one array, got {len(names)}: {listed}")
    return names[0]


def within(path: Path, size: int, limit: int) -> None:
    """Raise BadInput when `size` bytes are more than allowed."""
    if size > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes, got {size}; raise limit_bytes if you trust the file")


def unreadable(path: Path, expected: str, error: Exception) -> BadInput:
    """Return the error for a file that is not what its name says."""
    reason = " ".join(str(error).split())[:200]
    return BadInput(f"{path}: expected {expected}, but it is truncated or something else ({reason})")


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    with archive.open(name) as file:
        shape, dtype = _header(file)
        # The header is held against the directory before anything of that size is allocated.
        size = math.prod(shape) * dtype.itemsize
        within(path, size, limit)
        if size + file.tell() != archive.getinfo(name).file_size:
            raise ValueError(f"{name} announces {size} bytes of numbers and holds another number of them")
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"unknown version {version}")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which only a pickle can hold")
    return shape, dtype
