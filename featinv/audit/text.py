"""What an audit prints while it runs and when it ends."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featinv.audit.settings import AuditSettings

if TYPE_CHECKING:
    from featinv.audit.encoding import EncodingPlan
    from featinv.audit.suite import SuitePlan
    from featinv.evaluation import Check, Scoreboard

WIDTH = 120
FEW_PASSES = 5
"""times that a trained attack should see each public image; with fewer it has hardly begun"""


def say_plan(settings: AuditSettings, plan: "SuitePlan", named: str | None, public: int, size: int) -> None:
    """Print what will be tried and for how long, and the named attack, before any private image is opened."""
    print(f"Audit of {settings.victim or settings.features}: {public:,} public images of {size} px.")
    bound = duration(settings.minutes) if settings.images is None else f"{settings.images:,} images each"
    trained = ", ".join(f"{name} ({duration(minutes)})" for name, minutes in plan.minutes.items())
    trained = trained if settings.images is None else ", ".join(plan.trained)
    then = f"; then, trained within {bound}: {trained}" if trained else ""
    _say(f"Attack suite: {', '.join(plan.closed)}{then}.")
    for name, why in plan.left_out.items():
        print(f"Left out: {name}, because {why}.")
    rests = f"rests on {named!r}, named now" if named else "is corrected for all attacks; none is named"
    print(f"The level {rests}, before the private images are opened.", flush=True)


def say_encoding(settings: AuditSettings, plan: "EncodingPlan") -> None:
    """Print how long the public images will be encoded, measured on some of them, and what that leaves in all."""
    private = duration(1000 / plan.rate / 60)
    whole = "" if settings.images is not None else f" With the training {duration(plan.minutes + settings.minutes)}."
    _say(
        f"Encoding: {plan.images:,} images (public ones, mirrored ones too), about {duration(plan.minutes)} at "
        f"{plan.rate:.3g} images/s, measured here on {plan.measured_on}; 1,000 private ones {private}.{whole} "
        "Interrupted, it goes on where it stopped."
    )


def say_notes(notes: "Sequence[str]") -> None:
    """Print what has to be known of the vectors and of how they were paired with images."""
    for note in notes:
        _say(f"Note: {note}.")


def say_checks(checks: "Sequence[Check]") -> None:
    """Print what was confirmed, and what was not."""
    for check in checks:
        _say(f"{'Confirmed' if check.passed else 'NOT CONFIRMED'}: {check.name}: {check.text}.")


def about_judges(settings: AuditSettings) -> list[str]:
    """Return what has to be known of the judges for the level to mean something, in sentences without a full stop."""
    said = []
    if not settings.judges and not settings.train_judge:
        said.append(
            "The packaged judge scenes-vgg scored: it was trained on synthetic scenes and knows no photographs; "
            "for those give a judge of their kind (--judge FILE), or labelled public images and --train-judge"
        )
    return said


def about_passes(passes: Mapping[str, float], images: int | None) -> list[str]:
    """Return a sentence on the trained attacks whose budget, of `images` or else of minutes, was too small."""
    short = {name: count for name, count in passes.items() if count < FEW_PASSES}
    if not short:
        return []
    listed = ", ".join(f"{name} {count:.1f} times" for name, count in short.items())
    budget, flag = ("too little time", "--minutes") if images is None else ("too few images", "--images")
    return [f"{budget}: some attacks saw the public images fewer than {FEW_PASSES} times ({listed}; give more {flag})"]


def readable_attributes(protocol: Mapping[str, Any]) -> str:
    """Return the attributes that a linear probe tells from the vectors more often than by guessing; at most five."""
    readable = {
        name: (metadata["vector"]["mean"], metadata["prior"])
        for name, metadata in (protocol.get("attributes") or {}).items()
        if metadata["vector"]["low"] > metadata["prior"]
    }
    plainest = sorted(readable.items(), key=lambda item: item[1][1] - item[1][0])[:5]
    return ", ".join(
        f"{name} {100 * accuracy:.1f} % (guessed {100 * prior:.1f} %)" for name, (accuracy, prior) in plainest
    )


def say_outcome(board: "Scoreboard", folder: Path) -> None:
    """Say the verdict, what it rests on, who judged, and where everything lies."""
    level = board.leak_level
    assert level is not None
    print(f"\n{level}")
    if level.named:
        _say(
            f"Named beforehand: {level.named!r}, which has half of the error that is allowed (one-sided "
            f"{level.thresholds.alpha:g}) for itself; all rows share the other half."
        )
    else:
        _say("No attack was named beforehand: the level is corrected for all of them.")
    judges = ", ".join(f"{judge['name']} (trained on {judge['trained_on']})" for judge in board.protocol["judges"])
    _say(f"Judged by {judges}.")
    if readable := readable_attributes(board.protocol):
        _say(f"Read off the vectors themselves, without any image: {readable}. The level says nothing of that.")
    if board.protocol.get("warning"):
        _say(f"{board.protocol['warning']}.")
    print(f"\nReport: {folder / 'report.html'}", end="")
    has_images = (folder / "report_images.npz").is_file()
    print(
        f" (it shows private images; `featinv report {folder} --no-show-images` leaves them out)" if has_images else ""
    )
    print(f"For a model card: {folder / 'report.md'}. Numbers: {folder / 'scoreboard.json'} (`featinv show {folder}`).")
    print(f"Plan and times: {folder / 'audit.json'}.", flush=True)


def say_gate(board: "Scoreboard", max_level: str, *, passed: bool) -> None:
    """Print what a gate makes of the level."""
    level = board.leak_level
    assert level is not None
    if not passed:
        print(f"FAILED: level {level.level}, where --max-level allows {max_level}.", flush=True)
        return
    left_out = board.protocol.get("over_budget") or {}
    without = f" This holds without {', '.join(map(repr, left_out))}, which the budget left out." if left_out else ""
    _say(
        f"PASSED: level {level.level}, where --max-level allows {max_level}.{without} That is no proof of safety: more "
        "time, more public images or what was not tried may show more."
    )


def duration(minutes: int | float) -> str:
    """Return minutes in words, in seconds where they are few."""
    return f"{60 * minutes:.0f} s" if minutes < 2 else f"{minutes:.1f} min"


def _say(text: str) -> None:
    print(textwrap.fill(text, WIDTH), flush=True)
