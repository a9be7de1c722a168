"""Which images a step sees: a function of seed and step number, so that resuming is knowing the number."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from featinv import processes
from featinv.errors import BadInput
from featinv.types import Features, Images, PairsLike

# Streams of random numbers that must not be the same one.
_ORDER, _FLIPS, _HOLDOUT, _STEP = 1, 2, 3, 4

MOST_BY_SHARE = 2000
"""held-out pairs, where a share is asked for: more would cost time at every validation and tell nothing new"""


class Batch(NamedTuple):
    """This process's share of a batch; `total` images are in the shares of all processes together."""

    features: Features
    images: Images
    total: int


class Batches:
    """The batches of public pairs in an order that depends on `seed` only, shared out among the processes.

    Every epoch is a new permutation of all pairs; what does not fill its last batch is left out of that epoch. With
    fewer pairs than `batch_size` a batch is all of them. Nothing is remembered between steps, and any number of
    processes sees the same global batches. Raises BadInput when a process would be left without an image.
    """

    def __init__(self, pairs: PairsLike, *, batch_size: int, seed: int, flips: bool = False) -> None:
        self.pairs = pairs
        self.seed = seed
        self.flips = flips
        self.size = min(batch_size, len(pairs))
        self._rank, self._world = processes.rank(), processes.world_size()
        if self.size < self._world:
            raise BadInput(
                f"training.batch_size: expected at least one image for each of {self._world} processes, got "
                f"{self.size}; start fewer processes"
            )
        if flips and pairs.views < 2:
            raise BadInput(
                "training.flips: expected pairs that hold mirrored images too, got pairs without; "
                "extract them with flips, or set flips to false"
            )
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def indices(self, step: int) -> np.ndarray:
        """Return which pairs are in the global batch of step `step` (from 0)."""
        epoch, place = divmod(step, len(self.pairs) // self.size)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.pairs))
            self._epoch = epoch
        return self._order[place * self.size : (place + 1) * self.size]

    def load(self, step: int) -> Batch:
        """Read this process's share of the batch of step `step`, on the CPU."""
        chosen = self.indices(step)
        mirrored = None
        if self.flips:
            mirrored = np.random.default_rng([self.seed, _FLIPS, step]).random(self.size) < 0.5
            mirrored = np.array_split(mirrored, self._world)[self._rank]
        features, images = self.pairs.batch(np.array_split(chosen, self._world)[self._rank], mirrored)
        return Batch(features, images, self.size)


def place(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to the device, without waiting for it where the device allows that."""
    if device.type == "cpu":
        return batch
    features, images = (
        _pinned(tensor, device).to(device, non_blocking=True) for tensor in (batch.features, batch.images)
    )
    return Batch(features, images, batch.total)


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


def seed_step(seed: int, step: int, device: torch.device) -> None:
    """Seed torch for one step of this process, so that dropout and noise are a function of (seed, step, process) too.

    Resuming then restores the random state by construction, whatever validation or anybody else drew in between.
    """
    words = np.random.SeedSequence([seed, _STEP, step, processes.rank()]).generate_state(2)
    number = int(words[0]) << 31 | int(words[1]) >> 1
    # Not torch.manual_seed: where CUDA sleeps, every call of that leaves a stack trace behind for when it wakes up.
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


def hold_out(pairs: PairsLike, holdout: int | float, seed: int) -> tuple[PairsLike, PairsLike | None]:
    """Return (pairs to train on, held-out pairs or None), disjoint and seeded.

    `holdout` below 1 is a share (of at least one and at most 2,000 pairs), from 1 a number of pairs. Raises BadInput
    when none would be left to train on.
    """
    if len(pairs) == 0:
        raise BadInput("pairs: expected at least one pair to train on, got none")
    if holdout == 0:
        return pairs, None
    count = min(max(1, round(len(pairs) * holdout)), MOST_BY_SHARE) if holdout < 1 else int(holdout)
    if count >= len(pairs):
        raise BadInput(
            f"training.holdout: expected to leave pairs to train on, got {count} held out of {len(pairs)}; "
            "give more pairs, or holdout=0 with keep='last'"
        )
    order = np.random.default_rng([seed, _HOLDOUT]).permutation(len(pairs))
    return pairs.take(np.sort(order[count:])), pairs.take(np.sort(order[:count]))
