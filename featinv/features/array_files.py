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
from featinv.features.choosing import Content, Entry, as_names, choose_features, choose_ids, said

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


def read_npz(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read the array of vectors of a .npz file, and its array of names where there is one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if len(names) < len(archive.namelist()):
                raise BadInput(f"{path}: expected arrays of different names, got a name twice; save the file again")
            entries = [_entry(name, archive, member) for name, member in names.items()]
            chosen = choose_features(path, entries, column)
            features = _member(path, archive, names[chosen.name], limit)
            named = choose_ids(path, entries, [chosen.name], id_column, len(features) if features.ndim else None)
            ids = None if named is None else _member(path, archive, names[named.name], limit).tolist()
    except BadInput:
        raise
    except (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, LookupError) as error:
        raise unreadable(path, "a .npz file of arrays of numbers", error) from error
    words = said(entries, repr(chosen.name), named)
    return Content(features, None if ids is None or named is None else as_names(path, named.name, ids), words)


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
        if dtype.hasobject:
            raise ValueError(f"{name} is an array of Python objects, which only a pickle can hold")
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
    return shape, dtype


def _entry(name: str, archive: zipfile.ZipFile, member: str) -> Entry:
    try:
        with archive.open(member) as file:
            shape, dtype = _header(file)
    except (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        # Only refused where it is the one to be read: archives hold other things, too.
        return Entry(name, "other", "no array")
    count = shape[0] if shape else None
    what = f"{dtype} {shape}"
    if dtype.hasobject:
        return Entry(name, "other", f"objects {shape}", count)
    if len(shape) == 1 and dtype.kind in "US":
        return Entry(name, "text", what, count)
    if len(shape) == 1 and dtype.kind in "iu":
        return Entry(name, "integers", what, count)
    return Entry(name, "vectors" if len(shape) > 1 and dtype.kind in "fiuc" else "other", what, count)
