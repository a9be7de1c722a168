"""Where feature rows come from: arrays in memory, shards on disk, or a live victim."""

from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from featinv.errors import BadInput
from featinv.features.layout import Layout


@runtime_checkable
class Rows(Protocol):
    """N feature rows in one view, or in two: of the images as they are (0) and of the mirrored images (1)."""

    count: int
    feature_shape: tuple[int, ...]
    views: int

    def gather(self, indices: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        """Copy the rows at `indices` in that order, float32 (B, *F); where `flip` is true, those of the second view."""
        ...


@final
class ArrayRows:
    """Rows of arrays (N, *F), one for each view, that lie in memory or are memory-mapped."""

    def __init__(self, *views: np.ndarray) -> None:
        first = views[0]
        if any(view.shape != first.shape for view in views):
            raise BadInput(f"features: expected views of one shape, got {[view.shape for view in views]}")
        if first.ndim not in (2, 4) or len(first) == 0 or any(view.dtype != np.float32 for view in views):
            raise BadInput(
                f"features: expected float32 of shape (N, D) or (N, C, h, w), N > 0, got {first.dtype} {first.shape}"
            )
        self.arrays = views
        self.views = len(views)
        self.count = len(first)
        self.feature_shape = tuple(first.shape[1:])

    def gather(self, indices: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        """Copy the rows at `indices`, in that order."""
        if flip is None:
            return np.ascontiguousarray(self.arrays[0][indices])
        rows = np.empty((len(indices), *self.feature_shape), dtype=np.float32)
        rows[~flip] = self.arrays[0][indices[~flip]]
        rows[flip] = self.arrays[1][indices[flip]]
        return rows


def unknown_metadata(source: str, feature_shape: tuple[int, ...], image_size: int | None) -> dict[str, Any]:
    """Return the victim metadata of vectors whose victim is not known: every fingerprint is None."""
    unknown = ("encoder", "family", "layer", "trained_on", "encoder_fingerprint", "defence", "fingerprint")
    return {
        "name": f"vectors of {source}",
        **dict.fromkeys(unknown),
        "feature_shape": list(feature_shape),
        "image_size": image_size,
    }


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
            name = f"view{self.layout.first_view + view}-{block:05d}.npy"
            rows[group] = self._shard(name)[indices[group] - block * self.layout.block]
        return rows

    def _shard(self, name: str) -> np.ndarray:
        if name not in self._mapped:
            if len(self._mapped) >= OPEN_SHARDS:
                self._mapped.pop(next(iter(self._mapped)))
            self._mapped[name] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return self._mapped[name]
