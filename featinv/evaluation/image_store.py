"""The reconstructions of one attack, held on disk while they are scored: memory stays flat in their number."""

import tempfile
from types import TracebackType

import numpy as np
import torch

from featinv.errors import BadInput
from featinv.evaluation.treatments import as_uint8
from featinv.types import Images


class ImageStore:
    """Images as 8-bit rows of an unnamed temporary file, appended in order and read back in any order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._file = tempfile.TemporaryFile(prefix="featinv-")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> "ImageStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, images: Images) -> None:
        """Add a batch. Raises BadInput when the temporary folder is full."""
        try:
            self._file.write(as_uint8(images).tobytes())
            self._file.flush()
        except OSError as error:
            raise BadInput(
                f"{tempfile.gettempdir()}: cannot hold the reconstructions while they are scored ({error.strerror}); "
                "free some space, or let TMPDIR name a folder that has it"
            ) from error
        self.count += len(images)

    def batch(self, indices: np.ndarray) -> Images:
        """Return the images at `indices` as float32 in [0, 1], (B, 3, S, S)."""
        rows = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(self.count, self.size, self.size, 3))
        return torch.from_numpy(rows[indices]).permute(0, 3, 1, 2).float().div(255)
