"""Pairs without a store: images are encoded anew, mirrored or not, whenever they are asked for."""

from typing import final

import numpy as np
import torch

from featinv.data import ImageSet
from featinv.features.pairs import Pairs
from featinv.features.rows import Publisher

BATCH = 256
"""Images encoded at once, however many are asked for."""


@final
class LiveRows:
    """Rows that the victim makes on demand, on its own device; a defence that draws does so afresh every time."""

    views = 2

    def __init__(self, victim: Publisher, images: ImageSet) -> None:
        self.victim = victim
        self.images = images
        self.count = len(images)
        self.feature_shape = victim.feature_shape

    @torch.no_grad()
    def gather(self, indices: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        """Encode the images at `indices`, mirrored where `flip` says so, and defend them."""
        made = np.empty((len(indices), *self.feature_shape), dtype=np.float32)
        for start in range(0, len(indices), BATCH):
            part = slice(start, start + BATCH)
            images = self.images.batch(indices[part])
            if flip is not None:
                chosen = torch.from_numpy(flip[part])
                images[chosen] = images[chosen].flip(-1)
            made[part] = self.victim(images.to(self.victim.device)).cpu().numpy()
        return made


def live(victim: Publisher, images: ImageSet) -> Pairs:
    """Return pairs whose features the victim makes anew for every batch: the attacker's augmentation reaches the pair.

    Noise of the defence comes from torch's global generator and differs at every visit. Nothing is checked for
    finiteness on the way; training stops on a loss that is not finite.
    """
    return Pairs(LiveRows(victim, images), images, metadata=victim.metadata)
