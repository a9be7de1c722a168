"""Where results go, tried before any work is done."""

import os
import tempfile
from pathlib import Path

from featinv.errors import BadInput


def check_out(path: str | os.PathLike[str], flag: str = "--out") -> None:
    """Raise BadInput unless a folder can be made at `path`, or written to where it is there already.

    It is tried, not asked: folders that are missing are made and removed again, so that a command that is refused later
    leaves nothing behind. Read-only file systems and names that are too long are found as well.
    """
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise BadInput(f"{flag}: expected the path of a folder, got {text!r}; name one that can be written")
    created: list[Path] = []
    try:
        _make(Path(text), created)
        with tempfile.TemporaryFile(dir=text):
            pass
    except OSError as error:
        raise BadInput(
            f"{flag}: expected a folder that can be written, got {text} ({_why(Path(text), error)})"
        ) from error
    finally:
        for folder in reversed(created):
            folder.rmdir()


def check_out_file(path: str | os.PathLike[str], flag: str = "--out") -> None:
    """Raise BadInput unless a file can be made at `path`."""
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise BadInput(f"{flag}: expected the path of a file, got {text!r}; name one that can be written")
    if Path(text).is_dir():
        raise BadInput(f"{flag}: expected the path of a file, got the folder {text}; add a name")
    check_out(Path(text).parent, flag)


def _make(folder: Path, created: list[Path]) -> None:
    """Make a folder and the missing ones above it, noting each."""
    if folder.is_dir():
        return
    if folder != folder.parent:
        _make(folder.parent, created)
    folder.mkdir()
    created.append(folder)


def _why(path: Path, error: OSError) -> str:
    """Say what is in the way: a file where a folder should be, or what the system says."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        try:
            there = next((place for place in (path, *path.parents) if place.exists()), path)
        except OSError:
            there = path
        return f"{there} is a file; choose another {'folder' if there == path else 'place'}"
    return f"{error.strerror}; choose another folder"
