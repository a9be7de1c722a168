"""Attackers that need no image: whose vector is this, among the candidates' own vectors?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Int64

from featinv.attacks.aligned import align
from featinv.attacks.alignment import Alignment, Rows
from featinv.errors import BadInput
from featinv.evaluation.intervals import Interval, bootstrap, rate
from featinv.evaluation.reidentification import chance_top, check_gallery, gallery_blocks, ranks

METRICS = ("euclidean", "cosine")
CURVE = (0, 4, 8, 16, 32, 64, 128, 256, 512)
TIE = 1e-12
"""Squared distances closer than this share of the squared lengths are ties."""
_CELLS = 2**22


@final
@dataclass(frozen=True, eq=False)
class Linkage:
    """The rank (1 = top-1) of every released vector's own original among `gallery` candidates, (N,).

    `scored` says which rows count: the attacker knows the others. `alignment` is what an aligned attacker learnt.
    """

    name: str
    ranks: Int64[np.ndarray, " N"]
    gallery: int
    scored: Bool[np.ndarray, " N"]
    alignment: Alignment | None = None

    def top(self, k: int) -> Interval:
        """Return the share of scored rows whose rank is at most k, with its Wilson interval and chance."""
        return rate(self.ranks[self.scored] <= k, chance=chance_top(k, self.gallery))


@final
@dataclass(frozen=True)
class CurvePoint:
    """Linkage by an aligned attacker with so many known pairs, over several draws of the pairs.

    `top1` and `top10` are means over draws and images with bootstrap intervals over images; `lowest` and `highest` are
    the top-1 rates of single draws, `identified` the share of draws in which the attacker believed in the alignment,
    `methods` what was chosen in each.
    """

    pairs: int
    top1: Interval
    top10: Interval
    lowest: float
    highest: float
    identified: float
    methods: tuple[str, ...]


def nearest_linkage(
    released: Rows, candidates: Rows, *, metric: str = "euclidean", size: int | None = None, seed: int = 0
) -> Linkage:
    """Rank candidates' vectors (N, D) by their distance from each released vector (N, D); row i of both is one image.

    Candidates are the undefended vectors, or defended anew where that serves the attacker better. In float64 and in
    blocks; ties count against the attacker. "cosine" is centred on the gallery's mean. With `size` G < N the images
    are cut into disjoint galleries of G, as in `ranks`. Raises BadInput for other shapes, NaN and another metric.
    """
    if metric not in METRICS:
        raise BadInput(f"metric: expected {' or '.join(METRICS)}, got {metric!r}")
    _check(released, candidates)
    if metric == "cosine":
        ranked = ranks(released, candidates, size=size, seed=seed)
    else:
        ranked = _in_galleries(released, candidates, euclidean_ranks, size, seed)
    everyone = np.ones(len(ranked), dtype=bool)
    return Linkage(f"nearest vector ({metric})", ranked, size or len(ranked), everyone)


def aligned_linkage(
    released: Rows,
    candidates: Rows,
    own: Rows,
    *,
    known_rows: Sequence[int] | Int64[np.ndarray, " n"] = (),
    alignment: Alignment | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Linkage:
    """Align the release (N, D) with the attacker's own space, then rank the candidates' own vectors (N, E) by distance.

    `own` (M, E) holds the attacker's vectors of other images. The attacker recognises the images at `known_rows`; these
    are not scored but stay in the gallery. Distances are Euclidean, in the directions that the alignment determines. A
    ready `alignment` saves learning one. Raises BadInput for other counts, unknown rows, and what `align` refuses.
    """
    pair_rows = _known_rows(known_rows, len(released))
    _check(released[:, :0], candidates[:, :0])
    if alignment is None:
        pairs = (released[pair_rows], candidates[pair_rows]) if len(pair_rows) else None
        alignment = align(released, own, pairs, seed=seed)
    mapped, wanted = alignment.determined(alignment(released)), alignment.determined(candidates)
    scored = np.ones(len(released), dtype=bool)
    scored[pair_rows] = False
    ranked = _in_galleries(mapped, wanted, euclidean_ranks, size, seed)
    return Linkage(f"aligned ({len(pair_rows)} known pairs)", ranked, size or len(ranked), scored, alignment)


def alignment_curve(
    released: Rows,
    candidates: Rows,
    own: Rows,
    *,
    pairs: Sequence[int] = CURVE,
    draws: int = 5,
    unpaired: bool = True,
    seed: int = 0,
) -> list[CurvePoint]:
    """Return the success of an aligned attacker against the number of known pairs, drawn from the release itself.

    0 pairs is alignment without any. With `unpaired` an attacker with pairs also tries the alignment without pairs, and
    keeps what ranks the known pairs higher. Raises BadInput where pairs would leave fewer than two rows to score.
    """
    if draws < 1:
        raise BadInput(f"draws: expected at least 1, got {draws}")
    for count in pairs:
        if not 0 <= count <= len(released) - 2:
            raise BadInput(f"pairs: expected 0 to {len(released) - 2} of {len(released)} released vectors, got {count}")
    free = align(released, own, seed=seed) if unpaired or 0 in pairs else None
    return [_point(released, candidates, own, count, draws, free, unpaired, seed) for count in pairs]


def _point(
    released: Rows,
    candidates: Rows,
    own: Rows,
    count: int,
    draws: int,
    free: Alignment | None,
    unpaired: bool,
    seed: int,
) -> CurvePoint:
    rates = []
    beside = free if free is not None and unpaired else False
    for draw in range(draws if count else 1):
        rows = np.random.default_rng([seed, 32, draw]).permutation(len(released))[:count]
        known_pairs = released[rows], candidates[rows]
        alignment = align(released, own, known_pairs, unpaired=beside, seed=seed) if count else free
        rates.append(aligned_linkage(released, candidates, own, known_rows=rows, alignment=alignment))
    counted = np.stack([rate.scored for rate in rates])
    hits = {k: np.stack([rate.ranks <= k for rate in rates]) & counted for k in (1, 10)}
    kept = counted.any(axis=0)
    top1, top10 = (bootstrap((hit.sum(axis=0) / np.maximum(counted.sum(axis=0), 1))[kept]) for hit in hits.values())
    single = [float(hit[used].mean()) for hit, used in zip(hits[1], counted, strict=True)]
    learnt = [rate.alignment for rate in rates if rate.alignment is not None]
    return CurvePoint(
        count,
        top1,
        top10,
        min(single),
        max(single),
        float(np.mean([rate.identified for rate in learnt])),
        tuple(rate.method for rate in learnt),
    )


def euclidean_ranks(released: Rows, candidates: Rows) -> Int64[np.ndarray, " N"]:
    """Return 1 + the number of other candidates that are at least as near as a row's own one, in float64 and blocks."""
    count = len(candidates)
    # About the candidates' mean, where the squared lengths are small and their rounding with them.
    mean = candidates.mean(axis=0, dtype=np.float64)
    bank = candidates - mean
    lengths = np.square(bank).sum(axis=1)
    ranks_of_truth = np.empty(count, dtype=np.int64)
    step = max(1, _CELLS // count)
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        block = released[rows] - mean
        distances = lengths - 2 * block @ bank.T
        true = distances[rows - start, rows]
        slack = TIE * (np.square(block).sum(axis=1) + lengths[rows])
        ranks_of_truth[rows] = (distances <= (true + slack)[:, None]).sum(axis=1)
    return ranks_of_truth


def _in_galleries(
    released: Rows, candidates: Rows, rank: Callable[[Rows, Rows], np.ndarray], size: int | None, seed: int
) -> Int64[np.ndarray, " N"]:
    if size is None or size == len(candidates):
        return rank(released, candidates)
    check_gallery(size, len(candidates))
    result = np.zeros(len(candidates), dtype=np.int64)
    for block, scored in gallery_blocks(len(candidates), size, seed):
        result[block[:scored]] = rank(released[block], candidates[block])[:scored]
    return result


def _known_rows(rows: Sequence[int] | np.ndarray, count: int) -> Int64[np.ndarray, " n"]:
    pair_rows = np.asarray(rows, dtype=np.int64)
    if (
        pair_rows.ndim != 1
        or len(np.unique(pair_rows)) < len(pair_rows)
        or (pair_rows.size and not 0 <= pair_rows.min() <= pair_rows.max() < count)
    ):
        raise BadInput(f"known_rows: expected distinct rows of 0..{count - 1}, got {pair_rows.tolist()[:5]}")
    if len(pair_rows) >= count - 1:
        raise BadInput(
            f"known_rows: expected at least 2 of {count} released vectors to score, got {len(pair_rows)} known"
        )
    return pair_rows


def _check(released: Rows, candidates: Rows) -> None:
    if released.shape != candidates.shape:
        raise BadInput(
            f"linkage: expected one candidate for each released vector, of its width, got {released.shape} and "
            f"{candidates.shape}"
        )
    if len(released) < 2 or not (np.isfinite(released).all() and np.isfinite(candidates).all()):
        raise BadInput("linkage: expected at least 2 finite vectors a side, got fewer, NaN or infinity")
