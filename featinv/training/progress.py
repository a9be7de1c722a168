"""How far a training has come, which schedule, validation and checkpoints read, and the learning rate there."""

import math
import time
from typing import Any

from featinv import processes
from featinv.training.settings import Training

# Ranks must stop at the same step, so with several of them the main process's clock is sent round, now and then.
STEPS_BETWEEN_CLOCKS = 10


class Progress:
    """Steps, images and seconds so far, and which fraction of the budget they are.

    `fraction` is the larger of images/budget and elapsed/minutes, so that a bound in minutes shortens the schedule
    too. Equal in all processes at equal steps. Seconds include validation, and what ran before a resume.
    """

    def __init__(self, settings: Training) -> None:
        self.budget = settings.images
        self.limit = None if settings.minutes is None else 60.0 * settings.minutes
        self.step = 0
        self.images = 0
        self.seconds = 0.0
        self._before = (0, 0.0, 0.0)
        self._started = time.monotonic()

    @property
    def fraction(self) -> float:
        """What part of the budget is used up, in [0, 1]."""
        elapsed = 0.0 if self.limit is None else self.seconds / self.limit
        return min(1.0, max(self.images / self.budget, elapsed))

    @property
    def last_fraction(self) -> float:
        """`fraction` before the last step: what its learning rate was computed from."""
        return self._before[1]

    @property
    def last_images(self) -> int:
        """`images` before the last step."""
        return self._before[0]

    @property
    def done(self) -> bool:
        """Say whether the budget is used up."""
        return self.fraction >= 1.0

    def advance(self, images: int) -> None:
        """Count one step of so many images (over all processes)."""
        self._before = (self.images, self.fraction, self.seconds)
        self.step += 1
        self.images += images
        if processes.world_size() == 1:
            self.seconds = time.monotonic() - self._started
        elif self.step % STEPS_BETWEEN_CLOCKS == 0 or self.images >= self.budget:
            self.seconds = float(processes.broadcast(time.monotonic() - self._started))

    def every(self, *, images: int | None = None, parts: int | None = None, seconds: int | float | None = None) -> bool:
        """Say whether the last step crossed a multiple of so many images, of 1/parts of the budget, or of seconds.

        Remembers nothing, so that a resumed training answers as an uninterrupted one.
        """
        before = self._before
        due = images is not None and self.images // images > before[0] // images
        due = due or (parts is not None and int(self.fraction * parts + 1e-9) > int(before[1] * parts + 1e-9))
        return due or (seconds is not None and self.seconds // seconds > before[2] // seconds)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"step": self.step, "images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; the time between is not counted."""
        self.step, self.images, self.seconds = int(state["step"]), int(state["images"]), float(state["seconds"])
        self._before = (self.images, self.fraction, self.seconds)
        self._started = time.monotonic() - self.seconds


def rate(settings: Training, fraction: float) -> float:
    """Return what the learning rate of a decoder is multiplied by when `fraction` of the budget is used up.

    A plain function instead of a scheduler object, because a prepared scheduler steps once per process.
    """
    if settings.schedule == "constant" and fraction >= settings.warmup:
        return 1.0
    return warmup_cosine(fraction, settings.warmup, floor=1e-3)


def warmup_cosine(fraction: float, warmup: float, *, floor: float) -> float:
    """Return the multiplier of a learning rate: linear up to 1 over `warmup`, then half a cosine down to 0.

    All three are shares: `fraction` and `warmup` of the budget, `floor` of the full rate. The first step is taken at
    `floor` and not at 0, so that it changes the weights. Source: arXiv:1608.03983 eq. 5, one cycle.
    """
    if fraction < warmup:
        return max(fraction, floor * warmup) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (fraction - warmup) / (1.0 - warmup)))
