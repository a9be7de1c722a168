"""What was measured beside the scoreboard's columns: colours, realism, memorisation, what can be read off a vector."""

from collections.abc import Sequence

from featinv.evaluation import Interval
from featinv.evaluation.extras import ATTRIBUTE
from featinv.evaluation.scoreboard import read_interval
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.document import Facts, Section, Table
from featinv.report.entries import Entry, shown_metrics
from featinv.report.finished_run import Run
from featinv.report.words import ATTRIBUTES


def other_measures_section(listed: Sequence[Entry]) -> Section | None:
    """Return one row for each control and attack, one column for each further metric that was measured of any."""
    metrics = [metric for metric in shown_metrics(listed, "details") if any(_found(one, metric) for one in listed)]
    rows = [entry for entry in listed if any(_found(entry, metric) for metric in metrics)]
    if not metrics or not rows:
        return None
    cells = tuple((entry.label, *(_cell(_found(entry, metric), metric) for metric in metrics)) for entry in rows)
    chance = ("chance", *(_chance([_found(entry, metric) for entry in rows], metric) for metric in metrics))
    table = Table(("", *(metric.heading for metric in metrics)), (*cells, chance), rules=frozenset({len(cells)}))
    explained = Facts(tuple((metric.heading, metric.text) for metric in metrics))
    return Section("More measures", (), (table, explained))


def attributes_section(runs: Sequence[Run], listed: Sequence[Entry]) -> Section | None:
    """Return, for every attribute, how often it is read off the vector, off each leading attack, and off originals."""
    all_metadata = (run.board.protocol.get("attributes") for run in runs)
    metadata = next((one for one in all_metadata if one), None)  # the same victim and images: any run's will do
    if metadata is None:
        return None
    leading = [entry for entry in listed if entry.leads]
    rows = []
    for name, known in metadata.items():
        made = [entry.row.metrics.get(f"{ATTRIBUTE}{name}") for entry in leading]
        prior = number(_point(known["prior"]), 100).partition(" ")[0]
        sources = [read_interval(known["vector"]), *made, read_interval(known["original"])]
        rows.append((name.replace("_", " "), prior, *(number(found, 100) for found in sources)))
    head = (
        "",
        "guessed, %",
        "off the vector, %",
        *(f"off {entry.label}, %" for entry in leading),
        "off the originals, %",
    )
    return Section("What can be read off a vector", (ATTRIBUTES,), (Table(head, tuple(rows)),))


def _found(entry: Entry, metric: Metric) -> Interval | None:
    return entry.row.interval(metric.key)


def _cell(found: Interval | None, metric: Metric) -> str:
    return number(found, metric.factor)


def _chance(found: Sequence[Interval | None], metric: Metric) -> str:
    known = [one.chance for one in found if one is not None and one.chance is not None]
    return _cell(_point(known[0]), metric).partition(" ")[0] if known else ""


def _point(value: float) -> Interval:
    return Interval(value, value, value, 1)
