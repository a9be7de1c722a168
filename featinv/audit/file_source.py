"""Vectors of an audit that were computed elsewhere, and which of them belongs to which picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import featinv as fi
from featinv.audit.settings import AuditSettings
from featinv.errors import BadInput
from featinv.files import sha256_file

if TYPE_CHECKING:
    from featinv.data import ImageSet

SIZE = 64
"""side of the pictures where nobody says what the encoder saw"""


@dataclass(frozen=True)
class FileSource:
    """Vectors computed elsewhere; which one is of which picture is found by names, or else by order."""

    private_vectors: "fi.Vectors"
    public_vectors: "fi.Vectors"
    public_folder: str
    private_folder: str
    size: int
    fingerprint: str
    notes: tuple[str, ...]
    encoder: None = None
    _rows: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.private_vectors.feature_shape

    def pairs(self, public: "ImageSet", store: Path) -> "fi.Pairs":
        del store
        return fi.pair(self._of(public, self.public_vectors, self.public_folder), public)

    def release(self, private: "ImageSet", seed: int) -> "fi.Release":
        del seed
        vectors = self._of(private, self.private_vectors, self.private_folder)
        fi.pair(vectors, private)
        card = {**vectors.card, "count": len(private), "private_fingerprint": private.fingerprint}
        # A copy: a file that is memory-mapped cannot be written to, which torch warns of.
        return fi.Release(np.array(vectors.features), card, private)

    def _of(self, images: "ImageSet", vectors: "fi.Vectors", folder: str) -> "fi.Vectors":
        if self.public_vectors is not self.private_vectors:
            return vectors
        rows = rows_of(vectors, images.ids, folder)
        self._rows[folder] = rows
        others = [other for name, other in self._rows.items() if name != folder]
        both = [images.ids[place] for place in np.flatnonzero(np.isin(rows, others))]
        if both:
            raise BadInput(
                f"{vectors.source}: the vector of {both[0]} would be of a public and of a private picture; write the "
                f"folder's name before the ids, as in {folder}/{both[0]}"
            )
        return fi.Vectors(vectors.features[rows], vectors.source, list(images.ids), vectors.card)


def open_files(settings: AuditSettings) -> FileSource:
    """Read the vectors that the flags name. Raises BadInput for what cannot be read, or does not belong together."""
    assert settings.features is not None
    assert settings.public is not None
    assert settings.private is not None
    private = fi.load_features(settings.features)
    public = private if settings.public_features is None else fi.load_features(settings.public_features)
    if public.feature_shape != private.feature_shape:
        raise BadInput(
            f"{public.source}: expected vectors of shape {private.feature_shape} as in {private.source}, got "
            f"{public.feature_shape}; an attack learns from vectors of the same encoder and layer"
        )
    files = [Path(name) for name in (settings.features, settings.public_features) if name is not None]
    return FileSource(
        private,
        public,
        Path(settings.public).name,
        Path(settings.private).name,
        settings.size or SIZE,
        "+".join(_digest(file) for file in files),
        (
            "The encoder was not at hand: no attack looked through its layers, and that it is no relative of the judge "
            "is for you to know",
        ),
    )


def rows_of(vectors: "fi.Vectors", ids: Sequence[str], folder: str) -> np.ndarray:
    """Return the rows of these pictures' vectors: those named FOLDER/ID in the vectors' file, else ID alone.

    Raises BadInput where the file names no pictures, or where one of these is not among them.
    """
    if vectors.ids is None:
        raise BadInput(
            f"{vectors.source}: names no pictures, so that nobody knows which vectors are public; give those of the "
            "public pictures as --public-features FILE (each file in the order of its pictures), or save the vectors "
            "as .npz, .parquet or a feature store with ids"
        )
    rows = {name: row for row, name in enumerate(vectors.ids)}
    found = [rows.get(f"{folder}/{name}", rows.get(name)) for name in ids]
    absent = [name for name, row in zip(ids, found, strict=True) if row is None]
    if absent:
        raise BadInput(
            f"{vectors.source}: has no vector of {len(absent)} of {len(ids)} pictures in {folder} (the first: "
            f"{absent[0]}); its ids are paths inside the folder, with or without the folder's name before them, such "
            f"as {vectors.ids[0]!r}"
        )
    return np.array(found, dtype=np.int64)


def _digest(path: Path) -> str:
    return sha256_file(path if path.is_file() else next(path.glob("*.json")))
