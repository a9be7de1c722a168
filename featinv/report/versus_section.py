"""The leading attack held against every control and every other attack, image by image."""

from collections.abc import Sequence

from featinv.errors import BadInput
from featinv.evaluation.attack_score import LINKAGE
from featinv.evaluation.versus import Family, Versus
from featinv.metrics.metric import FAMILIES
from featinv.report.document import Section, Table
from featinv.report.entries import Entry
from featinv.report.finished_run import Run
from featinv.report.leading import leading_attack

TITLE = "Attack against attack"
_LEAD = (
    "Each line holds the leading attack against another row, on the same private images. "
    "Better or worse: the two differ by more than chance in that kind of evidence; p is how likely chance alone would "
    "be to make such a difference, corrected for all pairs of attacks (Holm). Undecided: they may be equally good.",
    "Stronger needs two kinds of evidence that agree and none against. Pixels alone may be a better guess at the "
    "average image, and what a judge finds alone may be texture: neither shows that an attack gets more out of a "
    "vector.",
)
_HEADINGS = {"pixel": "pixels", "perceptual": "to the eye", "identification": "finds the original"}
_AFTER_FAMILIES = 2


def versus_section(runs: Sequence[Run], listed: Sequence[Entry]) -> Section | None:
    """Return a table a run, of its leading attack; None where there is no attack, or no numbers of every image."""
    tables = [table for run in runs if (table := _table(run, listed, several=len(runs) > 1)) is not None]
    return Section(TITLE, _LEAD, tuple(tables)) if tables else None


def _table(run: Run, listed: Sequence[Entry], *, several: bool) -> Table | None:
    leader = leading_attack(run.board)
    others = [one for one in listed if one.run is run and one.row is not leader and one.row.role != LINKAGE]
    if leader is None or not others or not run.board.per_image:
        return None
    try:
        found = {entry: run.board.versus(leader.name, entry.row.name) for entry in others}
    except BadInput:
        return None  # the numbers of every image are those of an older version, or of some rows only
    families = [name for name in FAMILIES if any(one.families[name].side != "not measured" for one in found.values())]
    rows = tuple((f"against {entry.label}", *_cells(one, families)) for entry, one in found.items())
    first_attack = next((place for place, entry in enumerate(found) if entry.is_attack), len(rows))
    columns = frozenset(range(1, len(families) + 1 + _AFTER_FAMILIES))
    return Table(
        head=("", "verdict", *(_HEADINGS[name] for name in families), "why"),
        rows=rows,
        caption=f"{leader.name}{f' ({run.name})' if several else ''}, against controls, then other attacks",
        rules=frozenset({first_attack} - {len(rows)}),
        words=columns,
    )


def _cells(found: Versus, families: Sequence[str]) -> tuple[str, ...]:
    return (found.verdict, *(_side(found.families[name]) for name in families), found.reason)


def _side(family: Family) -> str:
    """Say which side is better, with the smallest corrected p of the metrics that say so."""
    agreeing = [one.p_holm for one in family.differences.values() if one.side == family.side]
    return f"{family.side}, {chance_of(min(agreeing))}" if agreeing else family.side


def chance_of(p: float) -> str:
    """Return p as it is printed."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
