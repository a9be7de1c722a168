"""Level by level: what each criterion asked, and what the row nearest to it reached."""

from collections.abc import Sequence

from featinv.evaluation import Interval
from featinv.evaluation.leak_level import LEVELS
from featinv.evaluation.table import number
from featinv.report.document import Section, Table
from featinv.report.finished_run import Run
from featinv.report.versus_section import chance_of
from featinv.report.words import CRITERIA

_WORDS = frozenset({1, 2, 6})
"""Columns of text."""


def criteria_section(runs: Sequence[Run]) -> Section | None:
    """Return what each level asked, and what the row nearest to it reached."""
    tables = [_criteria_table(run, named=len(runs) > 1) for run in runs if run.board.leak_level is not None]
    return Section("Level by level", (CRITERIA,), tuple(tables)) if tables else None


def _criteria_table(run: Run, *, named: bool) -> Table:
    level = run.board.leak_level
    assert level is not None
    rows = []
    for name, word in LEVELS.items():
        tested = [one for one in level.evidence if one.level == name]
        if not tested:
            rows.append((f"{name} {word}", "not measured", "", "", "", "", "not shown", ""))
            continue
        best = max(tested, key=lambda one: (one.shown, -one.p, one.value.low))
        chance = "" if best.value.chance is None else _short(best.value.chance)
        effect = level.minimum_detectable_effect.get(name)
        rows.append(
            (
                f"{name} {word}",
                best.row,
                best.view or "plain",
                number(best.value, 100),
                _short(best.threshold),
                chance,
                f"{'shown' if best.shown else 'not shown'}, {chance_of(best.p_corrected)}",
                "" if effect is None else _short(effect),
            )
        )
    head = ("", "row", "hardest view", "value, %", "must exceed, %", "chance, %", "criterion", "could be shown from, %")
    return Table(head, tuple(rows), run.name if named else "What each level asks, and what was reached", words=_WORDS)


def _short(share: float) -> str:
    return number(Interval(share, share, share, 1), 100).partition(" ")[0]
