"""The audit itself: plan, train, open the private pictures, score, and say what leaks."""

from dataclasses import dataclass, replace

import featinv as fi
from featinv.assembly import Ladder, RunFolder, plan_ladder
from featinv.audit import words
from featinv.audit.early import check_early
from featinv.audit.inputs import inputs_of
from featinv.audit.measuring import measured
from featinv.audit.record import Record
from featinv.audit.settings import NOBODY, AuditSettings
from featinv.audit.sources import open_private, open_public, open_source
from featinv.errors import BadInput


@dataclass(frozen=True)
class Outcome:
    """The scoreboard of an audit, and whether it passes the level that was allowed (None where none was named)."""

    board: "fi.Scoreboard"
    passed: bool | None

    @property
    def exit_code(self) -> int:
        """0, or 1 where more leaks than was allowed."""
        return 1 if self.passed is False else 0


def run_audit(settings: AuditSettings) -> Outcome:
    """Train the ladder on the public pictures within the budget, score it on the private ones, and write the report.

    Leaves scoreboard.json, report.html, report.md, audit.json (plan, named attack, times) and a folder an attack.
    Called again it shows the finished audit; after a kill it goes on. Raises BadInput for pictures, vectors or judges
    that cannot be used, for a picture that is both public and private, and for a folder with an audit of other inputs.
    """
    if fi.processes.world_size() > 1:
        raise BadInput("audit: runs in one process; for several use accelerate launch recipes/compare.py")
    check_early(settings)
    # What passes changes no result: a finished audit can be held against another level.
    run = RunFolder(settings.out, replace(settings, max_level=None))
    record = Record(run.path)
    fi.processes.share_threads()
    source = open_source(settings)
    public = open_public(settings, source)
    ladder = plan_ladder(
        settings.minutes,
        public=len(public),
        feature_shape=source.feature_shape,
        image_size=source.size,
        labelled=public.labels is not None and len(set(public.labels.tolist())) > 1,
        white_box=source.encoder is not None,
    )
    named = _named(settings, ladder)
    words.say_plan(settings, ladder, named, len(public), source.size)

    assert settings.private is not None
    public, overlap, release = open_private(settings, source, public)
    assert release.truth is not None
    inputs = inputs_of(settings, source, public, release.truth)
    record.must_be_of(inputs)
    if run.finished:
        print(f"{run.path}: this audit has run already; remove the folder to run it again.\n")
        board = fi.load_scoreboard(run.path)
    else:
        board = measured(settings, run, record, inputs, source, ladder, named, public, overlap, release)
    words.say_outcome(board, run.path)
    return Outcome(board, _passed(board, settings.max_level))


def _passed(board: "fi.Scoreboard", max_level: str | None) -> bool | None:
    """Hold the level against the one that is allowed. Raises BadInput where a pass would mean nothing."""
    if max_level is None:
        return None
    assert board.leak_level is not None
    passed = not board.leak_level.exceeds("not shown" if max_level == "none" else max_level)
    if passed and (seen := words.least_seen(board.protocol)) < words.BLIND:
        raise BadInput(
            f"--max-level: nothing can pass before this judge, which finds only {100 * seen:.0f} % of the originals "
            "themselves again once they are softened, compressed or moved; give a judge of such pictures "
            "(--judge FILE), or labelled public pictures and --train-judge"
        )
    words.say_gate(board, max_level, passed=passed)
    return passed


def _named(settings: AuditSettings, ladder: Ladder) -> str | None:
    if settings.named == NOBODY:
        return None
    if settings.named in ladder.names:
        return settings.named
    if settings.named in ladder.left_out:
        reason = ladder.left_out[settings.named]
        raise BadInput(f"--named: {settings.named!r} is not tried here, because {reason}; name another, or 'none'")
    raise BadInput(f"--named: no attack {settings.named!r}; there are {', '.join(ladder.names)}, or 'none'")
