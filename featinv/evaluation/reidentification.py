"""Re-identification: does the judge find, among all candidates, the original behind a reconstruction?"""

import numpy as np
from jaxtyping import Float, Float64, Int64

from featinv.errors import BadInput

TIE = 1e-12
"""Cosines closer than this are ties: two equal candidates must tie whatever the rounding of the matrix product."""
NOTHING = 1e-9
"""A centred vector shorter than this share of the gallery's mean is rounding, not a direction; it counts as zero."""
_CELLS = 2**22
"""Entries of one block of the cosine matrix (32 MiB in float64): memory stays flat in the number of images."""


def ranks(
    reconstructed: Float[np.ndarray, "N D"],
    gallery: Float[np.ndarray, "M E"],
    *,
    size: int | None = None,
    seed: int = 0,
) -> Int64[np.ndarray, " N"]:
    """Return the rank (1 = found) of every image's own original among the candidates.

    Row i of both holds the judge's features of reconstruction i and of original i. Scores are cosines of the features
    centred on the gallery's mean, in float64; rank_i = 1 + #{j != i: s_ij >= s_ii}, so that ties count against the
    attacker. A vector of no length scores 0 with everything; a row that is not finite gets the worst rank.

    With `size` G < N the images are cut into disjoint blocks of G, drawn by `seed`, and each is ranked (and centred)
    within its block; the images left over are ranked in a block filled up with others drawn by the same seed.

    Raises BadInput when the shapes differ, when the gallery is not finite, and when G exceeds N.
    """
    if reconstructed.shape != gallery.shape:
        raise BadInput(f"ranks: expected one row an image in both, got {reconstructed.shape} and {gallery.shape}")
    if not np.isfinite(gallery).all():
        raise BadInput("ranks: the judge's features of the originals are not finite; check the judge")
    count = len(gallery)
    if size is None or size == count:
        return _ranks_within(reconstructed, gallery)
    check_gallery(size, count)
    result = np.zeros(count, dtype=np.int64)
    for block, scored in gallery_blocks(count, size, seed):
        block_ranks = _ranks_within(reconstructed[block], gallery[block])
        result[block[:scored]] = block_ranks[:scored]
    return result


def ranks_within(
    reconstructed: Float[np.ndarray, "N D"], gallery: Float[np.ndarray, "N D"], groups: Int64[np.ndarray, " N"]
) -> Int64[np.ndarray, " N"]:
    """Return the ranks among the images of the same group only (one class), centred on the group's mean."""
    result = np.zeros(len(gallery), dtype=np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        result[members] = ranks(reconstructed[members], gallery[members])
    return result


def check_gallery(size: int, count: int) -> None:
    """Raise BadInput unless a gallery of `size` can be cut from `count` private images."""
    if size < 2:
        raise BadInput(f"galleries: expected at least 2 candidates, got {size}")
    if size > count:
        raise BadInput(f"gallery of {size} asked for, {count} private images given; ask for at most {count}")


def gallery_blocks(count: int, size: int, seed: int) -> list[tuple[Int64[np.ndarray, " G"], int]]:
    """Cut a seeded order into blocks of `size`, each with how many of its images are scored there (else: filling)."""
    order = np.random.default_rng(seed).permutation(count)
    whole = count - count % size
    blocks = [(order[start : start + size], size) for start in range(0, whole, size)]
    if whole < count:
        rest = order[whole:]
        blocks.append((np.concatenate([rest, order[: size - len(rest)]]), len(rest)))
    return blocks


def _ranks_within(
    reconstructed: Float[np.ndarray, "N D"], gallery: Float[np.ndarray, "N D"]
) -> Int64[np.ndarray, " N"]:
    count = len(gallery)
    mean = gallery.mean(axis=0, dtype=np.float64)
    floor = NOTHING * float(np.linalg.norm(mean))
    candidates = centred_directions(gallery - mean, floor)
    result = np.empty(count, dtype=np.int64)
    step = max(1, _CELLS // count)
    for start in range(0, count, step):
        own = np.arange(start, min(start + step, count))
        rows = reconstructed[own]
        broken = ~np.isfinite(rows).all(axis=1)
        scores = centred_directions(np.where(broken[:, None], mean, rows) - mean, floor) @ candidates.T
        # The true score comes from this very matrix: computed apart it would differ in its last bits.
        true = scores[own - start, own]
        beaten_by = (scores >= true[:, None] - TIE).sum(axis=1) - 1
        result[own] = np.where(broken, count, 1 + beaten_by)
    return result


def centred_directions(rows: Float64[np.ndarray, "N D"], floor: float) -> Float64[np.ndarray, "N D"]:
    """Return rows of length 1; those not longer than `floor` become 0."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > floor)


def chance_top(k: int, size: int | Int64[np.ndarray, " N"]) -> float:
    """k / N: the share of images that guessing puts among the first k of `size` candidates (of all, or of each)."""
    return float(np.mean(np.minimum(k, size) / size))


def chance_mrr(size: int | Int64[np.ndarray, " N"]) -> float:
    """H_N / N: the mean of 1/rank when every rank among `size` candidates is equally likely (one size, or one each)."""
    sizes, counts = np.unique(size, return_counts=True)
    means = [float((1 / np.arange(1, each + 1)).sum() / each) for each in sizes]
    return float(np.average(means, weights=counts))
