"""Microaggregation: every released vector is the mean of a group of at least k."""

from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.decomposition import PCA as PrincipalComponents
from torch import Tensor

from featinv.defences.defence import Defence, straight_through
from featinv.errors import BadInput

_TO_REDUCE = 8192
"""Vectors of the release, evenly spread, from which these components are taken."""
_WIDTH = 64
"""Distances of wider vectors are those of as many principal components of the release: groups stay as large."""


@final
class Microaggregate(Defence):
    """Replace every vector by the mean of its group of k to 2k - 1 similar ones of the same release; the identity at 1.

    Groups are those of MDAV (Domingo-Ferrer and Torra 2005): the vector farthest from the mean of those that are left
    takes its k - 1 nearest, then the vector farthest from it does, and so on. All vectors of a release have to be
    defended at once, which `featinv.release` does: no image is then identified among all released with more than 1/k.
    Vectors above 64-d are grouped by their 64 leading principal components. O(N² D / k). Its gradient is that of the
    identity. Raises BadInput for k below 1 and for fewer vectors than k.
    """

    whole_release: ClassVar[bool] = True

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise BadInput(f"k: expected a whole number from 1 on (1 is the identity), got {k!r}")
        self.k = k
        self.least_batch = k

    @property
    def is_identity(self) -> bool:
        """Whether every vector is its own group."""
        return self.k == 1

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        values = rows.detach().cpu().numpy()
        groups = mdav_groups(values, self.k)
        order, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        means = np.stack(
            [
                values[order[start : start + size]].mean(axis=0, dtype=np.float64)
                for start, size in zip(starts, sizes, strict=True)
            ]
        )
        return straight_through(rows, torch.from_numpy(means).to(rows)[torch.from_numpy(groups).to(rows.device)])

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"k={self.k}"


def mdav_groups(rows: np.ndarray, k: int) -> Int64[np.ndarray, " N"]:
    """Return the group of every row (N, D): groups of k, the last of up to 2k - 1.

    Rows that are left live at the front of one array, and a group's places are filled from its end: nothing is copied.
    Raises BadInput for fewer rows than k.
    """
    count = len(rows)
    if count < k:
        raise BadInput(f"Microaggregate: expected at least k={k} vectors, got {count}")
    points, squares = _points(rows)
    order, groups = np.arange(count), np.empty(count, dtype=np.int64)
    total, group = points.sum(axis=0, dtype=np.float64), 0
    while count >= 2 * k:
        centre = (total / count).astype(np.float32)
        for _ in range(2 if count >= 3 * k else 1):
            # `centre` is the mean at first, then the vector whose group was just formed.
            seed = int(np.argmax(squares[:count] - points[:count] @ (2 * centre)))
            centre = points[seed].copy()
            near = squares[:count] - points[:count] @ (2 * centre)
            near[seed] = -np.inf
            taken = np.argpartition(near, k - 1)[:k]
            groups[order[taken]], group = group, group + 1
            total -= points[taken].sum(axis=0)
            count = _take_out(taken, count, order, points, squares)
    groups[order[:count]] = group
    return groups


def _points(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # float32: half the memory to read, and distances take all the time.
    points = np.asarray(rows - rows.mean(axis=0, dtype=np.float64), dtype=np.float32)
    some = points[:: -(-len(points) // _TO_REDUCE)]
    if points.shape[1] > _WIDTH and np.ptp(some, axis=0).any():  # equal rows have no directions
        components = PrincipalComponents(min(_WIDTH, len(some)), svd_solver="randomized", random_state=0).fit(some)
        points = points @ components.components_.T
    points = np.ascontiguousarray(points)
    return points, np.square(points).sum(axis=1)


def _take_out(taken: np.ndarray, count: int, order: np.ndarray, points: np.ndarray, squares: np.ndarray) -> int:
    """Move the last rows that stay into the places of those taken, and return how many rows stay."""
    left = count - len(taken)
    holes = taken[taken < left]
    fillers = np.setdiff1d(np.arange(left, count), taken, assume_unique=True)
    for array in (order, points, squares):
        array[holes] = array[fillers]
    return left
