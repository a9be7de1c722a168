"""What a comparison refuses before it measures anything."""

from collections.abc import Mapping, Sequence
from typing import Any

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.attack_score import KINDS, WRONG_VECTOR
from featinv.evaluation.independence import barred_by, shares_network
from featinv.evaluation.panel import gallery_view
from featinv.evaluation.reidentification import check_gallery
from featinv.evaluation.treatments import TREATMENTS
from featinv.types import Attack, Judge
from featinv.victim import Release, features_must_match


def check_attacks(attacks: Mapping[str, Attack], release: Release) -> None:
    """Raise BadInput unless there are controls and attacks with usable names, fitted on this release's victim."""
    if not attacks:
        raise BadInput("attacks: expected at least one, got none")
    for name, attack in attacks.items():
        if not name.strip() or "/" in name or not name.isprintable():
            raise BadInput(f"attacks: expected a printable name without '/', got {name!r}; rename it")
        if attack.kind not in KINDS:
            raise BadInput(f"{name}: expected kind 'control' or 'attack', got {attack.kind!r}")
        seen = getattr(attack, "victim", None)
        if seen:
            try:
                features_must_match(seen, release.card)
            except BadInput as error:
                raise BadInput(f"{name}: {error}") from error
    if all(attack.kind != "control" for attack in attacks.values()):
        raise BadInput(
            "attacks: no control among them, so that a leak cannot be told from what anybody knows; "
            "add at least 'mean image': featinv.attacks.MeanImage()"
        )


def check_private(release: Release, galleries: Sequence[int]) -> ImageSet:
    """Return the private pictures; BadInput when there are none, other ones, or fewer than a gallery needs."""
    if release.truth is None:
        raise BadInput("release: scoring needs the private pictures, but this release has none; give it its `truth`")
    count = len(release.truth)
    if count < 2:
        raise BadInput(f"release: scoring needs at least 2 private pictures, got {count}")
    published = release.card.get("private_fingerprint")
    if published is not None and published != release.truth.fingerprint:
        raise BadInput(
            f"release: expected the private pictures that were released ({published[:12]}), "
            f"got others ({release.truth.fingerprint[:12]}); give it the same pictures in the same order"
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
    card = release.card
    for judge in judges:
        same = bool(judge.fingerprint) and judge.fingerprint == card.get("encoder_fingerprint")
        if same or (release.victim is not None and shares_network(judge, release.victim)):
            raise BadInput(f"judges: {judge.name!r} is the victim's own network; expected an independent one")
        for name, attack in attacks.items():
            if shares_network(judge, attack):
                raise BadInput(f"judges: {judge.name!r} is used by the attack {name!r}; a judge only ever scores")
            if barred_by(judge, attack):
                raise BadInput(
                    f"judges: {judge.name!r} has the weights of a network in the objective or the adversary that "
                    f"{name!r} was trained with, which learnt to please it; take a judge of another family"
                )
    siblings = [is_sibling(judge, card) for judge in judges]
    if siblings[0] and not allow_sibling:
        advice = "put another one first" if not all(siblings) else "add one of another family, first"
        raise BadInput(
            f"judges: {judges[0].name!r} is of the victim's family ({judges[0].family}) and data; {advice}, "
            "or pass allow_sibling=True for a diagnosis that shows nothing"
        )
    return siblings


def is_sibling(judge: Judge, card: Mapping[str, Any]) -> bool:
    """Say whether judge and victim share family and training data; data that nobody named may be the same."""
    if judge.family != card.get("family"):
        return False
    theirs = card.get("trained_on")
    return not judge.trained_on or not theirs or judge.trained_on == theirs


def _check_names(names: Sequence[str]) -> None:
    reserved = {*TREATMENTS, WRONG_VECTOR, ""}
    for position, name in enumerate(names):
        if name in names[:position]:
            raise BadInput(f"judges: two are called {name!r}; rename one")
        if name in reserved or name.startswith(gallery_view(0)[:-1]):
            raise BadInput(f"judges: the name {name!r} means another view of the scoreboard; rename the judge")
