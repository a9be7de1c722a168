"""Which attacks are trained, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.assembly.adversary_settings import AdversarySettings, build_adversary, build_with_encoder
from featinv.configuration import Component, build
from featinv.training.settings import Training

if TYPE_CHECKING:
    from featinv.attacks import DecoderAttack
    from featinv.losses import Loss, Objective
    from featinv.types import Attack, Encoder
    from featinv.victim import Victim


@dataclass(frozen=True)
class Term:
    """One term of the objective: a loss by name, and its weight."""

    name: str
    """an export of featinv.losses, or the import path of a class of yours"""
    weight: float = 1.0
    """what it is multiplied by"""
    args: dict[str, Any] = field(default_factory=dict)
    """its own keywords"""
    views: dict[str, Any] | None = None
    """keywords of featinv.losses.RandomViews, through which it is then seen (`{}`: its defaults); null: as it is"""


@dataclass(frozen=True)
class AttackSettings:
    """One attack: a control or closed form by name, or a decoder with its losses and its training."""

    attack: Component = Component("DecoderAttack")
    """an export of featinv.attacks, or the import path of a class of yours"""
    decoder: Component = Component("Upsampling")
    """for DecoderAttack: an export of featinv.decoders, or the import path of a class of yours"""
    losses: tuple[Term, ...] = ()
    """for DecoderAttack: the terms of its objective; MSE when none is named"""
    training: Training = field(default_factory=Training)
    """for DecoderAttack: how it is trained"""
    adversary: AdversarySettings | None = None
    """for DecoderAttack: the adversary of the decoder; null: none"""
    of: str | None = None
    """for RandomVector: the name of the attack that is fed random vectors"""


def build_objective(
    terms: Sequence[Term], encoder: "Encoder | None" = None, folders: Mapping[str, str | None] | None = None
) -> "Objective":
    """Build the weighted sum of losses; one whose first argument is called `encoder` gets this one, the victim's.

    It gets another where its args name one, as a victim names its own; `folders` fill that one's paths.
    Raises BadInput for an unknown loss, or when there is none.
    """
    if not terms:
        raise fi.BadInput("--losses: expected at least one loss; got none")
    parts = [float(term.weight) * _build_loss(term, encoder, folders) for term in terms]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _build_loss(term: Term, encoder: "Encoder | None", folders: Mapping[str, str | None] | None) -> "Loss":
    loss = build_with_encoder(Component(term.name, term.args), fi.losses, encoder, folders)
    return loss if term.views is None else build(Component("RandomViews", term.views), fi.losses, loss)


def build_attacks(
    settings: Mapping[str, AttackSettings],
    victim: "Victim",
    image_size: int,
    minutes: float | None = None,
    folders: Mapping[str, str | None] | None = None,
) -> "dict[str, Attack]":
    """Build the attacks on a victim, unfitted, in the order given; `minutes` bounds the training of each.

    Raises BadInput for an unknown name or keyword, saying which exist, and for an adversary that does not fit.
    """
    attacks: dict[str, Attack] = {}
    for name, setting in settings.items():
        if setting.attack.name == "DecoderAttack":
            training = setting.training if minutes is None else replace(setting.training, minutes=minutes)
            attacks[name] = _decoder_attack(replace(setting, training=training), victim, image_size, folders)
        elif setting.of is not None:
            if setting.of not in attacks:
                raise fi.BadInput(f"attacks: {name!r} is made of {setting.of!r}, which must stand before it")
            attacks[name] = build(setting.attack, fi.attacks, attacks[setting.of])
        else:
            attacks[name] = build(setting.attack, fi.attacks)
    return attacks


def _decoder_attack(
    setting: AttackSettings, victim: "Victim", image_size: int, folders: Mapping[str, str | None] | None
) -> "DecoderAttack":
    shape = victim.feature_shape
    # First weights are a function of the attack's own seed, not of what was built before it.
    with fi.processes.seeded(setting.training.seed):
        decoder = build(setting.decoder, fi.decoders, shape, image_size)
    # A class of somebody else's need not know our two attributes; what it was built with is known here.
    for attribute, value in (("feature_shape", shape), ("image_size", image_size)):
        if not hasattr(decoder, attribute):
            setattr(decoder, attribute, value)
    objective = build_objective(setting.losses or (Term("MSE"),), victim.encoder, folders)
    if setting.adversary is None:
        return fi.attacks.DecoderAttack(decoder, objective, setting.training)
    with fi.processes.seeded(setting.training.seed):
        adversary = build_adversary(setting.adversary, victim.encoder, shape, image_size, folders)
    return fi.attacks.DecoderAttack(decoder, objective, setting.training, adversary=adversary)
