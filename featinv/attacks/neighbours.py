"""Exact nearest neighbours, and the two attacks that answer with public images."""

from abc import abstractmethod
from typing import Any, final

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from featinv.attacks.checks import Layout, check_features
from featinv.attacks.passes import feature_blocks, feature_moments
from featinv.attacks.sampling import check_sampling, row_generator
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Features, Images, PairsLike

BANK_ROWS = 8192
SPARE = 16
QUERY_BYTES = 64 * 2**20


def nearest(queries: Float[Tensor, "B D"], bank: Float[Tensor, "N D"], count: int) -> Int64[Tensor, "B {count}"]:
    """Return the rows of the `count` Euclidean nearest bank vectors of each query, nearest first; ties by row number.

    Exact: float32 products propose `count` + 16 rows and float64 differences order them; where the rounding bound of
    the products does not exclude every other row, the whole bank is searched in float64. So a result does not change
    with the batch. Memory is flat in the bank's length.
    """
    if count > len(bank):
        raise BadInput(f"k: expected at most the {len(bank)} public pairs, got {count}; lower k")
    proposed = min(count + SPARE, len(bank))
    step = max(16, min(1024, QUERY_BYTES // (8 * proposed * bank.shape[1])))
    halves = 0.5 * bank.square().sum(1)
    nearest_rows = [_nearest_of_block(block, bank, halves, count, proposed) for block in queries.split(step)]
    return torch.cat(nearest_rows) if nearest_rows else torch.empty(0, count, dtype=torch.int64)


def _nearest_of_block(queries: Tensor, bank: Tensor, halves: Tensor, count: int, proposed: int) -> Tensor:
    # |q - b|^2 / 2 - |q|^2 / 2 = |b|^2 / 2 - q.b orders a query's neighbours.
    scores, rows = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(bank), BANK_ROWS):
        stop = start + BANK_ROWS
        block = torch.addmm(halves[start:stop], queries, bank[start:stop].T, alpha=-1)
        best = block.topk(min(proposed, block.shape[1]), dim=1, largest=False)
        scores, rows = torch.cat([scores, best.values], 1), torch.cat([rows, best.indices + start], 1)
        kept = scores.topk(min(proposed, scores.shape[1]), dim=1, largest=False)
        scores, rows = kept.values, rows.gather(1, kept.indices)
    rows = rows.sort(dim=1).values
    squares = (queries.double()[:, None] - bank[rows].double()).square().sum(2)
    exact, order = squares.sort(dim=1, stable=True)
    answer = rows.gather(1, order)[:, :count].clone()
    if proposed < len(bank):
        lengths = queries.double().square().sum(1)
        longest = halves.max().double().mul(2)
        bound = (bank.shape[1] + 2) * torch.finfo(torch.float32).eps * (lengths.mul(longest).sqrt() + longest)
        unsure = (exact[:, count - 1] - lengths) / 2 >= scores.amax(1) - bound
        if bool(unsure.any()):
            answer[unsure] = _search_all(queries[unsure], bank, count)
    return answer


def _search_all(queries: Tensor, bank: Tensor, count: int) -> Tensor:
    distances, rows = torch.empty(len(queries), 0, dtype=torch.float64), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(bank), BANK_ROWS):
        block = bank[start : start + BANK_ROWS].double()
        each = torch.cdist(queries.double(), block, compute_mode="donot_use_mm_for_euclid_dist")
        numbers = torch.arange(start, start + len(block)).expand(len(queries), -1)
        distances, order = torch.cat([distances, each], 1).sort(dim=1, stable=True)
        rows = torch.cat([rows, numbers], 1).gather(1, order)[:, :count]
        distances = distances[:, :count]
    return rows


