"""Feature rows of a store, gathered across memory-mapped shards."""

from pathlib import Path
from typing import final

import numpy as np

from featinv.features.layout import Layout

OPEN_SHARDS = 256
"""Shards mapped at once: each holds a file descriptor, and 1024 are a common limit."""


@final
class ShardRows:
    """Rows of a finished store; only what is asked for is read, and anonymous memory stays flat."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self.count = layout.count
        self.views = layout.views
        self.feature_shape = layout.feature_shape
        self._mapped: dict[str, np.ndarray] = {}

    def gather(self, indices: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        """Copy the rows at `indices`, in that order, reading each shard once."""
        rows = np.empty((len(indices), *self.feature_shape), dtype=np.float32)
        blocks, views = indices // self.layout.block, np.zeros_like(indices) if flip is None else flip.astype(np.int64)
        keys = views * self.layout.blocks + blocks
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order], prepend=-1))
        for group in np.split(order, edges[1:]) if len(order) else ():
            block, view = int(blocks[group[0]]), int(views[group[0]])
            rows[group] = self._shard(f"view{view}-{block:05d}.npy")[indices[group] - block * self.layout.block]
        return rows

    def _shard(self, name: str) -> np.ndarray:
        if name not in self._mapped:
            if len(self._mapped) >= OPEN_SHARDS:
                self._mapped.pop(next(iter(self._mapped)))
            self._mapped[name] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return self._mapped[name]
