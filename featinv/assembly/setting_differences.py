"""Which settings of two runs differ, where the same file under another spelling of its path is the same setting."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PATH_FIELDS = frozenset(
    {"data", "features", "judge_folder", "judges", "private", "public", "public_features", "source", "weights"}
)
"""Fields of settings that hold paths; elsewhere a text counts as a path only with a separator or a suffix in it."""


def plain(value: Any) -> Any:
    """Return what JSON would give back: tuples as lists, paths as strings, and so NaN, which it has no number for."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    unwritable = isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value))
    return str(value) if unwritable else value


def located(settings: Any) -> dict[str, str]:
    """Return the absolute paths, symbolic links resolved, of all settings that name existing files or folders."""
    leaves = [(keys, value) for keys, value in _leaves(settings) if isinstance(value, str)]
    paths = {"/".join(keys): _resolved(keys, value) for keys, value in leaves}
    return {place: resolved for place, resolved in paths.items() if resolved is not None}


def differences(there: Any, here: Any, paths_there: Mapping[str, str], paths_here: Mapping[str, str]) -> list[str]:
    """Return one phrase a setting that differs; settings that are `located` in both compare by where they point."""
    first, second = dict(_leaves(there)), dict(_leaves(here))
    phrases = []
    for keys in sorted(first.keys() | second.keys()):
        place = "/".join(keys)
        there, here = first.get(keys), second.get(keys)
        if place in paths_there and place in paths_here:
            there, here = paths_there[place], paths_here[place]
        if there != here:
            phrases.append(f"{'.'.join(keys) or 'settings'}: {there!r} there, {here!r} here")
    return phrases


def _leaves(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [leaf for key, item in items for leaf in _leaves(item, (*keys, str(key)))]
    # An empty dictionary or list is a value of its own.
    yield from below or [(keys, value)]


def _resolved(keys: tuple[str, ...], text: str) -> str | None:
    names = [key for key in keys if not key.isdecimal()]
    if names and names[-1] in PATH_FIELDS and os.path.exists(text):
        return os.path.realpath(text)
    # NAME:FILE,KEY=FILE of a command line.
    pieces = re.split(r"([:,=])", text)
    files = [_like_a_path(piece) and os.path.exists(piece) for piece in pieces]
    if not any(files):
        return None
    return "".join(os.path.realpath(piece) if file else piece for piece, file in zip(pieces, files, strict=True))


def _like_a_path(text: str) -> bool:
    return "/" in text or os.sep in text or bool(Path(text).suffix)
