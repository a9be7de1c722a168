"""The contracts of attacks: features -> images, fitted on public pairs."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featinv.attacks import load_attack, save_attack
from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.testing.contracts import demand, demand_images, demand_independent, demand_same, demand_untouched, label
from featinv.testing.synthetic import synthetic_pairs
from featinv.victim import Release


def check_attack(attack: Any, *, pairs: Any = None, allow: Iterable[type | str] = ()) -> None:
    """Raise AssertionError unless `attack`, not fitted yet, can be scored in a scoreboard; it is fitted on `pairs`.

    The default pairs are 48 synthetic pairs, vectors (16,) and images of 32 pixels. Before `fit`, `reconstruct` is
    refused; `fit` returns the attack and sets `feature_shape`, `image_size`, `victim` and `parameters`; reconstructions
    are float32 images in [0, 1], equal in repeated calls and independent of the rest of the batch; vectors of another
    shape and NaN are refused with BadInput; a saved and loaded attack reconstructs the same bit by bit. An attack with
    a method `align` is aligned with a release of the pairs' own vectors after `fit`, and refuses to reconstruct before.
    `allow` names the classes that `load_attack` needs beside the attack's own.
    """
    name = label(attack)
    pairs = synthetic_pairs() if pairs is None else pairs
    with seeded(0):
        features: Tensor = pairs.batch(np.arange(8))[0]
        unseen = torch.cat([features[:6], features[6:] + 0.3 * torch.randn_like(features[6:])])
        _demand_refusal(attack, unseen, f"{name}.reconstruct before fit")
        demand(attack.fit(pairs) is attack, f"{name}.fit must return the attack itself")
        if callable(getattr(attack, "align", None)):
            _demand_refusal(attack, unseen, f"{name}.reconstruct before align")
            release = Release(pairs.features(np.arange(len(pairs))), pairs.metadata)
            demand(attack.align(release) is attack, f"{name}.align must return the attack itself")
        _check_attributes(attack, pairs, name)
        _check_images(attack, unseen, pairs.image_size, name)
        _check_refusals(attack, unseen, name)
        _check_saved(attack, unseen, [type(attack), *allow], name)


def _check_attributes(attack: Any, pairs: Any, name: str) -> None:
    demand(attack.kind in ("control", "attack"), f'{name}.kind must be "control" or "attack", got {attack.kind!r}')
    demand(
        isinstance(attack.parameters, int) and attack.parameters >= 0,
        f"{name}.parameters must count the numbers that fitting determined, got {attack.parameters!r}",
    )
    for attribute, expected in (("feature_shape", pairs.feature_shape), ("image_size", pairs.image_size)):
        got = getattr(attack, attribute, None)
        demand(got == expected, f"{name}.{attribute} must be that of the pairs after fit, {expected}, got {got!r}")
    demand(
        getattr(attack, "victim", None) == pairs.metadata, f"{name}.victim must be the metadata of the pairs after fit"
    )


def _check_images(attack: Any, features: Tensor, size: int, name: str) -> None:
    what = f"a reconstruction of {name}"
    demand_untouched(attack.reconstruct, features, name)
    images = attack.reconstruct(features)
    demand_images(images, (len(features), 3, size, size), what)
    demand(not images.requires_grad, f"{what} must carry no gradient: decorate reconstruct with torch.no_grad()")
    with seeded(1):
        demand_same(
            attack.reconstruct(features), images, f"{what} must be equal in repeated calls, with any torch seed", 0.0
        )
    demand_independent(attack.reconstruct, features, what)
    demand_images(attack.reconstruct(features[:0]), (0, 3, size, size), f"{what} of no vectors")


def _check_refusals(attack: Any, features: Tensor, name: str) -> None:
    wider = torch.cat([features, features[:, :1]], dim=1)
    _demand_refusal(attack, wider, f"vectors of another shape than {name} was fitted on")
    for bad in (torch.nan, torch.inf):
        damaged = features.clone()
        damaged.flatten(1)[2, 0] = bad
        _demand_refusal(attack, damaged, f"a vector with {bad} in {name}.reconstruct", says="2")


def _demand_refusal(attack: Any, features: Tensor, what: str, says: str = "") -> None:
    try:
        attack.reconstruct(features)
    except BadInput as refusal:
        demand(says in str(refusal), f"the refusal of {what} must name the row {says}, got: {refusal}")
        return
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise AssertionError(f"{what} must raise BadInput, got {type(error).__name__}: {error}") from error
    raise AssertionError(f"{what} must raise BadInput, but was accepted")


def _check_saved(attack: Any, features: Tensor, allow: list[type | str], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_attack(attack, Path(folder) / "attack")
            loaded = load_attack(Path(folder) / "attack", allow=allow)
        except BadInput as error:
            raise AssertionError(f"{name} must be saved and loaded: {error}") from error
    again, images = loaded.reconstruct(features), attack.reconstruct(features)
    demand(torch.equal(again, images), f"{name}, saved and loaded, must reconstruct the same bit by bit")
    for attribute in ("kind", "parameters", "feature_shape", "image_size", "victim"):
        got, expected = getattr(loaded, attribute), getattr(attack, attribute)
        demand(got == expected, f"{name}, saved and loaded, must have the same {attribute}: {expected!r}, got {got!r}")
