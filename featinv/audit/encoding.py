"""How long an audit will encode on this machine, measured on a few public images before it starts."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featinv.audit.live_source import LiveSource

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.victim import Victim

FIRST, MOST = 4, 64
"""images of the first measured batch, and at most; each batch is twice the one before"""
ENOUGH = 1.0
"""seconds after which a measured batch is the last"""


@dataclass(frozen=True)
class EncodingPlan:
    """How many images are encoded before anything is trained (mirrored ones counted), and images a second here."""

    images: int
    rate: float
    measured_on: int

    @property
    def minutes(self) -> float:
        """Minutes that they will take."""
        return self.images / self.rate / 60

    def as_json(self) -> dict[str, Any]:
        """Return the plan in the shape of `audit.json`."""
        return {
            "public_images": self.images,
            "images_per_second": round(self.rate, 2),
            "measured_on": self.measured_on,
            "minutes": round(self.minutes, 2),
        }


def plan_encoding(source: object, public: "ImageSet", store: Path) -> EncodingPlan | None:
    """Measure how fast the victim encodes here; None where all vectors exist: in a file, or in the store.

    Shards that an interrupted audit left in `store` are not encoded again, and not counted.
    """
    if not isinstance(source, LiveSource):
        return None
    images = source.images_to_encode(public, store)
    return EncodingPlan(images, *encoding_rate(source.victim, public)) if images else None


def encoding_rate(victim: "Victim", images: "ImageSet") -> tuple[float, int]:
    """Return images a second that `victim` encodes, and on how many of `images` this was measured.

    One batch before that is not timed, because the first allocates the memory of all.
    """
    count = min(FIRST, len(images))
    victim.encode(images, np.arange(count))
    while True:
        started = time.perf_counter()
        victim.encode(images, np.arange(count))
        seconds = max(time.perf_counter() - started, 1e-9)
        if seconds >= ENOUGH or count >= min(MOST, len(images)):
            return count / seconds, count
        count = min(2 * count, MOST, len(images))
