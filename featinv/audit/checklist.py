"""What an audit confirmed before it may pass: the positive controls, put together from what was measured."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import featinv as fi
from featinv.audit.live_source import LiveSource
from featinv.audit.record import Record
from featinv.audit.sources import Source
from featinv.audit.suite import SuitePlan
from featinv.data.encoder_pixels import side_needed, what_it_saw
from featinv.evaluation.judging import TREATMENTS
from featinv.evaluation.pairing import ALPHA, Pairing
from featinv.evaluation.positive_controls import BLIND, Check, check_power, check_vectors, read_checks
from featinv.evaluation.reidentification import ranks

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.types import Encoder, Judge

COMPLETE = 0.9
"""share of its planned images below which a training counts as starved"""
MOST_LOST = 0.01
"""share of the private images that may be lost in reading"""
MOST_UNLIKE_SCENES = 0.2
"""share of the private images that may look unlike rendered scenes before a judge of scenes counts as blind"""
UNDEFENDED = 500
"""images a side on which undefended vectors are tested"""
ORIGINALS = 1000
"""private images that each judge has to find again"""


def check_inputs(source: Source, pairs: "fi.Pairs", release: "fi.Release", *, seed: int) -> list[Check]:
    """Return what can be confirmed before anything is trained: encoder, pairing, vectors."""
    checks = []
    if (encoder := _encoder(source)) is not None:
        # Raises BadInput where it is none: then nothing that follows would mean anything.
        images = pairs.images.batch(np.arange(min(3, len(pairs))))
        fi.encoders.check_function(encoder, images.to(fi.processes.device()))
        text = f"{encoder.name} is a function of the image: the same twice, alone, in a batch and in train mode"
        checks.append(Check("encoder", True, text))
        # Vectors of another preprocessing are other vectors: an attack on them says nothing of those released.
        if assumed := getattr(encoder, "assumed", ""):
            checks.append(Check("preprocessing", False, assumed))
        assert isinstance(source, LiveSource)
        assert release.truth is not None
        checks.append(check_resolution(source, {"public": pairs.images, "private": release.truth}))
    return [*checks, _pairing(source, pairs, release, seed), check_vectors(pairs, release.features)]


def check_resolution(source: LiveSource, sides: Mapping[str, "ImageSet"]) -> Check:
    """Check that the encoder saw the images at the side that it takes: vectors of shrunk images are other vectors.

    Files are resized for it from their own size. Arrays hold no more than they hold: where they are smaller than what
    the encoder takes, the caller has to say that the originals are so small (`--smaller upscale`).
    """
    encoder = source.victim.encoder
    needed = side_needed(encoder)
    wrong = [
        f"the {name} images are {images.encoder_side} px"
        for name, images in sides.items()
        if what_it_saw(images, encoder)
    ]
    if not wrong:
        return Check("resolution", True, f"{encoder.name} saw the images at the {needed} px that it resizes them to")
    if source.enlarges:
        return Check("resolution", True, f"{'; '.join(wrong)}, as the originals are by --smaller upscale")
    return Check(
        "resolution",
        False,
        f"{encoder.name} takes {needed} px, but {' and '.join(wrong)}: vectors of larger originals are others; "
        "give the image files or larger arrays, or, where the originals are so small, --smaller upscale",
    )


def check_images(private: "ImageSet") -> Check:
    """Check that hardly any private image was lost in reading (`ImageSet.intake`)."""
    intake = private.intake
    if intake.lost_share <= MOST_LOST and not intake.lost:
        return Check("images", True, f"all private image files were read ({len(private):,} images)")
    # Without names: the checks stand in the scoreboard, which is shared.
    listed = ", ".join(f"{count:,} {reason}" for reason, count in _reasons(private).items())
    unlisted = f"; {intake.unlisted:,} folders or links could not be opened" if intake.unlisted else ""
    said = f"{intake.lost:,} of {intake.seen:,} private image files were not read ({listed}){unlisted}"
    return Check("images", intake.lost_share <= MOST_LOST, said)


def intake_counts(images: "ImageSet", twins: list[list[str]]) -> dict[str, Any]:
    """Return how many image files of a side were read, lost, left out and there twice, without their names."""
    intake = images.intake
    return {
        "read": intake.read,
        "lost": intake.lost,
        "lost_share": intake.lost_share,
        "reasons": _reasons(images),
        "left_out": dict(intake.left_out),
        "twins": sum(len(group) - 1 for group in twins),
    }


def intake_notes(images: "ImageSet", side: str, twins: list[list[str]]) -> list[str]:
    """Say what of a side was not read or left out, and which images are there more than once, by name."""
    return [*fi.data.intake_sentences(images, side), *fi.data.duplicates_sentences(twins, side)]


def _reasons(images: "ImageSet") -> dict[str, int]:
    return dict(Counter(reason.partition(":")[0] for _, reason in images.intake.skipped).most_common())


def check_attacks(plan: SuitePlan, record: Record, named: str | None, *, public: int) -> Check:
    """Check that everything planned ran, each training to nine tenths of its plan and over all public images once.

    What the budget left out is named in what was confirmed, so that a pass claims no more than was tried.
    """
    wrong = attack_faults(plan, record)
    wrong += [] if wrong else starved_attacks(plan, record, public)
    if named is not None and named in record.failed:
        wrong.insert(0, f"the named attack, {named!r}, did not run")
    if wrong:
        return Check("attacks", False, "; ".join(wrong))
    ran = f"all {len(plan.names)} planned controls and attacks ran, to their planned images"
    return Check("attacks", True, "; ".join(filter(None, (ran, plan.untried))))


def attack_faults(plan: SuitePlan, record: Record) -> list[str]:
    """Say which planned attacks failed, and which trainings saw too few of their planned images."""
    faults = [f"{name!r} failed ({record.failed[name]})" for name in plan.names if name in record.failed]
    missing = [name for name in plan.names if name not in record.failed and name not in record.seconds]
    faults += [f"{name!r} did not run" for name in missing]
    for name, planned in record.images.items():
        images = record.seen.get(name, 0)
        if name not in record.failed and name not in missing and images < COMPLETE * planned:
            faults.append(f"{name!r} saw {images:,} of {planned:,} planned images ({_advice(plan)})")
    return faults


def starved_attacks(plan: SuitePlan, record: Record, public: int) -> list[str]:
    """Say which trainings of the suite saw fewer images than there are public ones: a level they leave proves little.

    A slow or busy machine starves the strongest attack first. An attack of the caller's has a budget of its own.
    """
    own = [name for name in record.seen if name.partition(":")[0] in plan.trained]
    return [
        f"{name!r} saw {record.seen[name]:,} images, fewer than the {public:,} public ones ({_advice(plan)})"
        for name in own
        if record.seen[name] < public
    ]


def _advice(plan: SuitePlan) -> str:
    return "give more --minutes" if plan.images is None else "give more --images"


def check_judges(judges: "list[Judge]", protocol: dict[str, Any], private: "ImageSet") -> Check:
    """Check that every independent judge finds softened, compressed and moved originals, and knows such images.

    A level has to hold before each of them, so that one blind judge would hide it from all.
    """
    siblings = [bool(judge["sibling"]) for judge in protocol["judges"]]
    independent = [judge for judge, sibling in zip(judges, siblings, strict=True) if not sibling]
    wrong = [] if independent else ["there is no independent judge"]
    for judge in independent:
        share, view = _originals_found(judge, private)
        if share < BLIND:
            wrong.append(
                f"judge {judge.name!r} ranks only {100 * share:.0f} % of the originals first after {view}; what it "
                "does not find in reconstructions proves little"
            )
    of_scenes = [judge.name for judge in independent if judge.trained_on.startswith("scenes")]
    if of_scenes and (unlike := fi.data.unlike_scenes(private)) > MOST_UNLIKE_SCENES:
        wrong.append(
            f"judge {of_scenes[0]!r} was trained on synthetic scenes, and {100 * unlike:.0f} % of the private images "
            "are unlike these; give a judge of their kind (--judge FILE), or labelled public images and --train-judge"
        )
    if wrong:
        return Check("judges", False, "; ".join(wrong))
    names = ", ".join(judge.name for judge in independent)
    return Check("judges", True, f"the independent judges ({names}) find softened, compressed and moved originals")


def gate_checks(board: "fi.Scoreboard", allowed: str) -> tuple[Check, ...]:
    """Return the checks that a pass rests on: those that the audit left in the board, and the power for `allowed`.

    A board without any of them confirms nothing.
    """
    assert board.leak_level is not None
    left = read_checks(board.protocol)
    required = {"pairing", "vectors", "images", "attacks", "judges"}
    absent = [Check(name, False, "was not checked") for name in sorted(required - {check.name for check in left})]
    return (*left, *absent, check_power(board.leak_level, allowed))


def _encoder(source: Source) -> "Encoder | None":
    victim = getattr(source, "victim", None)
    return None if victim is None else victim.encoder


def _pairing(source: Source, pairs: "fi.Pairs", release: "fi.Release", seed: int) -> Check:
    pairing = fi.evaluation.check_pairing(pairs, release, seed=seed)
    encoder = _encoder(source)
    if encoder is None:
        return Check("pairing", pairing.confirmed, pairing.text)
    if _strong(pairing):
        return Check("pairing", True, f"this audit made the vectors itself; {_evidence(pairing)}")
    # A strong defence leaves nothing to test; the order is confirmed on what the encoder made of the same images.
    assert release.truth is not None
    victim = fi.Victim(encoder)
    sides = [images.take(range(min(UNDEFENDED, len(images)))) for images in (pairs.images, release.truth)]
    undefended = fi.evaluation.check_pairing(fi.extract(victim, sides[0]), fi.release(victim, sides[1], seed=seed))
    if _strong(undefended):
        return Check(
            "pairing",
            True,
            f"this audit made the vectors itself; the encoder's own: {_evidence(undefended)}; behind the defence the "
            "test finds nothing",
        )
    return Check("pairing", False, "even the undefended vectors tell nothing of their images: is this the encoder?")


def _strong(pairing: Pairing) -> bool:
    return max(pairing.p_public, pairing.p_private) < ALPHA


def _evidence(pairing: Pairing) -> str:
    weakest = max(pairing.p_public, pairing.p_private)
    significance = "p < 0.0001" if weakest < 1e-4 else f"p < {ALPHA:g}"
    return f"they belong to these images: confirmed on both sides, {significance}"


@torch.no_grad()
def _originals_found(judge: "Judge", private: "ImageSet") -> tuple[float, str]:
    """Return the share of originals that a judge ranks first in the treatment that is hardest for it, and which."""
    count = min(ORIGINALS, len(private))
    step = 128
    features: dict[str, list[np.ndarray]] = {name: [] for name in ("", *TREATMENTS)}
    device = fi.processes.device()
    for start in range(0, count, step):
        images = private.batch(np.arange(start, min(start + step, count)))
        for name, rows in features.items():
            treated = TREATMENTS[name](images) if name else images
            rows.append(judge(treated.to(device))[0].float().cpu().numpy())
    gathered = {name: np.concatenate(blocks) for name, blocks in features.items()}
    original = gathered.pop("")
    rates = {name: float((ranks(treated, original) == 1).mean()) for name, treated in gathered.items()}
    worst = min(rates, key=lambda name: rates[name])
    return rates[worst], worst
