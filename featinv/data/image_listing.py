"""Which files of a folder are images, and of which class; what else is there."""

import hashlib
import json
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from featinv.data.image_formats import classify, head_of, is_image_name
from featinv.errors import BadInput

LEFT_OUT = {
    "@eaDir": "thumbnails of Synology servers",
    ".@__thumb": "thumbnails of QNAP servers",
    ".thumbnails": "thumbnails of Android and Linux desktops",
    ".thumbs": "thumbnails of galleries",
    ".sh_thumbnails": "thumbnails of Linux desktops, shared",
    ".xvpics": "thumbnails of GIMP and xv",
    ".picasaoriginals": "what Picasa keeps of edited images",
    ".ipynb_checkpoints": "copies that Jupyter keeps",
    ".stversions": "old versions that Syncthing keeps",
    ".git": "a version control's own files",
    "__MACOSX": "resource forks in archives made by macOS",
    ".AppleDouble": "resource forks on servers",
    ".Spotlight-V100": "search index of macOS",
    ".fseventsd": "log of macOS",
    ".DocumentRevisions-V100": "old versions that macOS keeps",
    ".TemporaryItems": "temporary files of macOS",
    ".Trash": "trash",
    ".Trashes": "trash of macOS",
    ".dtrash": "trash of digiKam",
    "@Recycle": "trash of QNAP servers",
    "#recycle": "trash of Synology servers",
    "$RECYCLE.BIN": "trash of Windows",
    "RECYCLER": "trash of Windows",
    "System Volume Information": "restore points of Windows",
    "lost+found": "fragments that a file system check found",
}
"""Folders of thumbnails, caches and trash, by name whatever the case; so are `.Trash-1000` and the like."""

RESOURCE_FORKS = "._* files"
HIDDEN = "hidden: a name or folder that begins with a dot"
LINK_BACK = "a link back to a folder above it"
_APPLE_DOUBLE = (b"\0\x05\x16\x07", b"\0\x05\x16\0")
_LEFT_OUT = {name.casefold(): name for name in LEFT_OUT}


@final
@dataclass(frozen=True)
class Listing:
    """Candidate files, sorted: relative posix paths, (bytes, modification time); what was not taken (see `Intake`)."""

    paths: tuple[str, ...]
    stamps: tuple[tuple[int, int], ...]
    ignored: int
    skipped: tuple[tuple[str, str], ...]
    beside: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    unlisted: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders; none when any image lies beside them, in the folder itself."""
        tops = [PurePosixPath(path).parts for path in self.paths]
        if any(len(parts) == 1 for parts in tops):
            return ()
        return tuple(sorted({parts[0] for parts in tops}))

    @property
    def stamp(self) -> tuple[object, ...]:
        """What changes when the folder does: paths, bytes, times, and what was skipped."""
        return (self.paths, self.stamps, self.skipped)

    def sha256(self) -> str:
        """Name of this exact listing."""
        return hashlib.sha256(json.dumps(self.stamp).encode()).hexdigest()


def list_images(folder: Path) -> Listing:
    """List the image files under `folder`, links followed; BadInput if it is not a folder.

    Hidden images are skipped with that reason; images in folders of `LEFT_OUT` are only counted.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise BadInput(f"{folder}: expected a folder of images, got {got}; give the folder that holds them")
    walk = _Walk(folder)
    walk.all()
    paths = tuple(sorted(walk.images, key=lambda path: PurePosixPath(path).parts))
    return Listing(
        paths,
        tuple(walk.images[path] for path in paths),
        walk.ignored,
        tuple(sorted(walk.skipped)),
        tuple(sorted(walk.beside)),
        tuple(sorted(walk.left_out.items())),
        walk.unlisted,
    )


def left_out(name: str) -> str | None:
    """Return under which name of `LEFT_OUT` a folder is left out, None where it is read."""
    name = name.casefold()
    return ".Trash-*" if name.startswith(".trash-") else _LEFT_OUT.get(name)


def is_resource_fork(name: str, head: bytes) -> bool:
    """Say whether a file of this name that begins with these bytes is what macOS keeps beside another file."""
    return name.startswith("._") and head.startswith(_APPLE_DOUBLE)


@final
@dataclass(frozen=True)
class _Folder:
    """A folder on the way: where it lies, the (device, inode) of those above it, and whether its name is hidden."""

    path: PurePosixPath
    above: tuple[tuple[int, int], ...]
    hidden: bool


@final
class _Walk:
    """Goes through a folder and sorts what it meets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, tuple[int, int]] = {}
        self.skipped: list[tuple[str, str]] = []
        self.beside: list[tuple[str, str]] = []
        self.left_out: Counter[str] = Counter()
        self.ignored = 0
        self.unlisted = 0
        self._waiting = [_Folder(PurePosixPath(), (), hidden=False)]

    def all(self) -> None:
        while self._waiting:
            self._folder(self._waiting.pop())

    def _folder(self, folder: _Folder) -> None:
        try:
            here = os.stat(self.root / folder.path)
            place = (here.st_dev, here.st_ino)
            if place in folder.above:
                self.beside.append((str(folder.path), LINK_BACK))
                return
            with os.scandir(self.root / folder.path) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            self.unlisted += 1
            self.skipped.append((str(folder.path), f"unreadable: {error.strerror}"))
            return
        for name in names:
            self._entry(_Folder(folder.path / name, (*folder.above, place), folder.hidden or name.startswith(".")))

    def _entry(self, entry: _Folder) -> None:
        path, image = str(entry.path), is_image_name(entry.path.name)
        try:
            status = os.stat(self.root / path)
        except OSError as error:
            # Without a suffix it may be a link to a whole folder, on a disk that is not there.
            self.unlisted += not image and not entry.path.suffix and not entry.hidden
            self._unreadable(entry, error)
            return
        if stat.S_ISDIR(status.st_mode):
            self._subfolder(entry)
        elif stat.S_ISREG(status.st_mode):
            self._file(entry, status)
        else:
            (self.skipped if image else self.beside).append((path, "not a regular file"))

    def _subfolder(self, entry: _Folder) -> None:
        listed = left_out(entry.path.name)
        if listed is None:
            self._waiting.append(entry)
            return
        inside = (file for _, _, files in os.walk(self.root / entry.path) for file in files)
        if count := sum(is_image_name(file) for file in inside):
            self.left_out[listed] += count

    def _file(self, entry: _Folder, status: os.stat_result) -> None:
        path, file = str(entry.path), self.root / entry.path
        try:
            if entry.path.name.startswith("._") and is_resource_fork(entry.path.name, head_of(file)):
                self.left_out[RESOURCE_FORKS] += 1
                return
            sort = classify(file)
        except OSError as error:
            self._unreadable(entry, error)
            return
        if sort.what in ("image", "unread") and entry.hidden:
            self.skipped.append((path, HIDDEN))
        elif sort.what == "image":
            self.images[path] = (status.st_size, status.st_mtime_ns)
        elif sort.what == "unread":
            self.skipped.append((path, sort.reason))
        elif sort.what == "beside" and not entry.hidden:
            self.beside.append((path, sort.reason))
        else:
            self.ignored += 1

    def _unreadable(self, entry: _Folder, error: OSError) -> None:
        if entry.hidden and not is_image_name(entry.path.name):
            # Editors keep their locks as links that lead nowhere.
            self.ignored += 1
        else:
            self.skipped.append((str(entry.path), f"unreadable: {error.strerror}"))
