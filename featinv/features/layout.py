"""Which image lies in which shard of a store, and whether a shard is intact."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from featinv.features.array_files import BROKEN
from featinv.files import atomic_file

DTYPE = np.dtype("<f4")


@final
@dataclass(frozen=True)
class Shard:
    """The features of images `start` to `stop` (exclusive) in one view: one .npy file."""

    view: int
    block: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The file's name inside the store."""
        return f"view{self.view}-{self.block:05d}.npy"


@final
@dataclass(frozen=True)
class Layout:
    """Fixed blocks of `block` images (the last may be shorter), a shard for each block and each of `views`."""

    count: int
    block: int
    views: int
    feature_shape: tuple[int, ...]
    first_view: int = 0

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.count // self.block)

    def shards(self, first: int = 0, step: int = 1) -> Iterator[Shard]:
        """All shards of the blocks `first`, `first + step`, ...: the share of one process among `step`."""
        for number in range(first, self.blocks, step):
            start = number * self.block
            for view in range(self.first_view, self.first_view + self.views):
                yield Shard(view, number, start, min(start + self.block, self.count))

    def intact(self, folder: Path, shard: Shard) -> bool:
        """Say whether the shard is there with the right shape, dtype and number of bytes."""
        path = folder / shard.name
        shape = (shard.stop - shard.start, *self.feature_shape)
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            try:
                header = _header(file)
            except BROKEN:
                return False
            size = file.tell() + DTYPE.itemsize * int(np.prod(shape))
        return header == (shape, False, DTYPE) and path.stat().st_size == size


def write_shard(path: Path, features: np.ndarray) -> None:
    """Write an array as .npy atomically; raises BadInput that names the file when the disk is full."""
    features = np.ascontiguousarray(features, dtype=DTYPE)
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(features))
        # Not ndarray.tofile: its error on a full disk carries no errno.
        file.write(features.reshape(-1).view(np.uint8).data)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not version 1.0, in which every shard is written")
    return np.lib.format.read_array_header_1_0(file)
