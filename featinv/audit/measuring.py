"""The long part of an audit: the judges, the training, the scoring and the report."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.assembly import JudgeSettings, Persons, RunFolder, build_judges
from featinv.audit import checklist, text
from featinv.audit.fitting import SuiteFitter
from featinv.audit.record import Record
from featinv.audit.settings import AuditSettings
from featinv.audit.sources import Source
from featinv.audit.suite import SuitePlan
from featinv.configuration import Component
from featinv.training.settings import ClassifierTraining

if TYPE_CHECKING:
    from featinv.data import ImageSet, Overlap
    from featinv.types import Attack, Judge

PACKAGED = "scenes-vgg"


def measured(
    settings: AuditSettings,
    run: RunFolder,
    record: Record,
    inputs: dict[str, Any],
    source: Source,
    plan: SuitePlan,
    named: str | None,
    public: "ImageSet",
    overlap: "Overlap",
    release: "fi.Release",
    persons: Persons | None,
) -> "fi.Scoreboard":
    """Train the suite, score it, and write scoreboard and reports into the run's folder."""
    judges = _judges(settings, run, public, victim_family=release.metadata.get("family"))
    fi.evaluation.check_judges(judges, {}, release, allow_sibling=False)
    with record.timing("encoding the public images"):
        pairs = source.pairs(public, run.path / "features")
    assert release.truth is not None
    checks = [
        *checklist.check_inputs(source, pairs, release, seed=settings.seed),
        checklist.check_images(release.truth),
    ]
    sides = {"public": public, "private": release.truth}
    twins = {side: fi.data.duplicates_within(images) for side, images in sides.items()}
    notes = [note for side in sides for note in checklist.intake_notes(sides[side], side, twins[side])]
    text.say_notes([*source.notes, *notes])
    text.say_checks(checks)
    # Whatever was wrong with the flags has been said by now, and has left nothing in the way of a second try.
    record.begin(inputs, plan, named)
    study = fi.tracking.Study(
        run.path, fi.tracking.TrackingSettings(**settings.tracking), config=replace(settings, max_level=None)
    )
    attacks = SuiteFitter(run, record, settings, plan, pairs, source.encoder, study).fit()
    clusters = None if persons is None else persons.private
    board = fi.compare(
        attacks,
        release,
        judges,
        named=named if named in attacks else None,
        metrics=("full", *settings.metrics),
        seed=settings.seed,
        public=public,
        overlap=overlap,
        clusters=clusters,
        fit_seconds=record.seconds,
    )
    board = fi.evaluation.calibrated(board, attacks, release, public, clusters=clusters, seed=settings.seed)
    checks.append(checklist.check_attacks(plan, record, named, public=len(public)))
    checks.append(checklist.check_judges(judges, board.protocol, release.truth))
    text.say_checks(checks[-2:])
    starved = text.about_passes(_passes(attacks, len(public)), settings.images)
    board = _with_checks(board, checks, [*checklist.attack_faults(plan, record), *starved], plan)
    record.note_files(public=public.intake.skipped, private=release.truth.intake.skipped)
    intake = {side: checklist.intake_counts(sides[side], twins[side]) for side in sides}
    board = replace(board, protocol={**board.protocol, "intake": intake})
    board = _with_notes(board, settings, source, plan, record)
    _publish(board, settings, run, release, attacks, study)
    return board


def _publish(
    board: "fi.Scoreboard",
    settings: AuditSettings,
    run: RunFolder,
    release: "fi.Release",
    attacks: "dict[str, Attack]",
    study: "fi.tracking.Study",
) -> None:
    """Write scoreboard, shown images and reports, and tell the tracker."""
    board.save(run.path)
    chosen = fi.report.choose_images(board, attacks, release, seed=settings.seed) if settings.show_images else None
    if chosen is not None:
        chosen.save(run.path)
    store = run.path / "features"
    study.log(
        board,
        attacks,
        release,
        features=store if store.is_dir() else None,
        folders={name: run.folder(name) for name in attacks},
    )
    run.complete()
    fi.report.write_both(run.path, show_images=settings.show_images)


def _judges(settings: AuditSettings, run: RunFolder, public: "ImageSet", *, victim_family: str | None) -> "list[Judge]":
    if settings.train_judge:
        print("Training a judge on the labelled public images; it only scores.", flush=True)
        asked = {
            "trained": JudgeSettings(
                Component("judge", {"source": str(run.path / "judge.safetensors")}),
                train=True,
                network=Component("SmallMixer" if victim_family == "vgg" else "SmallVGG"),
                training=ClassifierTraining(minutes=settings.minutes / 4, seed=settings.seed),
            )
        }
    else:
        asked = {
            source: JudgeSettings(Component("judge", {"source": source}))
            for source in settings.judges or ("scenes-vgg",)
        }
    return build_judges(asked, public)


def _passes(attacks: "dict[str, Attack]", public: int) -> dict[str, float]:
    """How often each trained attack saw every public image."""
    histories = {name: getattr(attack, "history", None) for name, attack in attacks.items()}
    return {name: rows[-1].get("images", 0.0) / public for name, rows in histories.items() if rows}


def _with_checks(
    board: "fi.Scoreboard", checks: "list[fi.evaluation.Check]", faults: list[str], plan: SuitePlan
) -> "fi.Scoreboard":
    """Return the board with the checks, and a verdict that begins with what failed or was starved.

    It ends with what the budget left out: whoever quotes the verdict quotes that too.
    """
    level = board.leak_level
    assert level is not None
    if faults:
        level = replace(level, sentence=f"This may be too low: {'; '.join(faults)}. {level.sentence}")
    protocol = {**board.protocol, "checks": [check.as_json() for check in checks]}
    if plan.over_budget:
        level = replace(level, sentence=f"{level.sentence} For want of budget, {plan.untried}; it may show more.")
        protocol["over_budget"] = {name: plan.left_out[name] for name in plan.over_budget}
    return replace(board, leak_level=level, protocol=protocol)


def _with_notes(
    board: "fi.Scoreboard",
    settings: AuditSettings,
    source: Source,
    plan: SuitePlan,
    record: Record,
) -> "fi.Scoreboard":
    """Return the board with what this audit did not try, its budget, and what to know about judge and victim."""
    level = board.leak_level
    assert level is not None
    untried = [f"{name}: {why}" for name, why in (plan.left_out | record.failed).items()]
    untried.append("attacks with an adversary (recipes/compare.py has them)")
    spent = sum(record.seconds.values()) / 60
    before = sum(record.before_training.values()) / 60
    allowed = f", of {settings.minutes:g} allowed"
    if settings.images is not None:
        allowed = f", {settings.images:,} images a training"
    budget = f"{level.budget}; {spent:.1f} minutes of training{allowed}"
    budget = f"{budget}, after {before:.1f} minutes of reading and encoding"
    level = replace(level, not_tried=(*untried, *level.not_tried), budget=budget)
    notes = [*text.about_judges(settings), *source.notes]
    protocol: dict[str, Any] = dict(board.protocol)
    if protocol.get("warning"):
        notes.insert(0, str(protocol["warning"]))
    if notes:
        protocol["warning"] = ". ".join(notes)
    return replace(board, leak_level=level, protocol=protocol)
