"""Who is on which image, and that nobody is on images of both sides."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Bool, Int64

from featinv.errors import BadInput
from featinv.evaluation.intervals import Clusters
from featinv.evaluation.reidentification import check_gallery, gallery_blocks


@final
@dataclass(frozen=True, eq=False)
class People:
    """Who is on which of N images: the number of the person, (N,), and two images of each as gallery entries, (P, 2).

    The entries are drawn by the seed; of a person with a single image both are that one.
    """

    member: Int64[np.ndarray, " N"]
    entries: Int64[np.ndarray, "P 2"]

    @classmethod
    def of(cls, clusters: Clusters, seed: int) -> "People":
        """Draw the gallery's images. `clusters` is a number for each image."""
        _, member = np.unique(clusters, return_inverse=True)
        order = np.random.default_rng([seed, 14]).permutation(len(member))
        order = order[np.argsort(member[order], kind="stable")]
        starts = np.searchsorted(member[order], np.arange(member.max() + 1))
        several = np.bincount(member) > 1
        return cls(member.astype(np.int64), np.stack([order[starts], order[starts + several]], axis=1))

    @property
    def count(self) -> int:
        """Number of people."""
        return len(self.entries)

    @cached_property
    def with_others(self) -> Bool[np.ndarray, " N"]:
        """Whether an image's person has another image."""
        return (np.bincount(self.member) > 1)[self.member]

    @cached_property
    def pairs(self) -> Int64[np.ndarray, "K 2"]:
        """Every ordered pair of different images of one person."""
        order = np.argsort(self.member, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.member[order])) + 1)
        grids = [np.stack(np.meshgrid(group, group, indexing="ij"), axis=-1).reshape(-1, 2) for group in groups]
        pairs = np.concatenate(grids)
        return pairs[pairs[:, 0] != pairs[:, 1]]

    @cached_property
    def impostors(self) -> int:
        """Number of pairs of images of different people."""
        count = len(self.member)
        return (count * (count - 1) - len(self.pairs)) // 2

    def reason_against_type_two(self) -> str | None:
        """Say why no reconstruction can be compared with another image of the same person; None where some can."""
        several = int((np.bincount(self.member) > 1).sum())
        if several > 1:
            return None
        return f"it needs two images of at least two people, and {several or 'none'} of {self.count} has two"

    def reason_against(self, far: float) -> str | None:
        """Say why a false accept rate cannot be set; None where it can."""
        needed = int(np.ceil(1 / far - 1e-9))
        if self.impostors >= needed:
            return None
        return (
            f"a false accept rate of {far:g} needs {needed:,} pairs of different people, these are {self.impostors:,}"
        )

    def blocks(self, size: int | None, seed: int) -> list[tuple[Int64[np.ndarray, " G"], int]]:
        """Return the people of each gallery of `size`, and how many of them are looked for in it."""
        if size is None or size == self.count:
            return [(np.arange(self.count), self.count)]
        check_gallery(size, self.count)
        return gallery_blocks(self.count, size, seed)


def check_persons(private: Iterable[object] | None, public: Iterable[object], public_images: int | None = None) -> None:
    """Raise BadInput where a person is on images of both sides: an attack could have learnt that person.

    Both hold the person of each image; `public_images` is how many public images there are, where that is known.
    """
    people, learnt = ([] if side is None else list(side) for side in (private, public))
    if private is None:
        raise BadInput("public_clusters: belongs to clusters, the people on the private images; give both")
    if public_images not in (None, len(learnt)):
        raise BadInput(f"public_clusters: expected one id for each of {public_images} images, got {len(learnt)}")
    if shared := sorted(map(str, set(people) & set(learnt))):
        raise BadInput(
            f"public_clusters: expected nobody who is on private images too, got {len(shared)} on both sides (the "
            f"first: {shared[0]!r}); take their images out of public"
        )
