"""Vector quantisation: a released vector is one of few learned ones."""

import itertools
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.cluster import KMeans
from torch import Tensor

from featinv.defences.defence import Learned, check_count, straight_through
from featinv.defences.public_features import PublicFeatures
from featinv.errors import BadInput

_PER_CODE = 256
"""Public vectors a code that k-means learns from at most; more hardly move the centres (the default of faiss)."""
_ROUNDS = 50
_MOST_BITS = 16


@final
class Codebook(Learned):
    """Release the nearest of 2^bits centres that k-means fitted to the public vectors; the identity at None.

    A release of B bits leaves top-k re-identification among N candidates at most k 2^B / N, for every attack. `seed`
    draws the first centres. Its gradient is that of the identity. Raises BadInput for bits outside 0 to 16, and in
    `fit` for fewer different public vectors than codes.
    """

    centres: Tensor

    def __init__(self, bits: int | None = None, seed: int = 0) -> None:
        super().__init__()
        check_count("bits", bits, least=0, most=_MOST_BITS, nothing="the vector as it is")
        self.bits, self.seed = bits, seed

    @property
    def is_identity(self) -> bool:
        """Whether the vectors are released as they are."""
        return self.bits is None

    def code_bits(self) -> float | None:
        """Return how many bits a released vector has, None at zero strength."""
        return None if self.bits is None else float(self.bits)

    def codes(self, features: Float[Tensor, "B ..."]) -> Int64[Tensor, " B"]:
        """Return the number of the nearest centre of every vector, clean or released."""
        self._check(features)
        return _nearest(features.flatten(1), self.centres)

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        return {"centres": _k_means(data, data.rows, 2 ** (self.bits or 0), self.seed)}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return straight_through(rows, self.centres[_nearest(rows, self.centres)])

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"bits={self.bits}, seed={self.seed}"


@final
class ProductCodes(Learned):
    """Cut the vector into `parts` pieces and release each as the nearest of 2^bits centres of its own codebook.

    A released vector has parts x bits bits (product quantisation, Jégou et al. 2011, as vector stores use it). The
    identity at `bits=None`. Where the width is no multiple of `parts`, the first pieces are one longer. Its gradient is
    that of the identity. Raises BadInput for parts below 1, more parts than numbers, and as `Codebook` does.
    """

    centres: Tensor

    def __init__(self, parts: int, bits: int | None = None, seed: int = 0) -> None:
        super().__init__()
        if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
            raise BadInput(f"parts: expected a whole number from 1 on, got {parts!r}")
        check_count("bits", bits, least=0, most=_MOST_BITS, nothing="the vector as it is")
        self.parts, self.bits, self.seed = parts, bits, seed

    @property
    def is_identity(self) -> bool:
        """Whether the vectors are released as they are."""
        return self.bits is None

    def code_bits(self) -> float | None:
        """Return how many bits a released vector has, None at zero strength."""
        return None if self.bits is None else float(self.parts * self.bits)

    def codes(self, features: Float[Tensor, "B ..."]) -> Int64[Tensor, "B parts"]:
        """Return the number of the nearest centre of every piece of every vector, clean or released."""
        self._check(features)
        rows = features.flatten(1)
        pieces = self._pieces(rows.shape[1])
        return torch.stack([_nearest(rows[:, piece], self.centres[:, piece]) for piece in pieces], dim=1)

    def _pieces(self, width: int) -> list[slice]:
        bounds = np.cumsum([0, *map(len, np.array_split(np.arange(width), self.parts))]).tolist()
        return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        width, count = data.rows.shape[1], 2 ** (self.bits or 0)
        if self.parts > width:
            raise BadInput(f"ProductCodes: expected at most {width} parts, a number each, got {self.parts}")
        codebooks = [_k_means(data, data.rows[:, piece], count, self.seed) for piece in self._pieces(width)]
        return {"centres": np.concatenate(codebooks, axis=1)}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        pieces = self._pieces(rows.shape[1])
        chosen = [self.centres[_nearest(rows[:, piece], self.centres[:, piece]), piece] for piece in pieces]
        return straight_through(rows, torch.cat(chosen, dim=1))

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"parts={self.parts}, bits={self.bits}, seed={self.seed}"


def _k_means(data: PublicFeatures, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    data.require(count, f"{count} codes")
    if len(rows) > _PER_CODE * count:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _PER_CODE * count, replace=False)]
    different = len(np.unique(rows, axis=0))
    if different < count:
        raise BadInput(f"{count} codes: expected as many different public vectors, got {different}; ask for fewer bits")
    rows = np.ascontiguousarray(rows)
    clusters = KMeans(count, n_init=1, max_iter=_ROUNDS, random_state=seed % 2**32).fit(rows)
    centres: np.ndarray = clusters.cluster_centers_
    return centres


def _nearest(rows: Tensor, centres: Tensor) -> Int64[Tensor, " B"]:
    """Return the nearest centre of each row; in float64, so that batch mates hardly ever move a row to another one."""
    wide = torch.float32 if rows.device.type == "mps" else torch.float64  # mps has no float64
    middle = centres.to(wide).mean(0)
    points, candidates = rows.detach().to(wide) - middle, centres.to(wide) - middle
    return (candidates.square().sum(1) - 2 * points @ candidates.T).argmin(1)
