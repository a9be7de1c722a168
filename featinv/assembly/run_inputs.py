"""What a run is made of besides its settings: fingerprints by which its folder is known again."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import featinv as fi

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.victim import Victim


def inputs_of(public: "ImageSet", private: "ImageSet", victim: "Victim") -> dict[str, Any]:
    """Return the version of featinv and the fingerprints of both sets of images and of the victim.

    A victim's covers weights, layer, size and defence; that of a wrapped callable, its outputs on a few probe images.
    """
    return {
        "the public images": public.fingerprint,
        "the private images": private.fingerprint,
        "the victim": victim.fingerprint,
        "the version of featinv": fi.__version__,
    }


def judges_of(fingerprints: Iterable[str]) -> dict[str, Any]:
    """Return the same for judges, by their fingerprints."""
    return {"the judges": list(fingerprints)}
