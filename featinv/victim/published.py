"""The published vectors: drawn once, so that every attack faces the same noise."""

from dataclasses import dataclass
from typing import Any, SupportsIndex, final

import numpy as np

from featinv.data import ImageSet
from featinv.defences import whole_release
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.victim.victim import Victim

BLOCK = 4096
"""Images that are defended at once."""

VIEW = 2
"""The stream of the defence's draws: pairs use 0 and 1, and a release must never repeat the noise of the attacker's
pairs.
"""


@final
@dataclass(frozen=True, eq=False)
class Release:
    """N published vectors and where they came from; `truth` and `victim` are for scoring only and may be unknown.

    Raises BadInput unless `features` is finite float32 of shape (N, D) or (N, C, h, w) with one vector for each
    image.
    """

    features: np.ndarray
    metadata: dict[str, Any]
    truth: ImageSet | None = None
    victim: Victim | None = None

    def __post_init__(self) -> None:
        features = self.features
        if features.dtype != np.float32 or features.ndim not in (2, 4) or len(features) == 0:
            raise BadInput(
                "release: expected float32 of shape (N, D) or (N, C, h, w), N > 0, "
                f"got {features.dtype} of shape {features.shape}; convert with astype(numpy.float32)"
            )
        if self.truth is not None and len(self.truth) != len(features):
            raise BadInput(
                f"release: expected one vector for each of the {len(self.truth)} private images, got {len(features)}"
            )
        if not np.isfinite(features).all():
            raise BadInput("release: expected finite features, got NaN or infinity; leave such vectors out")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """(D,) or (C, h, w)."""
        return tuple(self.features.shape[1:])


def release(victim: Victim, private: ImageSet, *, seed: SupportsIndex = 0, batch_size: int = 256) -> Release:
    """Publish the vectors of the `private` images, once: the same (victim, images, seed) gives the same vectors.

    A defence whose outputs depend on the whole release (`Microaggregate`) is given all vectors at once.
    The metadata is the victim's with `seed`, `count` and the fingerprint of the private images beside it. Raises
    BadInput that names the first image whose features are not finite, and for a seed outside 0 to 2**63 - 1.
    """
    seed = check_seed("release: seed", seed)
    features = np.empty((len(private), *victim.feature_shape), dtype=np.float32)
    size = len(private) if whole_release(victim.defence) else BLOCK
    for number, start in enumerate(range(0, len(private), size)):
        block = np.arange(start, min(start + size, len(private)))
        features[block] = victim.publish(
            private, block, seed=seed, block_number=number, view=VIEW, batch_size=batch_size
        )
    metadata = {**victim.metadata, "seed": seed, "count": len(private), "private_fingerprint": private.fingerprint}
    return Release(features, metadata, private, victim)
