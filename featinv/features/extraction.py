"""victim x pictures -> pairs, in memory or in a store on disk."""

import numpy as np

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.pairs import Pairs
from featinv.features.rows import ArrayRows, Publisher
from featinv.processes import progress_bar


def extract(
    victim: Publisher,
    images: ImageSet,
    *,
    flips: bool = False,
    seed: int = 0,
    batch_size: int = 256,
    block: int = 4096,
) -> Pairs:
    """Encode and defend every picture; `flips` does so for the mirrored pictures too.

    Fixed blocks of `block` pictures are defended at once, their draws seeded by (seed, view, number of the block).
    """
    if block < 1:
        raise BadInput(f"block: expected at least 1 picture, got {block}")
    views = tuple(np.empty((len(images), *victim.feature_shape), dtype=np.float32) for _ in range(1 + flips))
    with progress_bar(len(images) * len(views), f"features of {victim.name}") as bar:
        for view, features in enumerate(views):
            for number, start in enumerate(range(0, len(images), block)):
                rows = np.arange(start, min(start + block, len(images)))
                features[rows] = victim.publish(
                    images, rows, seed=seed, block_number=number, view=view, flip=view == 1, batch_size=batch_size,
                    progress=bar.update,
                )  # fmt: skip
    return Pairs(ArrayRows(*views), images, card=victim.card)
