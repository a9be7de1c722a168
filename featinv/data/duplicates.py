"""The same image in public and private: an error when exact, counted when nearly so."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from featinv import processes
from featinv.data.image_likeness import close_hashes, difference_hashes, same_image, thumbnails
from featinv.data.imageset import ImageSet
from featinv.errors import BadInput

_log = logging.getLogger(__name__)
_BLOCK_BYTES = 4 * 2**20
_PAIRS = 1024


@final
@dataclass(frozen=True)
class Overlap:
    """Images that two sets share, as pairs (public id, private id): equal in every pixel, or nearly the same."""

    exact: list[tuple[str, str]]
    near: list[tuple[str, str]]

    def __str__(self) -> str:
        public, private = len({pair[0] for pair in self.near}), len({pair[1] for pair in self.near})
        return (
            f"{len(self.exact)} pairs of equal images; {len(self.near)} pairs of near-duplicates "
            f"({public} public, {private} private images)"
        )


def overlap(public: ImageSet, private: ImageSet) -> Overlap:
    """Find the images that `public` and `private` share, in time |public| x |private| and flat memory.

    Exact: every pixel equal. Near: a 128-bit difference hash within 32 bits proposes, the distance between the pixels
    confirms (`image_likeness`); this finds re-encoded, brightened, slightly shifted or cropped copies, not mirrored
    or strongly cropped ones. On CIFAR-10 (50,000 training against 5,000 test images) it finds no equal pair, and
    near-duplicates of 3.5 % of the test images; Barz and Denzler (arXiv 1902.00423) report 3.3 % of all 10,000,
    found with a network and judged by people. Raises BadInput when the two have different sizes.
    """
    if public.size != private.size:
        raise BadInput(
            f"public, private: expected images of one size, got {public.size} and {private.size} px; "
            "read both with the same size="
        )
    exact, near = _Exact(private), _Near(private)
    matches = Overlap([], [])
    with processes.progress_bar(len(public), "compare public with private") as bar:
        for start, stop in public.blocks(_BLOCK_BYTES):
            images = public.uint8(np.arange(start, stop))
            equal = set(exact.pairs(images))
            matches.exact.extend((public.ids[start + row], private.ids[other]) for row, other in sorted(equal))
            alike = sorted(set(near.pairs(images)) - equal)
            matches.near.extend((public.ids[start + row], private.ids[other]) for row, other in alike)
            bar.update(stop - start)
    return matches


def disjoint(public: ImageSet, private: ImageSet, *, drop_near: bool = False) -> tuple[ImageSet, Overlap]:
    """Refuse public images that are private too; count near-duplicates, and leave them out of public only if asked.

    Returns the public set to train on, with the counts in its provenance, and what was found. Raises BadInput for a
    image that is in both, and when nothing would be left.
    """
    matches = overlap(public, private)
    if matches.exact:
        ours, theirs = matches.exact[0]
        raise BadInput(
            f"public, private: expected no image in both, got {len(matches.exact)} (the first: public {ours}, "
            f"private {theirs}); take them out of public"
        )
    near = {pair[0] for pair in matches.near}
    if near and processes.is_main():
        fate = "left out" if drop_near else "kept; drop_near=True leaves them out"
        _log.warning("%s: %d public images nearly equal a private one (%s)", public.source, len(near), fate)
    keep = [row for row, name in enumerate(public.ids) if not (drop_near and name in near)]
    if not keep:
        raise BadInput(
            f"public: expected images that are not private too, got {len(public)} that all nearly equal a private "
            "one; use other public images"
        )
    checked = public.take(keep)
    checked.provenance["near_duplicates"] = {"pairs": len(matches.near), "public": len(near), "dropped": drop_near}
    return checked, matches


def duplicates_within(images: ImageSet) -> list[list[str]]:
    """Find the images that are there more than once, equal in every pixel: groups of ids, each in the images' order.

    Reads every pixel once, in flat memory.
    """
    return [[images.ids[row] for row in rows] for rows in _Exact(images).rows.values() if len(rows) > 1]


def near_duplicates_within(images: ImageSet) -> list[tuple[str, str]]:
    """Find pairs of ids of one set that show the same without being equal, as `overlap` does, in time N x N."""
    exact, near = _Exact(images), _Near(images)
    matches: list[tuple[str, str]] = []
    for start, stop in images.blocks(_BLOCK_BYTES):
        pixels = images.uint8(np.arange(start, stop))
        equal = set(exact.pairs(pixels))
        alike = sorted(set(near.pairs(pixels)) - equal)
        matches.extend((images.ids[start + row], images.ids[other]) for row, other in alike if start + row < other)
    return matches


@final
class _Exact:
    """Private images by the digest of their pixels."""

    def __init__(self, private: ImageSet) -> None:
        self.rows: dict[bytes, list[int]] = {}
        for start, stop in private.blocks(_BLOCK_BYTES):
            for row, image in enumerate(private.uint8(np.arange(start, stop)), start):
                self.rows.setdefault(_digest(image), []).append(row)

    def pairs(self, images: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield (row of `images`, private row) of equal images."""
        for row, image in enumerate(images):
            for other in self.rows.get(_digest(image), ()):
                yield row, other


@final
class _Near:
    """Private images by their perceptual hashes."""

    def __init__(self, private: ImageSet) -> None:
        self.private = private
        blocks = private.blocks(_BLOCK_BYTES)
        self.hashes = np.concatenate([difference_hashes(private.uint8(np.arange(a, b))) for a, b in blocks])

    def pairs(self, images: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield (row of `images`, private row) of images that show the same."""
        proposed = close_hashes(difference_hashes(images), self.hashes)
        if not len(proposed):
            return
        ours = thumbnails(images)
        for start in range(0, len(proposed), _PAIRS):
            part = proposed[start : start + _PAIRS]
            rows, place = np.unique(part[:, 1], return_inverse=True)
            theirs = thumbnails(self.private.uint8(rows))[place]
            for row, other in part[same_image(ours[part[:, 0]], theirs)]:
                yield int(row), int(other)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
