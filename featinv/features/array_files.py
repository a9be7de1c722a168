"""Reading .npy and .npz files of strangers, and folders of numbered ones: no pickle, no more bytes than allowed."""

import json
import math
import re
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from featinv.errors import BadInput
from featinv.features.choosing import Content, Entry, as_names, choose_features, choose_ids, said
from featinv.files import read_json, unreadable, within

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


IDS = "ids.json"


def read_numbered(folder: Path, limit: int) -> Content:
    """Read part_0.npy, part_1.npy, ... in the order of their numbers as one array, and `ids.json` where it is there.

    Raises BadInput where a number is missing or there twice, where prefixes, widths or types differ, and for any other
    file: it may hold the names of the images, and order alone would decide.
    """
    files = _in_order(folder)
    parts = [read_npy(file) for file in files]
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if part.ndim != first.ndim or part.shape[1:] != first.shape[1:] or part.dtype != first.dtype or part.ndim < 2:
            raise BadInput(
                f"{file}: expected {first.dtype} vectors of shape (N, {', '.join(map(str, first.shape[1:]))}) as in "
                f"{files[0].name}, got {part.dtype} of shape {part.shape}; give parts of one array"
            )
    within(folder, sum(part.nbytes for part in parts), limit)
    ids = read_id_list(folder / IDS) if (folder / IDS).exists() else None
    words = f"{len(files)} files in the order of their numbers, {files[0].name} to {files[-1].name}"
    named = f"ids from {IDS!r}" if ids is not None else "no ids"
    return Content(first if len(parts) == 1 else np.concatenate(parts), ids, (f"{words}; {named}",))


def read_id_list(path: Path) -> list[str]:
    """Read a JSON list of names. Raises BadInput for anything else."""
    ids = read_json(path)
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise BadInput(f"{path}: expected a list of strings, got {json.dumps(ids)[:40]}; extract again")
    return ids


def _in_order(folder: Path) -> list[Path]:
    by_number: dict[int, Path] = {}
    prefixes: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name == IDS:
            continue
        match = re.fullmatch(r"(.*?)([0-9]{1,18})\.npy", file.name)
        if match is None or not file.is_file():
            raise BadInput(
                f"{folder}: expected numbered .npy files and {IDS} only, got {file.name!r} too; move it elsewhere, or "
                "give one file"
            )
        if int(match[2]) in by_number:
            raise BadInput(
                f"{folder}: expected each number once, got {by_number[int(match[2])].name!r} and {file.name!r}"
            )
        by_number[int(match[2])] = prefixes[match[1]] = file
    if len(prefixes) > 1:
        names = " and ".join(repr(file.name) for file in list(prefixes.values())[:2])
        raise BadInput(f"{folder}: expected files of one prefix, got {names}; give a folder each")
    numbers = sorted(by_number)
    start = min(numbers[0], 1)
    missing = sorted(set(range(start, min(numbers[-1], start + len(numbers)) + 1)) - set(numbers))
    if missing:
        after = f"{len(numbers)} files with numbers from {numbers[0]} to {numbers[-1]}"
        raise BadInput(f"{folder}: expected every number from {start} on, got {after} without {missing[0]}")
    return [by_number[number] for number in numbers]
