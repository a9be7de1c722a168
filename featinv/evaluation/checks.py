"""What is checked of attacks, judges and releases before anything is scored."""

import hashlib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from featinv import files
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.attack_score import FEATURE_LINKAGE, KINDS, MISMATCHED_FEATURES, PREDICTED
from featinv.evaluation.columns import WITHIN_CLASS
from featinv.evaluation.judging import TREATMENTS
from featinv.evaluation.panel import gallery_view
from featinv.evaluation.reidentification import check_gallery
from featinv.types import Attack, Judge
from featinv.victim import Release, features_must_match


def check_attacks(attacks: Mapping[str, Attack], release: Release) -> None:
    """Raise BadInput unless there are controls and attacks with usable names, fitted on this release's victim."""
    if not attacks:
        raise BadInput("attacks: expected at least one, got none")
    check_attack_names(attacks)
    for name, attack in attacks.items():
        if attack.kind not in KINDS:
            raise BadInput(f"{name}: expected kind 'control' or 'attack', got {attack.kind!r}")
        fitted_to = getattr(attack, "victim", None)
        if fitted_to:
            try:
                features_must_match(fitted_to, release.metadata)
            except BadInput as error:
                raise BadInput(f"{name}: {error}") from error
    if all(attack.kind != "control" for attack in attacks.values()):
        raise BadInput(
            "attacks: no control among them, so that a leak cannot be told from what anybody knows; "
            "add at least 'mean image': featinv.attacks.MeanImage()"
        )


def check_attack_names(names: Iterable[str]) -> None:
    """Raise BadInput for an empty or unprintable name, one with '/', and one that means a row of the scorer's own.

    Two names that differ only in case, spaces or letters that look alike are refused too: they would be told apart
    neither in a table nor by every file system.
    """
    owners: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        if not name.strip() or "/" in name or not name.isprintable():
            raise BadInput(f"attacks: expected a printable name without '/', got {name!r}; rename it")
        key = files.likeness_key(name)
        reserved = key == files.likeness_key(FEATURE_LINKAGE) or key.startswith(files.likeness_key(PREDICTED))
        if reserved or key.startswith(f"{MISMATCHED_FEATURES} ("):
            raise BadInput(f"attacks: the name {name!r} means a row that the scorer makes; rename the attack")
        other = owners.get(key) or folders.get(files.folder_name(name))
        if other is not None:
            raise BadInput(
                f"attacks: {other!r} and {name!r} cannot be told apart by a reader or by a file system; rename one"
            )
        owners[key] = folders[files.folder_name(name)] = name


def check_private(release: Release, galleries: Sequence[int]) -> ImageSet:
    """Return the private images; BadInput when there are none, other ones, or fewer than a gallery needs."""
    if release.truth is None:
        raise BadInput("release: scoring needs the private images, but this release has none; give it its `truth`")
    count = len(release.truth)
    if count < 2:
        raise BadInput(f"release: scoring needs at least 2 private images, got {count}")
    published = release.metadata.get("private_fingerprint")
    if published is not None and published != release.truth.fingerprint:
        raise BadInput(
            f"release: expected the private images that were released ({published[:12]}), "
            f"got others ({release.truth.fingerprint[:12]}); give it the same images in the same order"
        )
    for size in galleries:
        check_gallery(size, count)
    return release.truth


def check_judges(
    judges: Sequence[Judge], attacks: Mapping[str, Attack], release: Release, *, allow_sibling: bool
) -> list[bool]:
    """Say of every judge whether it is a sibling of the victim (rule 1).

    Raises BadInput when there is no judge, when two share a name, when one is the victim's own network or part of an
    attack, and when a sibling comes first (unless it is allowed by name).
    """
    if not judges:
        raise BadInput("judges: expected at least one, of another family than the encoder; got none")
    _check_names([judge.name for judge in judges])
    metadata = release.metadata
    for judge in judges:
        same = bool(judge.fingerprint) and judge.fingerprint == metadata.get("encoder_fingerprint")
        if same or (release.victim is not None and shares_network(judge, release.victim)):
            raise BadInput(f"judges: {judge.name!r} is the victim's own network; expected an independent one")
        for name, attack in attacks.items():
            if shares_network(judge, attack):
                raise BadInput(f"judges: {judge.name!r} is used by the attack {name!r}; a judge only ever scores")
            if excluded_by(judge, attack):
                raise BadInput(
                    f"judges: {judge.name!r} has the weights of a network in the objective or the adversary that "
                    f"{name!r} was trained with, which learnt to please it; take a judge of another family"
                )
    siblings = [is_sibling(judge, metadata) for judge in judges]
    if siblings[0] and not allow_sibling:
        advice = "put another one first" if not all(siblings) else "add one of another family, first"
        raise BadInput(
            f"judges: {judges[0].name!r} is of the victim's family ({judges[0].family}) and data; {advice}, "
            "or pass allow_sibling=True for a diagnosis that shows nothing"
        )
    return siblings


