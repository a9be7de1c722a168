"""The suite for several releases of the same images: an undefended one, and defended ones by a known defence.

Minutes are shared by all releases, so decoders for pixels, which identify least (docs/results/cifar10_gan.md), are left
out. The undefended vectors get the controls, the closed forms, and the decoder that looks through two surrogates. Of a
defended release the strongest attack counts, so only what identifies is tried: the nearest neighbour, the recoloured
one, the undefended release's attack on denoised vectors, and its decoder, trained further on defended pairs. The
surrogates are distilled from the undefended pairs, once.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import featinv as fi
from featinv.audit.suite import SUITE
from featinv.audit.suite_entry import Materials, SuiteEntry
from featinv.errors import BadInput
from featinv.files import folder_name
from featinv.training.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from featinv.types import Attack

TRAINED = "two surrogates"
NEAREST = "nearest neighbour"
OTHERS = ("pixels", "listik", "identify")
LEAST_SIDE = 8
RECOLOURED = SuiteEntry("recoloured neighbour", lambda m, t: fi.attacks.RecolouredNeighbour())


def undefended_suite(size: int) -> tuple[SuiteEntry, ...]:
    """Return the suite for undefended vectors of images of `size` pixels a side.

    The surrogates see half the side, as the decoder draws: a quarter of the cost of a step.
    """
    side = MappingProxyType({"input_size": max(LEAST_SIDE, size // 2)})
    others = tuple(entry for entry in SUITE if entry.name not in (TRAINED, *OTHERS))
    return (*others, RECOLOURED, replace(_entry(TRAINED), distillation=side))


def defended_suite(audit: str, public_features: str) -> tuple[SuiteEntry, ...]:
    """Return the suite for a defence of the vectors that `audit` attacked; `public_features` are its public vectors.

    Raises BadInput where that audit has no trained attack.
    """
    folder = Path(audit)
    trained = folder / folder_name(TRAINED)
    if not (trained / "attack.json").is_file():
        raise BadInput(f"{audit}: expected the attack {TRAINED!r} on undefended vectors, found none; remove the folder")

    def further(materials: Materials, training: Training) -> "Attack":
        first, second = (fi.encoders.saved(folder / "surrogates" / f"{x}.safetensors", layer="norm") for x in "ab")
        decoder = _trained_decoder(trained, materials.pairs.feature_shape)
        return fi.presets.two_surrogates(
            materials.pairs, decoder=decoder, training=training, surrogates=(first, second)
        )

    def denoised(materials: Materials, training: Training) -> "Attack":
        del training
        clean = fi.pair(fi.load_features(public_features), materials.pairs.images)
        return fi.attacks.Denoised(fi.load_attack(trained), clean)

    entry = replace(_entry(TRAINED), build=further, distilling=0.0)
    return (_entry(NEAREST), RECOLOURED, SuiteEntry("denoised, then decoded", denoised), entry)


def _entry(name: str) -> SuiteEntry:
    return next(entry for entry in SUITE if entry.name == name)


def _trained_decoder(folder: Path, feature_shape: Sequence[int]) -> "nn.Module | None":
    """Return the decoder with its trained weights, to be trained further; None where it takes other vectors."""
    attack = fi.load_attack(folder)
    if not isinstance(attack, fi.attacks.DecoderAttack) or attack.feature_shape != tuple(feature_shape):
        return None
    assert attack.network is not None
    decoder: nn.Module = attack.network.get_submodule("decoder")
    return decoder.requires_grad_(True).train()
