"""Which files of a folder are pictures, and of which class."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from featinv.data.picture_decode import SUFFIXES
from featinv.errors import BadInput


@final
@dataclass(frozen=True)
class Listing:
    """Candidate files, sorted: relative posix paths, (bytes, modification time); what was left out."""

    paths: tuple[str, ...]
    stamps: tuple[tuple[int, int], ...]
    ignored: int
    skipped: tuple[tuple[str, str], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders; none when any picture lies beside them, in the folder itself."""
        tops = [PurePosixPath(path).parts for path in self.paths]
        if any(len(parts) == 1 for parts in tops):
            return ()
        return tuple(sorted({parts[0] for parts in tops}))

    def sha256(self, *settings: str | int) -> str:
        """Name of this exact listing (paths, bytes, times) read with these settings."""
        text = json.dumps([self.paths, self.stamps, self.skipped, settings])
        return hashlib.sha256(text.encode()).hexdigest()


def list_pictures(folder: Path) -> Listing:
    """List the picture files under `folder`, links followed, hidden names ignored; BadInput if it is not a folder."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise BadInput(f"{folder}: expected a folder of pictures, got {found}; give the folder that holds them")
    found_files: dict[str, tuple[int, int]] = {}
    skipped: list[tuple[str, str]] = []
    ignored = 0
    for path, what in _walk(folder, PurePosixPath(), ()):
        if isinstance(what, str):
            skipped.append((path, what))
        elif PurePosixPath(path).suffix.lower() in SUFFIXES and not PurePosixPath(path).name.startswith("."):
            found_files[path] = (what.st_size, what.st_mtime_ns)
        else:
            ignored += 1
    paths = tuple(sorted(found_files, key=lambda path: PurePosixPath(path).parts))
    return Listing(paths, tuple(found_files[path] for path in paths), ignored, tuple(sorted(skipped)))


def _walk(
    root: Path, inside: PurePosixPath, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yield each file's relative path with its status, or with the reason why it cannot be read."""
    try:
        here = os.stat(root / inside)
        if (here.st_dev, here.st_ino) in above:
            yield str(inside), "a link back to a folder above it"
            return
        with os.scandir(root / inside) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        yield str(inside), f"unreadable: {error.strerror}"
        return
    for name in names:
        relative = inside / name
        try:
            status = os.stat(root / relative)
        except OSError as error:
            yield str(relative), f"unreadable: {error.strerror}"
            continue
        if stat.S_ISDIR(status.st_mode):
            if not name.startswith("."):
                yield from _walk(root, relative, (*above, (here.st_dev, here.st_ino)))
        elif stat.S_ISREG(status.st_mode):
            yield str(relative), status
        else:
            yield str(relative), "not a regular file"
