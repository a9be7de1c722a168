"""The adversary of a decoder, from settings."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import featinv as fi
from featinv.assembly.victim_settings import fill
from featinv.configuration import Component, build, find, parse_component
from featinv.training.settings import AdversaryTraining

if TYPE_CHECKING:
    from types import ModuleType

    from featinv.training import Adversary
    from featinv.types import Encoder


@dataclass(frozen=True)
class AdversarySettings(AdversaryTraining):
    """A discriminator by name, its adversarial loss, and how it is trained."""

    discriminator: Component = Component("DCGAN")
    """an export of featinv.discriminators, or the import path of a class of yours"""
    loss: Literal["hinge", "non_saturating", "least_squares", "wasserstein", "relativistic"] = "hinge"
    """the adversarial_loss: what the discriminator and the decoder make small"""
    conditional: bool = False
    """show the discriminator the vector too (wraps it in Projection)"""
    penalties: tuple[Component, ...] = ()
    """added to what the discriminator makes small: R1, R2, GradientPenalty, LeCam, or the import path of a class of
    yours"""
    augment: str = ""
    """DiffAugment's policy, for all that the discriminator sees: colour, translation and cutout, separated by commas;
    empty: none"""


def build_adversary(
    settings: AdversarySettings,
    encoder: "Encoder",
    feature_shape: tuple[int, ...],
    image_size: int,
    folders: Mapping[str, str | None] | None = None,
) -> "Adversary":
    """Build the adversary of a decoder with these features and images; a frozen backbone is the victim's encoder.

    Raises BadInput for an unknown name, keyword or augmentation, and for numbers that cannot be used.
    """
    if settings.discriminator.name == "Projection":
        raise fi.BadInput(
            "--adversary.discriminator: expected one that Projection goes around (DCGAN, Patch, FrozenFeatures), got "
            "Projection; name that one, and say --adversary.conditional true"
        )
    discriminator = build_with_encoder(settings.discriminator, fi.discriminators, encoder, folders, image_size)
    if settings.conditional:
        discriminator = fi.discriminators.Projection(discriminator, feature_shape)
    return fi.training.Adversary(
        discriminator,
        getattr(fi.losses, settings.loss),
        penalties=[build(penalty, fi.losses) for penalty in settings.penalties],
        augment=fi.discriminators.DiffAugment(settings.augment) if settings.augment else None,
        **settings.numbers(),
    )


def build_with_encoder(
    component: Component,
    group: "ModuleType",
    encoder: "Encoder | None",
    folders: Mapping[str, str | None] | None,
    *rest: Any,
) -> Any:
    """Build a component; where its first argument is called `encoder`, it gets the victim's unless it names another.

    Another is written as in `victim.encoder`: `encoder: torchvision:vgg16`, or {name: torchvision, args: {...}}.
    Raises BadInput where a component needs an encoder and there is none.
    """
    first = next(iter(inspect.signature(find(component.name, group)).parameters), None)
    if first != "encoder":
        return build(component, group, *rest)
    own = dict(component.args)
    if (named := own.pop("encoder", None)) is not None:
        if isinstance(named, str):
            named = asdict(parse_component(named, fi.encoders, f"{component.name}.encoder"))
        if not isinstance(named, Mapping) or not {"name"} <= set(named) <= {"name", "args"}:
            raise fi.BadInput(
                f"{component.name}.encoder: expected {{name: ..., args: {{...}}}} as for the victim, got {named!r}"
            )
        encoder = build(fill(Component(named["name"], dict(named.get("args") or {})), folders), fi.encoders)
    if encoder is None:
        raise fi.BadInput(f"{component.name}: expected an encoder to look through, got none; name one in its args")
    instance = build(replace(component, args=own), group, encoder, *rest)
    # What is never rebuilt from a description need not remember its arguments, whose copies would be whole networks.
    vars(instance).pop("_built_from", None)
    return instance
