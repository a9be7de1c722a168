"""The tables of what was measured: the scoreboard, the robustness views, attributes, and the other metrics."""

from collections.abc import Sequence

from featinv.evaluation import Interval
from featinv.evaluation.extras import ATTRIBUTE
from featinv.evaluation.scoreboard import read_interval
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.document import Facts, Section, Table
from featinv.report.entries import Entry, shown_metrics
from featinv.report.runs import Run
from featinv.report.score_figures import interval_figures

_CONTROLS = (
    "Controls show what is possible without training an attack: from the public images alone (mean image), from the "
    "vector of another image, or from the public image with the most similar vector (nearest neighbour). The gain of "
    "an attack over its best control is what the attack itself adds."
)
_INTERVALS = "Every number is a mean or a rate over all private images, with its 95 % interval."
_VIEWS = (
    "Top-10 re-identification, repeated on reconstructions that were softened, compressed or shifted, by other judges, "
    "among other candidates, and from mismatched features. A gain in the plain view alone is texture to which one "
    "network is sensitive, and no leak."
)
_ATTRIBUTES = (
    "Each number says how often an attribute of a private image is predicted correctly. The first column always "
    "predicts the most common value. The others use a linear probe on the released vectors, on the reconstructions of "
    "the leading attack, and on the originals. What a probe predicts from the vectors leaks without any reconstruction."
)


def scoreboard_section(listed: Sequence[Entry]) -> Section:
    """Return the table of all rows, the meaning of its columns, and their intervals as figures."""
    chosen = shown_metrics(listed, "report")
    metrics = [metric for metric in chosen if any(metric.name in entry.row.metrics for entry in listed)]
    rows = [
        (entry.label, *(number(entry.row.metrics.get(metric.name), metric.factor) for metric in metrics))
        for entry in listed
    ]
    chances = [_chance([entry.row.metrics.get(metric.name) for entry in listed], metric.factor) for metric in metrics]
    first_attack = next((place for place, entry in enumerate(listed) if entry.is_attack), len(listed))
    table = Table(
        head=("", *(metric.heading for metric in metrics)),
        rows=(*rows, ("chance", *chances)),
        caption="Controls first, then attacks",
        rules=frozenset({first_attack, len(listed)}),
    )
    return Section("Scoreboard", (_CONTROLS, _INTERVALS), (table, _meanings(metrics), *interval_figures(listed)))


def views_section(listed: Sequence[Entry]) -> Section | None:
    """Return top-10 re-identification in every other view; None where there is none."""
    views = list(dict.fromkeys(view for entry in listed for view in entry.row.metrics_by if _top10(entry, view)))
    if not views:
        return None
    rows = tuple((entry.label, *(number(_top10(entry, view), 100) for view in views)) for entry in listed)
    chances = ("chance", *(_chance([_top10(entry, view) for entry in listed], 100) for view in views))
    table = Table(("", *views), (*rows, chances), "Top-10 re-identification, %", frozenset({len(listed)}))
    return Section("Robustness views", (_VIEWS,), (table,))


def attributes_section(runs: Sequence[Run], listed: Sequence[Entry]) -> Section | None:
    """Return how often every attribute is predicted from the vector, from the leading attacks, and from originals."""
    measured = (run.board.protocol.get("attributes") for run in runs)
    attributes = next((values for values in measured if values), None)  # same victim and images: any run's will do
    if attributes is None:
        return None
    leading = [entry for entry in listed if entry.leads]
    rows = []
    for name, values in attributes.items():
        reconstructions = [entry.row.metrics.get(f"{ATTRIBUTE}{name}") for entry in leading]
        sources = [read_interval(values["vector"]), *reconstructions, read_interval(values["original"])]
        cells = (number(interval, 100) for interval in sources)
        rows.append((name.replace("_", " "), _point(values["prior"], 100), *cells))
    from_attacks = (f"from {entry.label}, %" for entry in leading)
    head = ("", "most common value, %", "from the vector, %", *from_attacks, "from the originals, %")
    return Section("Attributes predicted from a vector", (_ATTRIBUTES,), (Table(head, tuple(rows)),))


def other_metrics_section(listed: Sequence[Entry]) -> Section | None:
    """Return one row for each control and attack, one column for each further metric that was measured of any."""
    chosen = shown_metrics(listed, "details")
    metrics = [metric for metric in chosen if any(entry.row.interval(metric.key) for entry in listed)]
    rows = [entry for entry in listed if any(entry.row.interval(metric.key) for metric in metrics)]
    if not metrics or not rows:
        return None
    cells = tuple(
        (entry.label, *(number(entry.row.interval(metric.key), metric.factor) for metric in metrics)) for entry in rows
    )
    chances = (_chance([entry.row.interval(metric.key) for entry in rows], metric.factor) for metric in metrics)
    head = ("", *(metric.heading for metric in metrics))
    table = Table(head, (*cells, ("chance", *chances)), rules=frozenset({len(cells)}))
    return Section("More metrics", (), (table, _meanings(metrics)))


def _meanings(metrics: Sequence[Metric]) -> Facts:
    return Facts(tuple((metric.heading, metric.text) for metric in metrics))


def _top10(entry: Entry, view: str) -> Interval | None:
    return entry.row.metrics_by.get(view, {}).get("reid_top10")


def _chance(intervals: Sequence[Interval | None], factor: int) -> str:
    chances = [interval.chance for interval in intervals if interval is not None and interval.chance is not None]
    return _point(chances[0], factor) if chances else ""


def _point(value: float, factor: int) -> str:
    return number(Interval(value, value, value, 1), factor).partition(" ")[0]
