"""A folder by its files, so that it can be known again without being sent."""

from pathlib import Path
from typing import Any

from featinv.files import sha256_file

LARGEST = 64 * 2**20
"""Bytes up to which a file is read for its sha256; larger ones are known by name and size (logging must stay cheap)."""


def contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {"name": {"bytes", "sha256"}} of all files below `folder`, in alphabetical order."""
    listed = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        known = {"sha256": sha256_file(file)} if size <= LARGEST else {}
        listed[file.relative_to(folder).as_posix()] = {"bytes": size, **known}
    return listed