def is_sibling(judge: Judge, metadata: Mapping[str, Any]) -> bool:
    """Say whether judge and victim share family and training data; data that nobody named may be the same."""
    if judge.family != metadata.get("family"):
        return False
    theirs = metadata.get("trained_on")
    return not judge.trained_on or not theirs or judge.trained_on == theirs


def _check_names(names: Sequence[str]) -> None:
    reserved = {*TREATMENTS, ""}
    beginnings = (gallery_view(0)[:-1], WITHIN_CLASS, MISMATCHED_FEATURES)
    owners: dict[str, str] = {}
    for name in names:
        key = files.likeness_key(name)
        if key in owners:
            alike = "called" if owners[key] == name else f"called {owners[key]!r} and"
            raise BadInput(f"judges: two are {alike} {name!r}; rename one")
        owners[key] = name
        if name in reserved or name.startswith(beginnings):
            raise BadInput(f"judges: the name {name!r} means another view of the scoreboard; rename the judge")


_MOST_OBJECTS = 100_000
_LEAVES = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, type, types.ModuleType, ImageSet)


def shares_network(judge: object, other: object) -> bool:
    """Say whether more than half of the judge's weight tensors hang, equal bit by bit, anywhere on the other object.

    Fingerprints also cover the layer and the input size, so that one network cut in two places has two of them; weights
    do not. A head of its own on somebody else's trunk makes no independent judge. What has no weights is compared by
    identity and by fingerprint.
    """
    own = _weights([judge]) if isinstance(judge, nn.Module) else set()
    parts = list(_parts(other))
    if not own:
        name = getattr(judge, "fingerprint", None)
        return any(part is judge or (name and getattr(part, "fingerprint", None) == name) for part in parts)
    return 2 * len(own & _weights(parts)) > len(own)


def excluded_by(judge: object, attack: object) -> bool:
    """Say whether the weights of the judge are among those that an attack, or one inside it, was trained to please.

    An attack that was saved and loaded no longer has its objective and its adversary; it remembers their networks by
    `excluded_judges`, fingerprints of weights.
    """
    name = getattr(judge, "weights_fingerprint", None)
    lists = (getattr(part, "excluded_judges", None) for part in _parts(attack))
    return name is not None and any(name in excluded for excluded in lists if isinstance(excluded, frozenset | set))


def _weights(parts: list[object]) -> set[str]:
    """Digests of the weight matrices and kernels; biases and constants may well agree by chance."""
    tensors = {
        id(parameter): parameter
        for part in parts
        if isinstance(part, nn.Module)
        for parameter in part.parameters()
        if parameter.ndim > 1 and parameter.numel() > 16
    }
    return {
        hashlib.sha256(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        for tensor in tensors.values()
    }


def _parts(root: object) -> Iterator[object]:
    """Everything that hangs on an object by attributes and containers, so that a loss's network is found too."""
    todo, visited = [root], {id(root)}
    while todo and len(visited) < _MOST_OBJECTS:
        thing = todo.pop()
        yield thing
        if isinstance(thing, Mapping):
            children = list(thing.values())
        elif isinstance(thing, list | tuple | set | frozenset):
            children = list(thing)
        else:
            children = list(getattr(thing, "__dict__", {}).values())
        for child in children:
            if not isinstance(child, _LEAVES) and id(child) not in visited:
                visited.add(id(child))
                todo.append(child)
