"""From runs to the sections of a report, in the order in which somebody reads who wants a decision."""

from collections.abc import Sequence

from featinv.evaluation import Interval
from featinv.evaluation.table import number
from featinv.metrics.metric import Metric
from featinv.report.criteria_section import criteria_section
from featinv.report.document import Document, Facts, Notes, Part, Section, Table
from featinv.report.entries import Entry, catalogue_of, entries, shown_metrics
from featinv.report.finished_run import Run
from featinv.report.identification_figure import EXPLANATION, identification_figure
from featinv.report.image_figures import image_figures
from featinv.report.interval_figures import interval_figures
from featinv.report.learning_figures import learning_figures
from featinv.report.other_measures import attributes_section, other_measures_section
from featinv.report.protocol_section import protocol_section
from featinv.report.trade_off_figure import trade_off_figure
from featinv.report.verdicts import verdict
from featinv.report.versus_section import TITLE, versus_section
from featinv.report.words import AT_LEAST, CONTROLS, INTERVALS, PRIVATE


def document(runs: Sequence[Run], *, show_images: bool = True) -> Document:
    """Return the whole report of runs that compare."""
    listed, several = entries(runs), len(runs) > 1
    sheets = [figure for run in runs for figure in image_figures(run, several=several)] if show_images else []
    shown = sum(run.exhibit.count for run in runs if run.exhibit is not None)
    first = runs[0].board
    sections = [
        criteria_section(runs),
        _scoreboard(listed),
        versus_section(runs, listed),
        _seen_otherwise(listed),
        attributes_section(runs, listed),
        other_measures_section(listed),
        Section("Images", (), tuple(sheets)) if sheets else None,
        _identification(listed),
        _trade_off(listed),
        _learning(listed),
        protocol_section(runs, listed),
        _not_measured(runs, listed, show_images=show_images),
    ]
    return Document(
        title="What these vectors give away",
        subtitle=f"{first.victim.get('name', 'unnamed victim')}; {first.protocol['private']['count']:,} private "
        f"images; {'runs' if several else 'run'} {', '.join(run.name for run in runs)}",
        verdicts=tuple(verdict(run) for run in runs),
        sections=tuple(section for section in sections if section is not None),
        warnings=(*_cautions(runs), *((PRIVATE.format(count=shown),) if sheets else ())),
        footer=AT_LEAST,
    )


def _cautions(runs: Sequence[Run]) -> tuple[str, ...]:
    """What has to be known before the verdict is believed: of a judge, of a budget."""
    told = {run.name: run.board.protocol.get("warning") for run in runs}
    return tuple(f"{name}: {text}." if len(runs) > 1 else f"{text}." for name, text in told.items() if text)


def _scoreboard(listed: Sequence[Entry]) -> Section:
    shown = shown_metrics(listed, "report")
    metrics = [metric for metric in shown if any(metric.name in entry.row.metrics for entry in listed)]
    table = _table(listed, metrics)
    explained = Facts(tuple((metric.heading, metric.text) for metric in metrics))
    return Section("Scoreboard", (CONTROLS, INTERVALS), (table, explained, *interval_figures(listed)))


def _table(listed: Sequence[Entry], metrics: Sequence[Metric]) -> Table:
    rows = [
        (entry.label, *(number(entry.row.metrics.get(metric.name), metric.factor) for metric in metrics))
        for entry in listed
    ]
    chances = [_chance([entry.row.metrics.get(metric.name) for entry in listed], metric.factor) for metric in metrics]
    first_attack = next((place for place, entry in enumerate(listed) if entry.is_attack), len(listed))
    return Table(
        head=("", *(metric.heading for metric in metrics)),
        rows=(*rows, ("chance", *chances)),
        caption="Controls first, then attacks",
        rules=frozenset({first_attack, len(listed)}),
    )


def _chance(found: Sequence[Interval | None], factor: int) -> str:
    known = [one.chance for one in found if one is not None and one.chance is not None]
    return number(Interval(known[0], known[0], known[0], 1), factor).partition(" ")[0] if known else ""


def _seen_otherwise(listed: Sequence[Entry]) -> Section | None:
    views = list(dict.fromkeys(view for entry in listed for view in entry.row.metrics_by if _top10(entry, view)))
    if not views:
        return None
    rows = tuple((entry.label, *(number(_top10(entry, view), 100) for view in views)) for entry in listed)
    chances = [_chance([_top10(entry, view) for entry in listed], 100) for view in views]
    return Section(
        "Found among ten, seen otherwise",
        (
            "The same identification on reconstructions that were softened, compressed or moved a little, by other "
            "judges, among other candidates, and from mismatched features. What an attack gains only in the plain "
            "view is texture that one network sees, and no leak.",
        ),
        (Table(("", *views), (*rows, ("chance", *chances)), "Originals found among ten, %", frozenset({len(listed)})),),
    )


def _top10(entry: Entry, view: str) -> Interval | None:
    return entry.row.metrics_by.get(view, {}).get("reid_top10")


def _identification(listed: Sequence[Entry]) -> Section | None:
    figure = identification_figure(listed)
    return None if figure is None else Section("Re-identification", (EXPLANATION,), (figure,))


def _trade_off(listed: Sequence[Entry]) -> Section | None:
    figure = trade_off_figure(listed)
    return None if figure is None else Section("Fidelity and perception", (), (figure,))


def _learning(listed: Sequence[Entry]) -> Section | None:
    figures = learning_figures(listed)
    return Section("How the attacks learnt", (), tuple(figures)) if figures else None


def _not_measured(runs: Sequence[Run], listed: Sequence[Entry], *, show_images: bool) -> Section:
    parts: list[Part] = []
    for run in runs:
        level, protocol = run.board.leak_level, run.board.protocol
        reasons = dict(protocol.get("not_measured") or {})
        known = catalogue_of([run])
        titles = {key: found.title if (found := known.get(key)) else key for key in reasons}
        facts = [(titles[key], str(reason)) for key, reason in reasons.items()]
        facts += _absent(run, show_images=show_images)
        lines = [f"{entry.label}: {note}." for entry in listed if entry.run is run for note in entry.row.notes]
        if protocol.get("warning"):
            lines.append(f"{protocol['warning']}.")
        if level is not None:
            lines += [f"Not tried: {line}." for line in level.not_tried]
        if len(runs) > 1:
            parts.append(Facts((("Run", run.name), *facts)))
        elif facts:
            parts.append(Facts(tuple(facts)))
        if lines:
            parts.append(Notes(tuple(lines)))
    return Section("What was not measured, and why", (), tuple(parts))


def _absent(run: Run, *, show_images: bool) -> list[tuple[str, str]]:
    absent = []
    if run.board.leak_level is None:
        absent.append(("Level", "not assessed: the scoreboard was written by an earlier version"))
    if not run.board.per_image:
        absent += [
            (what, "the numbers of every image (per_image.npz) are not at hand")
            for what in ("Re-identification curve", TITLE)
        ]
    if not show_images:
        absent.append(("Images", "left out as asked"))
    elif run.exhibit is None:
        absent.append(("Images", "the run's folder has none (report_images.npz)"))
    if not run.histories:
        absent.append(("Learning curves", "the run's folder has no trained attacks"))
    return absent
