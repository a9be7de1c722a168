"""The audit itself: plan, train, open the private images, score, and say what leaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import featinv as fi
from featinv.assembly import RunFolder, persons_of
from featinv.audit import text
from featinv.audit.checklist import gate_checks
from featinv.audit.early import check_early
from featinv.audit.encoding import plan_encoding
from featinv.audit.inputs import inputs_of
from featinv.audit.measuring import measured
from featinv.audit.record import Record
from featinv.audit.settings import NOBODY, AuditSettings
from featinv.audit.sources import open_private, open_public, open_source
from featinv.audit.suite import SuitePlan, own_entry, plan_suite
from featinv.audit.suite_entry import Situation, SuiteEntry
from featinv.errors import BadInput

READING, PRIVATE = "reading the public images", "reading and encoding the private images"


@dataclass(frozen=True)
class Outcome:
    """The scoreboard of an audit, and whether it passes the level that was allowed (None where none was named)."""

    board: "fi.Scoreboard"
    passed: bool | None

    @property
    def exit_code(self) -> int:
        """0, or 1 where more leaks than was allowed."""
        return 1 if self.passed is False else 0


def run_audit(settings: AuditSettings, *, suite: Sequence[SuiteEntry] | None = None) -> Outcome:
    """Train the attack suite on the public images, score it on the private ones, and write the report.

    `suite` replaces the packaged attacks; the report lists those that it lacks as not tried.

    Leaves scoreboard.json, report.html, report.md, audit.json (plan, named attack, times) and a folder an attack.
    Called again it shows the finished audit; after a kill it goes on. Raises BadInput for images, vectors or judges
    that cannot be used, for an image that is both public and private, and for a folder with an audit of other inputs.
    """
    if fi.processes.world_size() > 1:
        raise BadInput("audit: runs in one process; for several use accelerate launch recipes/compare.py")
    check_early(settings)
    # What passes changes no result: a finished audit can be held against another level.
    run = RunFolder(settings.out, replace(settings, max_level=None))
    record = Record(run.path)
    fi.processes.share_threads()
    extra = own_entries(settings)
    source = open_source(settings)
    with record.timing(READING):
        public = open_public(settings, source)
    situation = Situation(
        public=len(public),
        feature_shape=source.feature_shape,
        image_size=source.size,
        labelled=public.labels is not None and len(set(public.labels.tolist())) > 1,
        white_box=source.encoder is not None,
    )
    plan = plan_suite(settings.minutes, situation, extra, images=settings.images, suite=suite)
    named = _named(settings, plan)
    text.say_plan(settings, plan, named, len(public), source.size)
    if not run.finished and (encoding := plan_encoding(source, public, run.path / "features")):
        record.encoding = encoding
        text.say_encoding(settings, encoding)

    assert settings.private is not None
    with record.timing(PRIVATE):
        public, overlap, release = open_private(settings, source, public, run.path / "release")
    assert release.truth is not None
    folders = (settings.public or "", settings.private)
    persons = persons_of(settings.clusters, public, release.truth, folders=folders)
    inputs = {**inputs_of(settings, source, public, release.truth), "the attack suite": list(plan.names)}
    if persons is not None:
        inputs["the people on the images"] = persons.digest
    record.must_be_of(inputs)
    if run.finished:
        print(f"{run.path}: this audit has run already; remove the folder to run it again.\n")
        board = fi.load_scoreboard(run.path)
    else:
        board = measured(settings, run, record, inputs, source, plan, named, public, overlap, release, persons)
    text.say_outcome(board, run.path)
    if settings.max_level is None:
        return Outcome(board, None)
    passed = gate(board, settings.max_level)
    text.say_gate(board, settings.max_level, passed=passed)
    return Outcome(board, passed)


def gate(board: "fi.Scoreboard", max_level: str) -> bool:
    """Say whether a board passes `max_level` ("none" or "L1" to "L4"); False where more leaks than that.

    A pass has to be earned: raises BadInput, naming what was not confirmed, where no leak was shown but a positive
    control does not hold (`featinv.audit.checklist`), for a board without a level, and for one that no audit made.
    """
    allowed = "not shown" if max_level == "none" else max_level
    if board.leak_level is None:
        raise BadInput("--max-level: this scoreboard has no level, so that nothing can pass; run the audit")
    if board.leak_level.exceeds(allowed):
        return False
    failed = [check for check in gate_checks(board, allowed) if not check.passed]
    if failed:
        listed = "; ".join(f"{check.name}: {check.text}" for check in failed)
        raise BadInput(f"--max-level: nothing can pass, because not everything was confirmed: {listed}")
    return True


def own_entries(settings: AuditSettings) -> list[SuiteEntry]:
    """Import the caller's own attacks, NAME=my_package.build each. Raises BadInput for what cannot be imported."""
    entries = []
    for given in settings.attacks:
        name, equals, path = given.partition("=")
        if not equals or not name.strip() or "." not in path:
            raise BadInput(f"--attack: expected NAME=my_package.build, got {given!r}")
        entries.append(own_entry(name.strip(), fi.configuration.find(path, fi.attacks)))
    return entries


def _named(settings: AuditSettings, plan: SuitePlan) -> str | None:
    if settings.named == NOBODY:
        return None
    if settings.named in plan.names:
        return settings.named
    if settings.named in plan.left_out:
        reason = plan.left_out[settings.named]
        raise BadInput(f"--named: {settings.named!r} is not tried here, because {reason}; name another, or 'none'")
    raise BadInput(f"--named: no attack {settings.named!r}; there are {', '.join(plan.names)}, or 'none'")
