"""Passes over public pairs in blocks, so that memory stays flat however many pairs there are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv import processes
from featinv.attacks.checks import check_finite
from featinv.blocks import standardising_scale
from featinv.types import PairsLike

BLOCK_BYTES = 64 * 2**20
MOST_ROWS = 4096


def rows_that_fit(numbers_per_row: int) -> int:
    """Return how many rows of float32 a block may have: at most 4096, and at most 64 MiB."""
    return max(1, min(MOST_ROWS, BLOCK_BYTES // (4 * max(1, numbers_per_row))))


def feature_blocks(pairs: PairsLike) -> Iterator[tuple[int, Float[Tensor, "B D"]]]:
    """Yield (first row, flat vectors) in order. Raises BadInput that names a row with NaN or infinity."""
    step = rows_that_fit(int(np.prod(pairs.feature_shape)))
    for start in range(0, len(pairs), step):
        features = torch.as_tensor(np.asarray(pairs.features(np.arange(start, min(start + step, len(pairs))))))
        check_finite(features, start)
        yield start, features.flatten(1).float()


def pair_blocks(
    pairs: PairsLike, desc: str, rows: np.ndarray | None = None
) -> Iterator[tuple[int, Float[Tensor, "B D"], Float[Tensor, "B P"]]]:
    """Yield (first row, flat vectors, flat images) in order, of all pairs or those at `rows`, with a progress bar.

    Raises BadInput that names a row with NaN or infinity.
    """
    rows = np.arange(len(pairs)) if rows is None else rows
    width = int(np.prod(pairs.feature_shape)) + 3 * pairs.image_size**2
    step = rows_that_fit(width)
    with processes.progress_bar(len(rows), desc) as bar:
        for start in range(0, len(rows), step):
            features, images = pairs.batch(rows[start : start + step])
            check_finite(features, start)
            yield start, features.flatten(1).float(), images.flatten(1)
            bar.update(len(features))


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation, minimum and maximum of every feature dimension over the public pairs, (D,) float32."""

    mean: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor

    @property
    def scale(self) -> Tensor:
        """What a dimension is divided by (`standardising_scale`)."""
        return standardising_scale(self.mean, self.deviation)


def feature_moments(pairs: PairsLike) -> Moments:
    """Measure the moments in one pass, in float64 (Chan et al.'s merging of blocks)."""
    width = int(np.prod(pairs.feature_shape))
    count, mean, squares = 0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    low, high = torch.full((width,), torch.inf), torch.full((width,), -torch.inf)
    for _, block in feature_blocks(pairs):
        rows = block.double()
        step = rows.mean(0) - mean
        total = count + len(rows)
        squares += (rows - rows.mean(0)).square().sum(0) + step.square() * (count * len(rows) / total)
        mean += step * (len(rows) / total)
        count = total
        low, high = torch.minimum(low, block.amin(0)), torch.maximum(high, block.amax(0))
    return Moments(mean.float(), (squares / count).sqrt().float(), low, high)
