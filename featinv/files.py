"""Writing so that nothing is half-written, and reading strangers' JSON with limits."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from featinv.errors import BadInput
from featinv.plain_numbers import plain

JSON_LIMIT = 64 * 2**20
"""Bytes of JSON that we are willing to parse; a manifest of 1,000,000 images stays under it."""

_PLAIN = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")
_READABLE = 100
"""Bytes of a folder's name that are for the reader: with a digest and a temporary suffix it stays under 255."""
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_RESERVED = _DEVICES | {"checkpoints", "features", "images", "surrogates", "trackers", "wandb"}

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def _clear_when_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BadInput(
                f"{path}: the disk is full ({error.strerror}); nothing already there was changed. "
                "Free some space, or choose another --out, and run again."
            ) from error
        raise


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step, on an error it is removed.

    Raises BadInput when the disk is full; what stood at `path` before is then still there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _clear_when_full(path):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def publish_folder(final: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside `final`; on success it takes the place of `final`, on an error it is removed.

    An older `final` is replaced only once the new one is complete. Raises BadInput when the disk is full.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
    try:
        with _clear_when_full(final):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if final.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".old", dir=final.parent))
                os.replace(final, old / "was")
                os.replace(temporary, final)
                shutil.rmtree(old)
            else:
                os.replace(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically, NumPy scalars as plain numbers; NaN and infinity are refused, because JSON has none."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path | str, limit: int = JSON_LIMIT) -> Any:
    """Read JSON of at most `limit` bytes; raises BadInput naming the file when it is missing, too large or broken."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: expected a JSON file, found none")
    if (size := path.stat().st_size) > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes of JSON, got {size}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: expected JSON, but it is truncated or something else ({error})") from error


def within(path: Path, size: int, limit: int) -> None:
    """Raise BadInput when `size` bytes are more than allowed."""
    if size > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes, got {size}; raise limit_bytes if you trust the file")


def unreadable(path: Path, expected: str, error: BaseException) -> BadInput:
    """Return the error for a file that is not what its name says."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return BadInput(f"{path}: expected {expected}, but it is truncated or something else ({reason})")


def missing_extra(path: Path, form: str, package: str, extra: str) -> BadInput:
    """Return the error for a format whose reader is not installed, with the line that installs it."""
    return BadInput(f"{path}: {form} needs {package}; install it with: pip install 'featinv[{extra}]'")


def folder_name(name: str) -> str:
    """Return a folder name for `name`, at most 112 bytes long; different names get different folders.

    Lower-case words [a-z0-9] joined by single spaces keep their letters, with dashes for the spaces. Every other name
    keeps its letters, marks and digits in lower case (NFC), and gets `_` and 8 hexadecimal digits of the SHA-256 of
    the exact name: so do names that Windows reserves, names over 100 bytes, and folders that a run itself makes.
    The result is safe on file systems that ignore case or normalise Unicode.
    """
    plain = name.replace(" ", "-")
    if _PLAIN.fullmatch(name) and len(plain) <= _READABLE and plain not in _RESERVED:
        return plain
    # surrogatepass: a name from the command line may hold bytes that are no text.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    lower = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())
    kept = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in lower)
    readable = "-".join(kept.split()).encode()[:_READABLE].decode(errors="ignore")
    # No plain name holds "_", so that no plain name equals one with a digest.
    return f"{readable}_{digest}"


def likeness_key(name: str) -> str:
    """Return what two names share that a reader cannot tell apart: equal but for case, spaces or invisible letters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(letter for letter in folded if unicodedata.category(letter) != "Cf").split())


def sha256_file(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
