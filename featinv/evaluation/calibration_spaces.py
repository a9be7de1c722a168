"""The spaces in which samples are tested for calibration, from coarse colours to what a surrogate sees."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional as F

from featinv.block_sizes import in_blocks, rows_at_once
from featinv.data import ImageSet
from featinv.types import Images

COMPONENTS = 16
PUBLIC_IMAGES = 5000
"""public images, drawn by the seed, from which principal components are learnt and reference points are taken"""
_MOST_ROWS = 256
_PUBLIC = 11


@dataclass(frozen=True)
class Space:
    """images (B, 3, S, S) -> (B, D) numbers with a name; each of the `names` is one projection."""

    name: str
    names: tuple[str, ...]
    project: Callable[[Images], Float[np.ndarray, "B D"]]


def spaces(public: Images, surrogate: Callable[[Tensor], Tensor] | None, seed: int) -> list[Space]:
    """Return the mean colours of 2 x 2 and 8 x 8 cells, 16 principal components of the 16 x 16 colours of the public
    images and, where a surrogate (images -> features) is given, 16 of its features.

    Coarse colours that are as fine as the image are left out.
    """
    size = public.shape[-1]
    made = [_colours(side) for side in (2, 8) if side <= size]
    made.append(_components("principal components", lambda images: cells(images, min(16, size)), public, seed))
    if surrogate is not None:
        seen = surrogate

        def through(images: Images) -> np.ndarray:
            rows = rows_at_once(seen, images, most=_MOST_ROWS)
            with torch.no_grad():
                return in_blocks(seen, images, size=rows).flatten(1).float().cpu().numpy()

        made.append(_components("surrogate features", through, public, seed))
    return made


def cells(images: Images, side: int) -> Float[np.ndarray, "B D"]:
    """Return the mean colours of side x side cells, flat."""
    return F.interpolate(images, size=(side, side), mode="area").flatten(1).numpy()


def public_images(public: ImageSet, seed: int) -> Images:
    """Return at most 5,000 public images, drawn by the seed."""
    rows = np.random.default_rng([seed, _PUBLIC]).permutation(len(public))[:PUBLIC_IMAGES]
    return public.batch(np.sort(rows))


def _colours(side: int) -> Space:
    names = tuple(
        f"{colour} of cell {row + 1}, {column + 1}"
        for colour in ("red", "green", "blue")
        for row in range(side)
        for column in range(side)
    )
    return Space(f"{side} x {side} colours", names, lambda images: cells(images, side))


def _components(name: str, before: Callable[[Images], np.ndarray], public: Images, seed: int) -> Space:
    rows = before(public)
    count = min(COMPONENTS, rows.shape[1], len(rows))
    pca = PCA(count, svd_solver="randomized", random_state=seed % 2**32).fit(rows)
    names = tuple(f"component {number + 1}" for number in range(count))

    def project(images: Images) -> np.ndarray:
        projected: np.ndarray = pca.transform(before(images))
        return projected.astype(np.float32)

    return Space(name, names, project)
