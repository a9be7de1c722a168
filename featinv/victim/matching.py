"""Whether two sets of features come from the same victim."""

from collections.abc import Mapping
from typing import Any

from featinv.errors import BadInput


def features_must_match(expected: Mapping[str, Any], given: Mapping[str, Any], *, same_defence: bool = True) -> None:
    """Raise BadInput unless the features that `given` describes are of the kind that `expected` describes.

    Shapes must always agree. Fingerprints must agree where both are known (bare vectors have none): those of the
    victims, or with `same_defence=False`, for an attacker who does not know the defence, only encoder and layer.
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


_WORDS = {"encoder_fingerprint": "the encoder", "layer": "the layer", "fingerprint": "encoder, input size and defence"}


def _title(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("name") or "an unnamed victim")


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
