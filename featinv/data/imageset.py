"""N square images as uint8, with stable ids, optional labels and factors."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from featinv.data.encoder_pixels import EncoderPixels
from featinv.data.intake import Intake
from featinv.data.splitting import first_side
from featinv.errors import BadInput
from featinv.types import Images

BLOCK_BYTES = 16 * 2**20


@final
class ImageSet:
    """N square RGB images, kept as uint8 wherever they lie (memory or a memory-mapped file), named by stable ids.

    `pixels` is (N, S, S, 3) uint8 and is never copied as a whole: `take` and `split` only keep rows, `batch` and
    `uint8` gather only what is asked. `labels` is (N,) int64 or None, `factors` maps a name to (N,) int64 (ground
    truth beside the label), `provenance` is a JSON-able record of where the images came from, and `intake` says which
    files of the folder were not read; `take` and `split` keep that of the whole. `encoder_pixels` are the same images
    at the side and crop that an encoder sees, where these are others. Raises BadInput where counts, types or shapes
    disagree.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        *,
        ids: Sequence[str],
        labels: npt.ArrayLike | None = None,
        classes: Sequence[str] = (),
        factors: Mapping[str, npt.ArrayLike] | None = None,
        provenance: Mapping[str, Any] | None = None,
        intake: Intake | None = None,
        encoder_pixels: EncoderPixels | None = None,
    ) -> None:
        _check_pixels(pixels)
        count = len(pixels)
        if encoder_pixels is not None:
            _check_pixels(encoder_pixels.pixels)
            if len(encoder_pixels.pixels) != count:
                raise BadInput(
                    f"encoder_pixels: expected one for each of the {count} images, got {len(encoder_pixels.pixels)}"
                )
        if len(ids) != count:
            raise BadInput(f"ids: expected one for each of the {count} images, got {len(ids)}; give {count} ids")
        if len(set(ids)) != count:
            raise BadInput(f"ids: expected distinct names, got {_repeated(ids)!r} twice; rename one of the two")
        self._pixels = pixels
        self.encoder_pixels = encoder_pixels
        self._rows: np.ndarray | None = None
        self.ids: tuple[str, ...] = tuple(ids)
        self.classes: tuple[str, ...] = tuple(classes)
        self.labels = None if labels is None else _whole_numbers("labels", labels, count)
        if self.labels is not None and self.classes:
            _check_labels(self.labels, self.classes)
        self.factors = {name: _whole_numbers(f"factors[{name!r}]", v, count) for name, v in (factors or {}).items()}
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.intake: Intake = intake or Intake()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        labels = f", {len(self.classes) or 'unnamed'} classes" if self.labels is not None else ""
        skipped = f", {len(self.skipped)} files skipped" if self.skipped else ""
        return f"ImageSet({len(self)} images of {self.size} px from {self.source}{labels}{skipped})"

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self._pixels.shape[1])

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(path, reason) of the image files that were not read."""
        return self.intake.skipped

    @property
    def source(self) -> str:
        """Where the images came from, in words."""
        return str(self.provenance.get("source", "memory"))

    def uint8(self, indices: npt.ArrayLike) -> np.ndarray:
        """Copy the images at `indices` as (B, S, S, 3) uint8; BadInput if an index is not one of 0..N-1."""
        return np.asarray(np.take(self._pixels, self._stored(indices), axis=0))

    def batch(self, indices: npt.ArrayLike) -> Images:
        """Gather the images at `indices` as float32 in [0, 1], (B, 3, S, S), on the CPU."""
        return _floats(self.uint8(indices))

    @property
    def encoder_side(self) -> int:
        """Pixels a side of `encoder_batch`."""
        return self.size if self.encoder_pixels is None else self.encoder_pixels.side

    def encoder_batch(self, indices: npt.ArrayLike) -> Images:
        """Gather what an encoder sees at `indices`, as `batch`, (B, 3, E, E): the images where nothing else is kept."""
        if self.encoder_pixels is None:
            return self.batch(indices)
        return _floats(np.asarray(np.take(self.encoder_pixels.pixels, self._stored(indices), axis=0)))

    def take(self, indices: npt.ArrayLike) -> "ImageSet":
        """Choose images by their distinct indices, in that order, without copying a pixel."""
        taken = self._chosen(_indices(indices, len(self)))
        taken.provenance["taken"] = {"count": len(taken), "of": len(self), "ids_sha256": _ids_sha256(taken.ids)}
        return taken

    def split(
        self,
        fraction: int | float,
        *,
        seed: int = 0,
        groups: Sequence[object] | npt.NDArray[Any] | None = None,
    ) -> tuple["ImageSet", "ImageSet"]:
        """Split at random into round(fraction * N) images and the rest: disjoint, seeded, recorded in `provenance`.

        Both sides keep the order of the whole. With `groups`, the person or event of each image, the first side has
        whole groups of at least that many images, in an order drawn by the seed. Raises BadInput for a fraction that
        would leave one side empty, and for another number of groups than images or a single group.
        """
        rows = first_side(len(self), fraction, seed, groups)
        first, second = self._chosen(rows), self._chosen(np.setdiff1d(np.arange(len(self)), rows))
        for name, side in (("first", first), ("second", second)):
            record = {"seed": seed, "fraction": fraction, "side": name, "count": len(side), "of": len(self)}
            record |= {} if groups is None else {"whole_groups": True}
            record["ids_sha256"] = _ids_sha256(side.ids)
            side.provenance["splits"] = [*self.provenance.get("splits", []), record]
        return first, second

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the size and then every pixel in order, those that an encoder sees too; reads block by block."""
        digest = hashlib.sha256(f"{len(self)}x{self.size}".encode())
        for start, stop in self.blocks():
            digest.update(self.uint8(np.arange(start, stop)).tobytes())
        if self.encoder_pixels is not None:
            digest.update(json.dumps(self.encoder_pixels.record(), sort_keys=True).encode())
            step = max(1, BLOCK_BYTES // (3 * self.encoder_side**2))
            for start in range(0, len(self), step):
                rows = self._stored(np.arange(start, min(start + step, len(self))))
                digest.update(np.take(self.encoder_pixels.pixels, rows, axis=0).tobytes())
        return digest.hexdigest()

    def blocks(self, most_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
        """Bounds (start, stop) that cover all images in order, `most_bytes` (or one image) at a time."""
        step = max(1, most_bytes // (self.size * self.size * 3))
        for start in range(0, len(self), step):
            yield start, min(start + step, len(self))

    def _stored(self, indices: npt.ArrayLike) -> np.ndarray:
        """Return the rows of the stored pixels at `indices`."""
        rows = _indices(indices, len(self))
        return rows if self._rows is None else self._rows[rows]

    def _chosen(self, rows: np.ndarray) -> "ImageSet":
        if len(rows) == 0:
            raise BadInput("indices: expected at least one image, got none; choose some")
        if len(np.unique(rows)) != len(rows):
            raise BadInput("indices: expected each image at most once, got repeats; use batch() to draw with repeats")
        chosen = ImageSet.__new__(ImageSet)
        chosen._pixels = self._pixels
        chosen.encoder_pixels = self.encoder_pixels
        chosen._rows = rows if self._rows is None else self._rows[rows]
        chosen.ids = tuple(self.ids[row] for row in rows.tolist())
        chosen.classes = self.classes
        chosen.labels = None if self.labels is None else self.labels[rows]
        chosen.factors = {name: values[rows] for name, values in self.factors.items()}
        chosen.provenance = json.loads(json.dumps(self.provenance))
        chosen.intake = self.intake
        return chosen


def _floats(pixels: np.ndarray) -> Images:
    images = rearrange(torch.from_numpy(pixels), "b h w c -> b c h w")
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.shape[1] != pixels.shape[2]:
        raise BadInput(f"pixels: expected shape (N, S, S, 3), got {pixels.shape}; square RGB images, channels last")
    if pixels.dtype != np.uint8:
        raise BadInput(f"pixels: expected uint8 in 0..255, got {pixels.dtype}; convert (and scale) before")
    if len(pixels) == 0:
        raise BadInput("pixels: expected at least one image, got none; check the source of the images")


def _check_labels(labels: np.ndarray, classes: Sequence[str]) -> None:
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = labels.max() if labels.max() >= len(classes) else labels.min()
        raise BadInput(
            f"labels: expected 0..{len(classes) - 1} for {len(classes)} classes, got {wrong}; name every class"
        )


def _whole_numbers(name: str, values: npt.ArrayLike, count: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise BadInput(
            f"{name}: expected {count} whole numbers, got shape {array.shape} of {array.dtype}; give one an image"
        )
    return array.astype(np.int64)


def _indices(indices: npt.ArrayLike, count: int) -> np.ndarray:
    rows = np.asarray(indices)
    if rows.size == 0 and rows.ndim == 1:
        return np.zeros(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise BadInput(
            f"indices: expected a list of whole numbers, got shape {rows.shape} of {rows.dtype}; "
            "for a mask use np.flatnonzero(mask)"
        )
    if rows.min() < 0 or rows.max() >= count:
        wrong = rows.max() if rows.max() >= count else rows.min()
        raise BadInput(f"indices: expected 0..{count - 1} for {count} images, got {wrong}; drop or correct it")
    return rows.astype(np.int64)


def _repeated(ids: Sequence[str]) -> str:
    earlier: set[str] = set()
    return next(name for name in ids if name in earlier or earlier.add(name))  # type: ignore[func-returns-value]


def _ids_sha256(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode("utf-8", "surrogateescape")).hexdigest()
