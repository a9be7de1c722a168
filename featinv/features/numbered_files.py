"""A folder of numbered .npy files: one array that was written in parts."""

import json
import re
from pathlib import Path

import numpy as np

from featinv.errors import BadInput
from featinv.features.array_files import read_npy, within
from featinv.features.choosing import Content
from featinv.files import read_json

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
    found: dict[int, Path] = {}
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
        if int(match[2]) in found:
            raise BadInput(f"{folder}: expected each number once, got {found[int(match[2])].name!r} and {file.name!r}")
        found[int(match[2])] = prefixes[match[1]] = file
    if len(prefixes) > 1:
        names = " and ".join(repr(file.name) for file in list(prefixes.values())[:2])
        raise BadInput(f"{folder}: expected files of one prefix, got {names}; give a folder each")
    numbers = sorted(found)
    start = min(numbers[0], 1)
    missing = sorted(set(range(start, min(numbers[-1], start + len(numbers)) + 1)) - set(numbers))
    if missing:
        after = f"{len(numbers)} files with numbers from {numbers[0]} to {numbers[-1]}"
        raise BadInput(f"{folder}: expected every number from {start} on, got {after} without {missing[0]}")
    return [found[number] for number in numbers]
