"""Resamples of images, or of clusters of them, drawn with replacement: what bootstrap intervals are made of."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from featinv.evaluation.significance import cluster_members

_CELLS = 2**21
"""Entries of one block of resampling counts (16 MiB), so that memory does not grow with the number of resamples."""
_KEPT_CELLS = 10_000 * 2_000
"""Entries of all resampling counts up to which they are kept (40 MB): the usual resamples of 2,000 images."""


def cluster_sums(
    table: Float[np.ndarray, "N M"], clusters: Int[np.ndarray, " ids"] | None
) -> tuple[Float[np.ndarray, "C M"], Float[np.ndarray, " C"]]:
    """Return the sums of every column over each cluster, and the clusters' sizes; alone, an image is its cluster."""
    if clusters is None:
        return table, np.ones(len(table))
    member = cluster_members(clusters, len(table))
    sums = np.zeros((int(member.max()) + 1, table.shape[1]))
    np.add.at(sums, member, table)
    return sums, np.bincount(member).astype(np.float64)


def resampled_means(
    sums: Float[np.ndarray, "C M"], sizes: Float[np.ndarray, " C"], resamples: int, seed: int
) -> Float[np.ndarray, "R M"]:
    """Return the means of resamples of C clusters, drawn with replacement."""
    means, start = np.empty((resamples, sums.shape[1])), 0
    kept = resamples * len(sums) <= _KEPT_CELLS
    for block in _kept_counts(len(sums), resamples, seed) if kept else _drawn_counts(len(sums), resamples, seed):
        weights = block.astype(np.float64)
        means[start : start + len(block)] = weights @ sums / (weights @ sizes)[:, None]
        start += len(block)
    return means


def _drawn_counts(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of `count` clusters is in each resample, block by block (rows, count)."""
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, _CELLS // count))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(0, count, size=(rows, count))
        drawn += (np.arange(rows) * count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


@functools.lru_cache(maxsize=2)
def _kept_counts(count: int, resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    """The same, kept: a table has many intervals over the same images, and drawing takes most of the time of each."""
    blocks = tuple(block.astype(np.uint16) for block in _drawn_counts(count, resamples, seed))
    for block in blocks:
        block.flags.writeable = False
    return blocks
