"""Do two images show the same photograph? A perceptual hash proposes, the distance between their pixels confirms."""

from functools import cache

import numpy as np
from einops import rearrange


@cache
def area_matrix(size: int, cells: int) -> np.ndarray:
    """(size, cells) share of each pixel that each of `cells` equal cells fills: exact area resampling of one axis."""
    edges, grid = np.arange(size + 1) / size, np.arange(cells + 1) / cells
    low = np.maximum(edges[:-1, None], grid[None, :-1])
    high = np.minimum(edges[1:, None], grid[None, 1:])
    return (np.clip(high - low, 0, None) * size).astype(np.float32)


MOST_BITS = 32
"""Of the 128 bits of two hashes, how many may differ before a pair is not looked at."""
LEAST_CORRELATION = 0.65
MOST_DISTANCE = 0.5
_THUMBNAIL = 32
_SHIFT = 2
_BLUR = 4
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def difference_hashes(images: np.ndarray) -> np.ndarray:
    """Hash (B, S, S, 3) uint8 to (B, 2) uint64: is each patch brighter than its left, and its upper, neighbour?

    The first 64 bits are the known dHash, the others the same down the columns; neither changes with brightness,
    contrast or size.
    """
    grey = images.astype(np.float32) @ _LUMINANCE
    side = images.shape[1]
    eight, nine = area_matrix(8, side), area_matrix(9, side)
    across, down = eight @ grey @ nine.T, nine @ grey @ eight.T
    bits = np.stack([across[:, :, 1:] > across[:, :, :-1], down[:, 1:, :] > down[:, :-1, :]], axis=1)
    return np.packbits(bits.reshape(len(images), 2, 64), axis=2).view(np.uint64)[:, :, 0]


def close_hashes(first: np.ndarray, second: np.ndarray, most_bits: int = MOST_BITS) -> np.ndarray:
    """Pairs (K, 2) of rows of two arrays of hashes that differ in at most `most_bits` of 128, in flat memory."""
    left, up = np.ascontiguousarray(first[:, 0]), np.ascontiguousarray(first[:, 1])
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for row, (other_left, other_up) in enumerate(second):
        bits = np.bitwise_count(left ^ other_left)
        bits += np.bitwise_count(up ^ other_up)
        near = np.flatnonzero(bits <= most_bits)
        if len(near):
            pairs.append(np.stack([near, np.full(len(near), row)], axis=1))
    return np.concatenate(pairs)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Reduce (B, S, S, 3) uint8 to (B, 3, T, T) float32 in 0..255, T at most 32, by area."""
    planes = np.ascontiguousarray(rearrange(images, "b h w c -> b c h w"), dtype=np.float32)
    side = images.shape[1]
    if side <= _THUMBNAIL:
        return planes
    reduce = area_matrix(_THUMBNAIL, side)
    return reduce @ planes @ reduce.T


def same_image(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Say for each pair of thumbnails (K, 3, T, T) whether they show one photograph: fine structure and colours agree.

    Fine structure: the luminance, minus its blur over 9 px, correlates at least 0.65. Colours: the mean absolute
    distance between the pixels, each channel's mean removed, is at most half the images' own contrast. Both at the
    best shift of up to 2 px of the thumbnail. The thresholds were set by eye on CIFAR-10 (see `overlap`).
    """
    same = np.zeros(len(first), dtype=bool)
    correlation = _best_correlation(_fine(first), _fine(second))
    likely = np.flatnonzero(correlation >= LEAST_CORRELATION)
    same[likely] = _relative_distance(first[likely], second[likely]) <= MOST_DISTANCE
    return same


@cache
def _blur_matrix(side: int) -> np.ndarray:
    gap = np.abs(np.arange(side)[:, None] - np.arange(side)[None, :])
    near = (gap <= _BLUR).astype(np.float32)
    return near / near.sum(axis=1, keepdims=True)


def _fine(thumbs: np.ndarray) -> np.ndarray:
    """Luminance without what is coarser than the blur, (K, T, T)."""
    grey = np.einsum("kchw,c->khw", thumbs, _LUMINANCE)
    blur = _blur_matrix(grey.shape[1])
    return grey - blur @ grey @ blur.T


def _shifts(side: int) -> list[tuple[slice, slice]]:
    inner = side - 2 * _SHIFT
    return [
        (slice(dy, dy + inner), slice(dx, dx + inner)) for dy in range(2 * _SHIFT + 1) for dx in range(2 * _SHIFT + 1)
    ]


def _best_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Largest normalised correlation of the inner part of `second` with `first` over all shifts, (K,)."""
    side = first.shape[1]
    inner = second[:, _SHIFT : side - _SHIFT, _SHIFT : side - _SHIFT]
    length = np.sqrt(np.einsum("khw,khw->k", inner, inner))
    best = np.full(len(first), -1.0, dtype=np.float32)
    for rows, columns in _shifts(side):
        part = first[:, rows, columns]
        norm = np.sqrt(np.einsum("khw,khw->k", part, part)) * length
        np.maximum(best, np.einsum("khw,khw->k", part, inner) / np.maximum(norm, 1e-3), out=best)
    return best


def _relative_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Smallest mean absolute difference over all shifts, in units of the lower of the two contrasts, (K,)."""
    side = first.shape[2]
    inner = second[:, :, _SHIFT : side - _SHIFT, _SHIFT : side - _SHIFT]
    best = np.full(len(first), np.inf, dtype=np.float32)
    for rows, columns in _shifts(side):
        difference = first[:, :, rows, columns] - inner
        difference -= difference.mean(axis=(2, 3), keepdims=True)
        np.minimum(best, np.abs(difference).mean(axis=(1, 2, 3)), out=best)
    return best / np.maximum(np.minimum(_contrast(first), _contrast(second)), 1e-3)


def _contrast(thumbs: np.ndarray) -> np.ndarray:
    return np.abs(thumbs - thumbs.mean(axis=(2, 3), keepdims=True)).mean(axis=(1, 2, 3))
