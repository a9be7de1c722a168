"""Which attacks are trained, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.configuration import Part, build
from featinv.training.settings import Training

if TYPE_CHECKING:
    from featinv.losses import Objective
    from featinv.types import Attack


@dataclass(frozen=True)
class Term:
    """One term of the objective: a loss by name, and its weight."""

    name: str
    """an export of featinv.losses, or the import path of a class of yours"""
    weight: float = 1.0
    """what it is multiplied by"""
    args: dict[str, Any] = field(default_factory=dict)
    """its own keywords"""


@dataclass(frozen=True)
class AttackSettings:
    """One attack: a control or closed form by name, or a decoder with its losses and its training."""

    attack: Part = Part("DecoderAttack")
    """an export of featinv.attacks, or the import path of a class of yours"""
    decoder: Part = Part("Upsampling")
    """for DecoderAttack: an export of featinv.decoders, or the import path of a class of yours"""
    losses: tuple[Term, ...] = ()
    """for DecoderAttack: the terms of its objective; MSE when none is named"""
    training: Training = field(default_factory=Training)
    """for DecoderAttack: how it is trained"""
    of: str | None = None
    """for RandomVector: the name of the attack that is fed random vectors"""


def build_objective(terms: Sequence[Term]) -> "Objective":
    """Build the weighted sum of losses. Raises BadInput for an unknown loss, or when there is none."""
    if not terms:
        raise fi.BadInput("--losses: expected at least one loss; got none")
    parts = [float(term.weight) * build(Part(term.name, term.args), fi.losses) for term in terms]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def build_attacks(
    settings: Mapping[str, AttackSettings],
    feature_shape: tuple[int, ...],
    image_size: int,
    minutes: float | None = None,
) -> "dict[str, Attack]":
    """Build the attacks, unfitted, in the order given; `minutes` bounds the training of each.

    Raises BadInput for an unknown name or keyword, saying which exist.
    """
    attacks: dict[str, Attack] = {}
    for name, one in settings.items():
        if one.attack.name == "DecoderAttack":
            # First weights are a function of the attack's own seed, not of what was built before it.
            with fi.processes.seeded(one.training.seed):
                decoder = build(one.decoder, fi.decoders, feature_shape, image_size)
            # A class of somebody else's need not know our two attributes; what it was built with is known here.
            for attribute, value in (("feature_shape", feature_shape), ("image_size", image_size)):
                if not hasattr(decoder, attribute):
                    setattr(decoder, attribute, value)
            training = one.training if minutes is None else replace(one.training, minutes=minutes)
            attacks[name] = fi.attacks.DecoderAttack(decoder, build_objective(one.losses or (Term("MSE"),)), training)
        elif one.of is not None:
            if one.of not in attacks:
                raise fi.BadInput(f"attacks: {name!r} is made of {one.of!r}, which must stand before it")
            attacks[name] = build(one.attack, fi.attacks, attacks[one.of])
        else:
            attacks[name] = build(one.attack, fi.attacks)
    return attacks
