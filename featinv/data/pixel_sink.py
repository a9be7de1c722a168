"""Where decoded images go, one after the other: memory, an unlinked temporary file, or a named file."""

import contextlib
import errno
import tempfile
from pathlib import Path
from typing import BinaryIO, Protocol, final, runtime_checkable

import numpy as np

from featinv.errors import BadInput


@runtime_checkable
class Sink(Protocol):
    """Takes images in order and gives them back as one array (N, S, S, 3) uint8."""

    def add(self, image: np.ndarray) -> None: ...

    def pixels(self) -> np.ndarray: ...


@final
class Memory:
    """One array for at most `count` images; what is not filled is never touched and so takes no memory."""

    def __init__(self, count: int, size: int) -> None:
        self.array = np.empty((count, size, size, 3), dtype=np.uint8)
        self.filled = 0

    def add(self, image: np.ndarray) -> None:
        self.array[self.filled] = image
        self.filled += 1

    def pixels(self) -> np.ndarray:
        return self.array[: self.filled]


@final
class RawFile:
    """Pixels one after the other in a file without a header, mapped read-only once they are all there.

    Written with plain writes, because a full disk is then an error and not, as in a mapped file, a killed process.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.filled = 0

    def add(self, image: np.ndarray) -> None:
        self.file.write(image.tobytes())
        self.filled += 1

    def pixels(self) -> np.ndarray:
        self.file.flush()
        return map_pixels(self.file, self.filled, self.size)


@final
class TemporaryFile:
    """A RawFile in the system's temporary folder that no name leads to: it goes when the last reader is gone."""

    def __init__(self, size: int) -> None:
        self.raw = RawFile(tempfile.TemporaryFile(prefix="featinv-"), size)  # noqa: SIM115

    def add(self, image: np.ndarray) -> None:
        try:
            self.raw.add(image)
        except OSError as error:
            raise self._clear(error) from error

    def pixels(self) -> np.ndarray:
        try:
            with self.raw.file:
                return self.raw.pixels()
        except OSError as error:
            raise self._clear(error) from error

    def _clear(self, error: OSError) -> BaseException:
        with contextlib.suppress(OSError):
            self.raw.file.close()
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return error
        return BadInput(
            f"{tempfile.gettempdir()}: the disk is full ({error.strerror}) after {self.raw.filled} decoded images; "
            "give cache= a folder with more space, or a smaller size="
        )


def map_pixels(file: BinaryIO | Path, count: int, size: int) -> np.ndarray:
    """Map (count, size, size, 3) uint8 read-only."""
    return np.memmap(file, dtype=np.uint8, mode="r", shape=(count, size, size, 3))
