"""Vectors of an audit that were computed elsewhere, and which of them belongs to which image."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import featinv as fi
from featinv.audit.settings import AuditSettings
from featinv.errors import BadInput
from featinv.features.loading import content_digest
from featinv.features.matching import Match, match, parts_of, plain_order_differs

if TYPE_CHECKING:
    from featinv.data import ImageSet

SIZE = 64
"""side of the images where nobody says what the encoder saw"""

NO_ENCODER = (
    "The encoder was not at hand: no attack looked through its layers, and that it is no relative of the judge is for "
    "you to know"
)


@dataclass(frozen=True)
class FileSource:
    """Vectors computed elsewhere; which one is of which image is found by names, or by order where there are none.

    The folders are those of the images. `fingerprint` is a digest of the content of the files.
    """

    private_vectors: "fi.Vectors"
    public_vectors: "fi.Vectors"
    public_folder: str
    private_folder: str
    size: int
    fingerprint: str
    encoder: None = None
    _matches: dict[str, Match] = field(default_factory=dict)
    _by_order: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.private_vectors.feature_shape

    @property
    def named(self) -> bool:
        """Whether the vectors of both sides are matched with their images by names."""
        return self.private_vectors.ids is not None and self.public_vectors.ids is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know: what was read by rule, what was paired by order, and how many vectors belong to no image."""
        files = {id(vectors): vectors for vectors in (self.private_vectors, self.public_vectors)}.values()
        read = [f"{vectors.source}: {note}" for vectors in files for note in vectors.notes]
        by_order = [note for notes in self._by_order.values() for note in notes]
        return (NO_ENCODER, *read, *by_order, *self._unused())

    def pairs(self, public: "ImageSet", store: Path) -> "fi.Pairs":
        del store
        return fi.pair(self._of(public, "public"), public)

    def release(self, private: "ImageSet", seed: int, store: Path) -> "fi.Release":
        del seed, store
        vectors = self._of(private, "private")
        fi.pair(vectors, private)
        metadata = {**vectors.metadata, "count": len(private), "private_fingerprint": private.fingerprint}
        # A copy: a file that is memory-mapped cannot be written to, which torch warns of.
        return fi.Release(np.array(vectors.features), metadata, private)

    def _of(self, images: "ImageSet", side: str) -> "fi.Vectors":
        vectors = self.public_vectors if side == "public" else self.private_vectors
        together = self.public_vectors is self.private_vectors
        if vectors.ids is None and not together:
            self._by_order[side] = _order_notes(vectors, images, side)
            return vectors
        if vectors.ids is None:
            raise BadInput(
                f"{vectors.source}: names no images, so that nobody knows which vectors are public; give those of the "
                "public images as --public-features FILE (each file in the order of its images), or save the vectors "
                "as .npz, .parquet or a feature store with ids"
            )
        self._matches[side] = matched = match(vectors, images.ids, self._folder(side))
        if together:
            self._must_be_of_one_side(matched, images, side)
        in_order = np.array_equal(matched.rows, np.arange(len(vectors)))
        # What is mapped from disk stays mapped where it can.
        features = vectors.features if in_order else vectors.features[matched.rows]
        return fi.Vectors(features, vectors.source, list(images.ids), vectors.metadata)

    def _folder(self, side: str) -> str:
        return self.public_folder if side == "public" else self.private_folder

    def _must_be_of_one_side(self, matched: Match, images: "ImageSet", side: str) -> None:
        """Raise BadInput where a row would be of a public and of a private image, or has the other folder's name."""
        other = "private" if side == "public" else "public"
        advice = (
            f"write the folder's name before the ids, as in {_told_apart(self._folder(side), self._folder(other))}/"
            f"{images.ids[0]}, or give two files (--features for the private images, --public-features)"
        )
        theirs = self._matches.get(other)
        none = np.zeros(0, dtype=np.int64)
        shared = none if theirs is None else np.flatnonzero(np.isin(matched.rows, theirs.rows))
        source = self.private_vectors.source
        if len(shared):
            raise BadInput(
                f"{source}: the vector of {images.ids[shared[0]]!r} would be of a public and of a private image "
                f"({len(shared)} such), so that the {side} or the {other} vectors are missing; {advice}"
            )
        names = parts_of(os.path.abspath(self._folder(other)))[-1:]
        if matched.folder_parts == 0 and names and matched.prefix[-1:] == names:
            raise BadInput(
                f"{source}: expected vectors of the {side} images in {self._folder(side)}, got ids of the {other} "
                f"ones ({'/'.join(matched.prefix)}/...); {advice}"
            )

    def _unused(self) -> list[str]:
        sides = (("private", self.private_vectors), ("public", self.public_vectors))
        notes: dict[int, str] = {}
        for _, vectors in sides:
            rows = [self._matches[side].rows for side, held in sides if held is vectors and side in self._matches]
            expected = sum(held is vectors for _, held in sides)
            if len(rows) == expected and (left := len(vectors) - len(np.unique(np.concatenate(rows)))):
                notes[id(vectors)] = f"{vectors.source}: {left} of {len(vectors)} vectors belong to no image given here"
        return list(notes.values())


def open_files(settings: AuditSettings) -> FileSource:
    """Read the vectors that the flags name. Raises BadInput for what cannot be read, or does not belong together."""
    assert settings.features is not None
    assert settings.public is not None
    assert settings.private is not None
    columns = {"column": settings.column, "id_column": settings.id_column}
    private = _load(settings.features, settings)
    digests = [content_digest(settings.features)]
    public = private
    if settings.public_features is not None:
        digests.append(content_digest(settings.public_features))
        public = _load(settings.public_features, settings)
        if public.ids == private.ids and np.array_equal(public.features, private.features):
            # The same vectors for both sides, perhaps copied: as if the file had been named once.
            public = private
    if public.feature_shape != private.feature_shape:
        raise BadInput(
            f"{public.source}: expected vectors of shape {private.feature_shape} as in {private.source}, got "
            f"{public.feature_shape}; an attack learns from vectors of the same encoder and layer"
        )
    asked = [f"{key}={value}" for key, value in columns.items() if value is not None]
    return FileSource(
        private, public, settings.public, settings.private, settings.size or SIZE, "+".join([*digests, *asked])
    )


def _load(path: str, settings: AuditSettings) -> "fi.Vectors":
    return fi.load_features(path, column=settings.column, id_column=settings.id_column)


def _order_notes(vectors: "fi.Vectors", images: "ImageSet", side: str) -> tuple[str, ...]:
    note = f"The {side} vectors are paired by order; {vectors.source} names no images"
    differs = plain_order_differs(images.ids)
    if differs is None:
        return (note,)
    return (
        note,
        f"WARNING: the order of the {side} images is not that of their paths sorted as plain text ({differs[0]!r} "
        f"comes where plain text has {differs[1]!r}); if {vectors.source} was written in another order, every pair is "
        "wrong: save the vectors with ids",
    )


def _told_apart(folder: str, other: str) -> str:
    """Return as many last parts of the folder's path as tell it from the other folder."""
    ours, theirs = parts_of(os.path.abspath(folder)), parts_of(os.path.abspath(other))
    parts = 1
    while parts < len(ours) and ours[-parts:] == theirs[-parts:]:
        parts += 1
    return "/".join(ours[-parts:])
