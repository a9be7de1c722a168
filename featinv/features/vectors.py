"""Vectors that somebody already has, and the images they belong to."""

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.matching import match_ids
from featinv.features.pairs import Pairs
from featinv.features.rows import ArrayRows, unknown_metadata

BLOCK_BYTES = 16 * 2**20


@final
@dataclass(frozen=True, eq=False)
class Vectors:
    """N feature vectors, float32 (N, D) or (N, C, h, w), finite, perhaps memory-mapped, without their images.

    `source` is the file they come from, `ids` name their images where the file does, `metadata` describes the victim
    that made them (all unknown for bare vectors), `notes` say what was chosen by rule where the file held more. Raises
    BadInput that names `source` and the first row that is not finite.
    """

    features: np.ndarray
    source: str
    ids: list[str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        features = self.features
        if features.ndim not in (2, 4):
            raise BadInput(
                f"{self.source}: expected vectors of shape (N, D) or (N, C, h, w), got {features.shape}; "
                "for a single vector use shape (1, D)"
            )
        if 0 in features.shape:
            raise BadInput(f"{self.source}: expected at least one vector, got an array of shape {features.shape}")
        if features.dtype != np.float32:
            raise BadInput(f"{self.source}: expected float32, got {features.dtype}; convert with astype(numpy.float32)")
        if self.ids is not None and len(self.ids) != len(features):
            raise BadInput(f"{self.source}: expected one id for each of {len(features)} vectors, got {len(self.ids)}")
        if (row := first_row_not_finite(features)) is not None:
            named = f" ({self.ids[row]})" if self.ids else ""
            raise BadInput(
                f"{self.source}: expected finite features, got NaN or infinity in row {row}{named}; leave such rows out"
            )
        if not self.metadata:
            object.__setattr__(self, "metadata", unknown_metadata(self.source, tuple(features.shape[1:]), None))

    def __len__(self) -> int:
        return len(self.features)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """(D,) or (C, h, w)."""
        return tuple(self.features.shape[1:])


def pair(vectors: Vectors, images: ImageSet) -> Pairs:
    """Put vectors and the images that they were made of together: by names where the file has them, else by order.

    Names in another order are put in the order of the images (the vectors are then copied). Raises BadInput when the
    counts differ, when a name is there twice or when an image has none.
    """
    if len(vectors) != len(images):
        raise BadInput(
            f"{vectors.source}: {len(vectors)} vectors for {len(images)} images; "
            "give the images that the vectors were made of, in the same order"
        )
    features = vectors.features
    if vectors.ids is not None and list(vectors.ids) != list(images.ids):
        features = features[match_ids(vectors, images.ids)]
    return Pairs(ArrayRows(features), images, metadata=vectors.metadata)


def first_row_not_finite(features: np.ndarray) -> int | None:
    """Return the first row that holds NaN or infinity, or None; reads the array block by block."""
    step = max(1, BLOCK_BYTES // max(1, features[:1].nbytes))
    for start in range(0, len(features), step):
        block = features[start : start + step]
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            return start + int(np.argmin(finite))
    return None