class NeighbourAttack(TensorAttack):
    """features -> the mean of the public images with the nearest vectors; keeps the images where they already lie.

    Vectors are kept in memory, standardised (N x D float32); images stay in the pairs' image set (memory-mapped where
    that is) until the attack is saved, and a saved attack holds all of them as uint8.
    """

    kind = "control"

    def __init__(self) -> None:
        super().__init__()
        self._images: Any = None

    @property
    @abstractmethod
    def neighbours(self) -> int:
        """How many images are averaged."""

    @property
    def parameters(self) -> int:
        """How many numbers fitting kept: vectors and pixels."""
        kept = 0 if self._images is None else len(self._images) * 3 * self.image_size**2
        return super().parameters + kept

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """As for every attack; gathers the public images."""
        config, tensors = super().state()
        if self._images is not None:
            tensors["pixels"] = torch.from_numpy(self._images.uint8(np.arange(len(self._images))))
        return config, tensors

    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        if self.neighbours > len(pairs):
            raise BadInput(f"k: expected at most the {len(pairs)} public pairs, got {self.neighbours}; lower k")
        moments = feature_moments(pairs)
        bank = torch.empty(len(pairs), len(moments.mean))
        for start, features in feature_blocks(pairs):
            bank[start : start + len(features)] = (features - moments.mean) / moments.scale
        self._images = pairs.images
        return {"mean": moments.mean, "scale": moments.scale, "bank": bank}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        total = torch.zeros(len(features), self.image_size, self.image_size, 3)
        for column in self._nearest(features).T:
            total += self._pixels(column)
        return rearrange(total.div_(255 * self.neighbours), "b h w c -> b c h w")

    def _nearest(self, features: Float[Tensor, "B D"]) -> Int64[Tensor, "B K"]:
        t = self.tensors
        return nearest((features - t["mean"]) / t["scale"], t["bank"], self.neighbours)

    def _pixels(self, rows: Int64[Tensor, " B"]) -> Tensor:
        """The public images at these rows, (B, S, S, 3) uint8."""
        return self.tensors["pixels"][rows] if self._images is None else torch.from_numpy(self._images.uint8(rows))

    def _layout(self, width: int, size: int) -> Layout:
        vector = (torch.float32, (width,))
        return {
            "mean": vector,
            "scale": vector,
            "bank": (torch.float32, ("pairs", width)),
            "pixels": (torch.uint8, ("pairs", size, size, 3)),
        }


@final
class NearestNeighbour(NeighbourAttack):
    """features -> the public image whose vector is nearest (Euclidean, on standardised features, exact).

    The reference for identification: a real image of the same kind. A saved one contains every public image.
    """

    @property
    def neighbours(self) -> int:
        return 1


@final
class NeighbourAverage(NeighbourAttack):
    """features -> the mean of the `k` public images with the nearest vectors (as for NearestNeighbour).

    `sample` draws among these k: a posterior for free, which any trained sampler should be more calibrated than. Raises
    BadInput for k below 1, and in `fit` for more neighbours than public pairs.
    """

    def __init__(self, k: int = 16) -> None:
        super().__init__()
        if k < 1:
            raise BadInput(f"k: expected at least 1 neighbour, got {k}")
        self.k = k

    @property
    def neighbours(self) -> int:
        return self.k

    @torch.no_grad()
    def sample(self, features: Features, k: int, seed: int, *, first_row: int = 0) -> Float[Tensor, "B k 3 S S"]:
        """Draw k of the nearest public images of each vector, with replacement and equal probability.

        Raises BadInput as `reconstruct` does, with a single neighbour, and for more samples than memory holds.
        """
        self._demand_fitted()
        vectors = check_features(features, self.feature_shape).flatten(1)
        check_sampling(len(vectors), k, seed, self.image_size)
        if self.k < 2:
            raise BadInput("NeighbourAverage: expected at least 2 neighbours to draw from, got 1; raise its k")
        rows = self._nearest(vectors)
        places = [
            torch.randint(self.k, (k,), generator=row_generator(seed, first_row + row)) for row in range(len(rows))
        ]
        drawn = torch.stack([near[place] for near, place in zip(rows, places, strict=True)]) if places else rows
        images = self._pixels(drawn.reshape(-1)).float().div_(255)
        return rearrange(images, "(b k) h w c -> b k c h w", k=k).contiguous().to(features.device)
