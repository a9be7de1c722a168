"""The files in a zip or tar archive, one after the other, read in a stream without unpacking."""

import contextlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, final

from featinv.errors import BadInput
from featinv.files import unreadable

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MEMBER_LIMIT = 2**28
"""Bytes of one file in an archive that are read; an image of 64 megapixels without compression has 192 MiB."""
TOO_LARGE = f"too large: more than {MEMBER_LIMIT} bytes"
_ZEROS = bytes(512)

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
)
"""What the readers of archives raise for a damaged one (found by damaging archives at random)."""

_DAMAGED_FILE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)
"""What a single damaged file of a zip archive raises; the others can still be read."""

Open = Callable[[], IO[bytes] | io.BufferedIOBase]


@final
@dataclass(frozen=True)
class Member:
    """A file in an archive: its name as a plain path, its bytes, why it cannot be read, and how it is opened.

    Files of a zip archive are compressed one by one: damage to one says nothing of the others.
    """

    name: str
    size: int
    refused: str
    open: Open
    alone: bool = False

    def read(self, most: int) -> bytes | str:
        """Return the first `most` bytes, or why they cannot be read."""
        try:
            with self.open() as file:
                return file.read(most)
        except _DAMAGED_FILE as error:
            if not self.alone:
                raise
            return f"damaged in the archive: {' '.join(str(error).split()) or type(error).__name__}"


def members(file: Path) -> Generator[Member]:
    """Yield the files of an archive in its order, folders left out; raises what `BROKEN` lists."""
    return _of_zip(file) if suffix(file) == ".zip" else _of_tar(file)


def _of_zip(file: Path) -> Generator[Member]:
    with zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            if info.is_dir():
                continue
            refused = "encrypted in the archive" if info.flag_bits & 1 else ""
            yield Member(_plain(info.filename), info.file_size, refused, partial(opened.open, info), alone=True)


def _of_tar(file: Path) -> Generator[Member]:
    with tarfile.open(file, "r:*") as opened:
        for info in opened:
            if info.isdir():
                continue
            refused = "" if info.isfile() else "not a regular file in the archive"
            if info.isfile() and info.size > MEMBER_LIMIT:
                refused = TOO_LARGE
            yield Member(_plain(info.name), info.size, refused, partial(_extracted, opened, info))
        # The reader takes any header that it cannot read for the end.
        assert opened.fileobj is not None
        opened.fileobj.seek(opened.offset)
        if opened.fileobj.read(len(_ZEROS)) != _ZEROS:
            raise tarfile.ReadError("it has no end after its last readable file")


def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes] | io.BufferedIOBase:
    file = opened.extractfile(info)
    assert file is not None
    return file


def _plain(name: str) -> str:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts) or name


def suffix(path: Path) -> str:
    """Return the suffix of an archive that is read, "" of any other file."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


@contextlib.contextmanager
def refused(file: Path) -> Iterator[None]:
    """Turn what a damaged archive raises into BadInput, one line that names it."""
    try:
        yield
    except BadInput:
        raise
    except BROKEN as error:
        raise unreadable(file, f"a {suffix(file)[1:]} archive", error) from error
