"""(features, images) pairs: what an attacker trains on."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.rows import ArrayRows, Rows, unknown_metadata
from featinv.types import Features


@final
class Pairs:
    """N public images and the features that the victim makes of them, gathered row by row, never copied as a whole.

    `features` is an array (N, D) or (N, C, h, w) float32, or `Rows` of a store or a live victim. `metadata` describes
    the victim (all unknown without one). With `views` 2 the features of the mirrored images are there too, so that
    mirroring can reach both sides of a pair. Raises BadInput where the counts differ.
    """

    def __init__(
        self, features: np.ndarray | Rows, images: ImageSet, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        rows: Rows = ArrayRows(features) if isinstance(features, np.ndarray) else features
        if rows.count != len(images):
            raise BadInput(
                f"pairs: expected one vector for each of the {len(images)} images, got {rows.count}; "
                "give the images that the vectors were made of, in the same order"
            )
        self.rows = rows
        self.images = images
        self.metadata = dict(
            unknown_metadata("memory", rows.feature_shape, images.size) if metadata is None else metadata
        )
        self._chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        images = f"images of {self.image_size} px from {self.metadata['name']}"
        return f"Pairs({len(self)} of {self.feature_shape} with {images})"

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """(D,) or (C, h, w)."""
        return self.rows.feature_shape

    @property
    def views(self) -> int:
        """2 where mirrored images have features of their own, else 1."""
        return self.rows.views

    @property
    def image_size(self) -> int:
        """Pixels a side of the images (the encoder may resize them)."""
        return self.images.size

    @property
    def labels(self) -> np.ndarray | None:
        """(N,) int64, or None where the images have none."""
        return self.images.labels

    def batch(
        self, indices: npt.ArrayLike, flip: npt.ArrayLike | None = None
    ) -> tuple[Features, Float[Tensor, "B 3 S S"]]:
        """Gather features (B, *F) and images (B, 3, S, S) in [0, 1] at `indices`, in that order, on the CPU.

        `flip` is one bool a row: mirror this image, and take the features of the mirrored one. Raises BadInput where
        `flip` asks for a second view that is not there, or an index is not one of 0..N-1.
        """
        rows = self._indices(indices)
        images = self.images.batch(rows)
        mirrored = self._mirrored(flip, len(rows))
        if mirrored is not None:
            chosen = torch.from_numpy(mirrored)
            images[chosen] = images[chosen].flip(-1)
        return torch.from_numpy(self._gather(rows, mirrored)), images

    def features(self, indices: npt.ArrayLike) -> np.ndarray:
        """Gather the features at `indices` as float32 (B, *F), without decoding images."""
        return self._gather(self._indices(indices), None)

    def take(self, indices: npt.ArrayLike) -> "Pairs":
        """Choose pairs by distinct indices, in that order; copies neither features nor images."""
        rows = self._indices(indices)
        taken = Pairs.__new__(Pairs)
        taken.rows = self.rows
        taken.images = self.images.take(rows)
        taken.metadata = dict(self.metadata)
        taken._chosen = rows if self._chosen is None else self._chosen[rows]
        return taken

    def split(self, fraction: int | float, *, seed: int = 0) -> tuple["Pairs", "Pairs"]:
        """Split at random into round(fraction * N) pairs and the rest, disjoint, each in the order of the whole.

        Raises BadInput for a fraction that would leave one side empty.
        """
        count = round(len(self) * fraction)
        if not 0 < fraction < 1 or not 0 < count < len(self):
            raise BadInput(
                f"fraction: expected one that leaves neither side of {len(self)} pairs empty, got {fraction}; e.g. 0.9"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(np.sort(order[:count])), self.take(np.sort(order[count:]))

    def _gather(self, rows: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        return self.rows.gather(rows if self._chosen is None else self._chosen[rows], flip)

    def _indices(self, indices: npt.ArrayLike) -> np.ndarray:
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise BadInput(f"indices: expected a list of whole numbers, got {rows.dtype} of shape {rows.shape}")
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise BadInput(f"indices: expected 0..{len(self) - 1} for {len(self)} pairs, got {wrong}")
        return rows.astype(np.int64)

    def _mirrored(self, flip: npt.ArrayLike | None, count: int) -> np.ndarray | None:
        if flip is None:
            return None
        mirrored = np.asarray(flip)
        if mirrored.shape != (count,) or mirrored.dtype != np.bool_:
            raise BadInput(f"flip: expected {count} bools, one a row, got {mirrored.dtype} of shape {mirrored.shape}")
        if not mirrored.any():
            return None
        if self.views < 2:
            raise BadInput("flip: there are no features of mirrored images; extract with flips=True, or use live pairs")
        return mirrored
