"""A victim at hand, which makes the vectors of an audit."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import featinv as fi
from featinv.audit.settings import AuditSettings
from featinv.configuration import Component
from featinv.defences import whole_release
from featinv.errors import BadInput
from featinv.features.layout import Layout
from featinv.victim.published import as_release, release_block

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.encoders import Encoder

TRAINED = "IMAGENET1K_V1"
BLOCK, SHORT_BLOCK = 4096, 512
"""images a file of the store, with a defence and without"""
LARGEST = 256
"""side of the largest images that decoders draw"""


@dataclass(frozen=True)
class LiveSource:
    """A victim at hand: it makes the vectors of public and private images, mirrored ones too."""

    victim: "fi.Victim"
    size: int
    notes: tuple[str, ...]
    enlarges: bool = False
    """whether the caller said that smaller images are to be enlarged"""
    named: ClassVar[bool] = True
    """the vectors are made of the images, one by one"""

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.victim.feature_shape

    @property
    def encoder(self) -> "Encoder | None":
        """The encoder, where an attacker can look through its layers."""
        encoder = self.victim.encoder
        return encoder if isinstance(encoder, fi.encoders.Encoder) and not why_black_box(encoder) else None

    @property
    def fingerprint(self) -> str:
        return self.victim.fingerprint

    @property
    def block(self) -> int:
        """How many images are encoded between two files of the store: what an interruption loses at most.

        A defence sees a whole block, and larger ones are more like a release; without one no vector depends on it.
        """
        return SHORT_BLOCK if isinstance(self.victim.defence, fi.defences.Identity) else BLOCK

    def images_to_encode(self, public: "ImageSet", store: Path) -> int:
        """Return how many public images, mirrored ones too, the store lacks vectors of."""
        layout = Layout(len(public), self.block, 2, self.feature_shape)
        return sum(shard.stop - shard.start for shard in layout.shards() if not layout.intact(store, shard))

    def pairs(self, public: "ImageSet", store: Path) -> "fi.Pairs":
        return fi.extract(self.victim, public, to=store, flips=True, block=self.block)

    def release(self, private: "ImageSet", seed: int, store: Path) -> "fi.Release":
        """Publish the vectors of the private images; those that an interrupted audit left in `store` are not made anew.

        They are what is published anyway: neither images nor undefended vectors are written.
        """
        whole = whole_release(self.victim.defence)
        block = release_block(self.victim, private) if whole else self.block
        features = fi.features.release_vectors(self.victim, private, to=store, seed=seed, block=block)
        return as_release(features, self.victim, private, seed=seed)


def components_of(settings: AuditSettings) -> tuple[Component, Component]:
    """Return the encoder and the defence that the settings name, the encoder with the layer and weights that apply."""
    assert isinstance(settings.victim, Component)
    assert isinstance(settings.defence, Component)
    args = dict(settings.victim.args)
    if settings.victim.name == "torchvision":
        # What is published comes from a trained network; a random one must be asked for by weights=null.
        args.setdefault("weights", TRAINED)
    if settings.layer is not None:
        args["layer"] = settings.layer
    return Component(settings.victim.name, args), settings.defence


def open_victim(settings: AuditSettings) -> LiveSource:
    """Build the victim as the flags name it. Raises BadInput for what cannot be built."""
    encoder, defence = components_of(settings)
    notes = []
    assert isinstance(settings.victim, Component)
    if encoder.args.get("weights") != settings.victim.args.get("weights"):
        notes.append(f"The victim has torchvision's weights {TRAINED}, as no others were named")
    for component in (encoder, defence):
        if "." in component.name:
            notes.append(f"{component.name} was imported and run, as named: code of yours, not of this package")
    built = fi.configuration.build(encoder, fi.encoders)
    if missing := [
        name for name in ("feature_shape", "image_size", "family", "fingerprint") if not hasattr(built, name)
    ]:
        raise BadInput(
            f"--victim: expected {encoder.name} to return an encoder, got {type(built).__name__} without {missing[0]}; "
            "featinv.encoders.wrap(network, ...) makes one of any network"
        )
    victim = fi.Victim(built, fi.configuration.build(defence, fi.defences)).to(fi.processes.device())
    if assumed := getattr(built, "assumed", ""):
        notes.append(f"The preprocessing was assumed: {assumed}")
    if built.family == "unknown":
        notes.append("The family of the encoder is unknown: that it is no relative of the judge is for you to know")
    if reason := why_black_box(built):
        notes.append(f"No attack looked through the victim's layers, because {reason}")
    size = settings.size or _power_of_two(built.image_size)
    return LiveSource(victim, size, tuple(notes), settings.smaller == "upscale")


def why_black_box(encoder: object) -> str:
    """Return why no attacker can look through the layers of an encoder, and "" where one can."""
    if isinstance(encoder, fi.encoders.BlackBox):
        return encoder.gradient_stop
    if not isinstance(encoder, fi.encoders.Encoder):
        return f"it is a {type(encoder).__name__}, which shows none"
    if encoder.gradient_stop:
        return f"no gradient passes through it: {encoder.gradient_stop}"
    return "" if encoder.perceptual_layers else "none of them gives maps of the image"


def _power_of_two(side: int) -> int:
    """Return the smallest side that a decoder draws and that loses nothing of what the encoder sees."""
    return next((size for size in (2**k for k in range(3, 9)) if size >= side), LARGEST)
