"""The published vectors, drawn once so that every attack faces the same noise; do two sets come from one victim?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex, final

import numpy as np

from featinv.data import ImageSet
from featinv.data.encoder_pixels import SAW, what_it_saw
from featinv.defences import whole_release
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.processes import progress_bar
from featinv.types import RELEASE_VIEW
from featinv.victim.victim import Victim

BLOCK = 4096
"""Images that are defended at once."""


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
    with progress_bar(len(private), f"vectors of {victim.name}") as bar:
        features = victim.publish_all(
            private,
            seed=seed,
            block=release_block(victim, private),
            view=RELEASE_VIEW,
            batch_size=batch_size,
            progress=bar.update,
        )
    return as_release(features, victim, private, seed=seed)


def release_block(victim: Victim, private: ImageSet) -> int:
    """Return how many images of a release are defended at once: all, where the defence looks at all of them."""
    return len(private) if whole_release(victim.defence) else BLOCK


def as_release(features: np.ndarray, victim: Victim, private: ImageSet, *, seed: int) -> Release:
    """Return the release that these `features` of `private` are: those that `victim` publishes with `seed`.

    Raises BadInput as `Release` does.
    """
    metadata = {**victim.metadata, "seed": seed, "count": len(private), "private_fingerprint": private.fingerprint}
    metadata |= what_it_saw(private, victim.encoder)
    return Release(features, metadata, private, victim)


def features_must_match(expected: Mapping[str, Any], given: Mapping[str, Any], *, same_defence: bool = True) -> None:
    """Raise BadInput unless the features that `given` describes are of the kind that `expected` describes.

    Shapes must always agree. Fingerprints must agree where both are known (bare vectors have none): those of the
    victims, or with `same_defence=False`, for an attacker who does not know the defence, only encoder and layer. Then
    the side at which the encoder saw the images must agree too: vectors of shrunk images are other vectors.
    """
    shapes = [tuple(metadata.get("feature_shape") or ()) for metadata in (expected, given)]
    if shapes[0] != shapes[1]:
        raise BadInput(
            f"features: expected shape (N, {_listed(shapes[0])}) as made by {_title(expected)}, "
            f"got (N, {_listed(shapes[1])}) from {_title(given)}; "
            "use vectors of the same encoder and layer, or fit the attack on these"
        )
    keys = ("encoder_fingerprint", "layer", "fingerprint") if same_defence else ("encoder_fingerprint", "layer")
    for key in keys:
        ours, theirs = expected.get(key), given.get(key)
        if ours is not None and theirs is not None and ours != theirs:
            raise BadInput(
                f"features: expected {_WORDS[key]} of {_title(expected)} ({str(ours)[:12]}), got {_title(given)} "
                f"({str(theirs)[:12]}); fit the attack on features of this victim"
            )
    sides = [metadata.get(SAW, "the encoder's own") for metadata in (expected, given)]
    if sides[0] != sides[1] and all(metadata.get("encoder_fingerprint") for metadata in (expected, given)):
        raise BadInput(
            f"features: expected images that {_title(expected)} saw at the same side, got {sides[0]} and {sides[1]} "
            "px; read the images of both sides with encoder= it (featinv.data.open_images), at their own size"
        )


_WORDS = {"encoder_fingerprint": "the encoder", "layer": "the layer", "fingerprint": "encoder, input size and defence"}


def _title(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("name") or "an unnamed victim")


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
