"""The tables of evidence: what each level requires, and the leading attack against every other row."""

from collections.abc import Sequence

from featinv.errors import BadInput
from featinv.evaluation import Interval
from featinv.evaluation.attack_score import WITHOUT_IMAGES
from featinv.evaluation.leak_level import LEVELS
from featinv.evaluation.table import number
from featinv.evaluation.versus import Family, Versus
from featinv.metrics.metric import FAMILIES
from featinv.report.document import Section, Table
from featinv.report.entries import Entry, leading_attack
from featinv.report.runs import Run

PAIRWISE = "Attack against attack"
_CRITERIA = (
    "Each level has its own criterion. The criterion has to hold in the weakest view, at the lower bound of the "
    "interval, and after correction for all rows and levels. The verdict is the highest level that holds. The table "
    "shows, for each level, the row that comes nearest to it."
)
_TEXT_COLUMNS = frozenset({1, 2, 6})
_LEAD = (
    "Each line compares the leading attack with another row on the same private images. Better or worse means that the "
    "two differ by more than chance in that kind of evidence. The value p is the probability of such a difference by "
    "chance, corrected for all pairs of attacks (Holm). Undecided means that the two may be equally good.",
    "Stronger means that two kinds of evidence agree and none contradicts. A gain in pixels alone may come from a "
    "better guess at the average image. A gain in re-identification alone may come from texture. Neither shows that an "
    "attack recovers more from a vector.",
)
_HEADINGS = {"pixel": "pixels", "perceptual": "perceptual similarity", "identification": "re-identification"}
_AFTER_FAMILIES = 2


def criteria_section(runs: Sequence[Run]) -> Section | None:
    """Return the threshold of each level, and what the row nearest to it reached."""
    tables = [_criteria_table(run, named=len(runs) > 1) for run in runs if run.board.leak_level is not None]
    return Section("Level by level", (_CRITERIA,), tuple(tables)) if tables else None


def _criteria_table(run: Run, *, named: bool) -> Table:
    level = run.board.leak_level
    assert level is not None
    rows = []
    for name, word in LEVELS.items():
        tested = [evidence for evidence in level.evidence if evidence.level == name]
        if not tested:
            rows.append((f"{name} {word}", "not measured", "", "", "", "", "not shown", ""))
            continue
        best = max(tested, key=lambda evidence: (evidence.shown, -evidence.p, evidence.value.low))
        chance = "" if best.value.chance is None else _percent(best.value.chance)
        effect = level.minimum_detectable_effect.get(name)
        rows.append(
            (
                f"{name} {word}",
                best.row,
                best.view or "plain",
                number(best.value, 100),
                _percent(best.threshold),
                chance,
                f"{'shown' if best.shown else 'not shown'}, {p_value(best.p_corrected)}",
                "" if effect is None else _percent(effect),
            )
        )
    head = ("", "row", "weakest view", "value, %", "must exceed, %", "chance, %", "criterion", "detectable from, %")
    return Table(
        head, tuple(rows), run.name if named else "What each level requires and what was reached", words=_TEXT_COLUMNS
    )


def _percent(share: float) -> str:
    return number(Interval(share, share, share, 1), 100).partition(" ")[0]


def pairwise_section(runs: Sequence[Run], listed: Sequence[Entry]) -> Section | None:
    """Return a table a run, of its leading attack; None where there is no attack, or no numbers of every image."""
    tables = [table for run in runs if (table := _pairwise_table(run, listed, several=len(runs) > 1)) is not None]
    return Section(PAIRWISE, _LEAD, tuple(tables)) if tables else None


def _pairwise_table(run: Run, listed: Sequence[Entry], *, several: bool) -> Table | None:
    leader = leading_attack(run.board)
    rest = [entry for entry in listed if entry.run is run and entry.row is not leader]
    others = [entry for entry in rest if entry.row.role not in WITHOUT_IMAGES]
    if leader is None or not others or not run.board.per_image:
        return None
    try:
        compared = {entry: run.board.versus(leader.name, entry.row.name) for entry in others}
    except BadInput:
        return None  # the numbers of every image are those of an older version, or of some rows only
    families = [
        name for name in FAMILIES if any(versus.families[name].side != "not measured" for versus in compared.values())
    ]
    rows = tuple((f"against {entry.label}", *_cells(versus, families)) for entry, versus in compared.items())
    first_attack = next((place for place, entry in enumerate(compared) if entry.is_attack), len(rows))
    return Table(
        head=("", "verdict", *(_HEADINGS[name] for name in families), "reason"),
        rows=rows,
        caption=f"{leader.name}{f' ({run.name})' if several else ''}, against controls, then other attacks",
        rules=frozenset({first_attack} - {len(rows)}),
        words=frozenset(range(1, len(families) + 1 + _AFTER_FAMILIES)),
    )


def _cells(versus: Versus, families: Sequence[str]) -> tuple[str, ...]:
    return (versus.verdict, *(_side(versus.families[name]) for name in families), versus.reason)


def _side(family: Family) -> str:
    """Return which side is better, with the smallest corrected p of the metrics that agree."""
    agreeing = [difference.p_holm for difference in family.differences.values() if difference.side == family.side]
    return f"{family.side}, {p_value(min(agreeing))}" if agreeing else family.side


def p_value(p: float) -> str:
    """Return p as it is printed."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
