"""From runs to the sections of a report, in the order in which a reader needs them who has to decide."""

from collections.abc import Sequence

from featinv.report.ceiling_figure import ceiling_section
from featinv.report.curve_figures import EXPLANATION, identification_figure, training_figures
from featinv.report.document import Document, Facts, Notes, Part, Section
from featinv.report.entries import Entry, catalogue_of, entries
from featinv.report.evidence_sections import PAIRWISE, criteria_section, pairwise_section
from featinv.report.exhibit import sheets
from featinv.report.measure_sections import (
    attributes_section,
    other_metrics_section,
    scoreboard_section,
    views_section,
)
from featinv.report.protocol_section import protocol_section
from featinv.report.recovered_section import fine_details, recovered_section
from featinv.report.runs import Run
from featinv.report.score_figures import trade_off_figure
from featinv.report.verdicts import verdict

_PRIVATE = (
    "This report shows private images: {count} originals beside their reconstructions. Share it only with people who "
    "may see those images. `featinv report RUN --no-show-images` writes it without them."
)
_AT_LEAST = "At least this much leaks under this budget. A stronger attack may show more. No number here says safe."


def document(runs: Sequence[Run], *, show_images: bool = True) -> Document:
    """Return the whole report of runs that compare."""
    listed, several = entries(runs), len(runs) > 1
    images = (
        [sheet for run in runs for sheet in sheets(run.exhibit, run.name if several else "")] if show_images else []
    )
    count = sum(run.exhibit.count for run in runs if run.exhibit is not None)
    first = runs[0].board
    sections = [
        criteria_section(runs),
        scoreboard_section(listed),
        pairwise_section(runs, listed),
        views_section(listed),
        attributes_section(runs, listed),
        other_metrics_section(listed),
        Section("Images", tuple(_on_details(run, several) for run in runs), tuple(images)) if images else None,
        recovered_section(runs, show_images=show_images),
        ceiling_section(runs),
        _identification(listed),
        _trade_off(listed),
        _training(listed),
        protocol_section(runs, listed),
        _not_measured(runs, listed, show_images=show_images),
    ]
    return Document(
        title="What leaks from these vectors",
        subtitle=f"{first.victim.get('name', 'unnamed victim')}; {first.protocol['private']['count']:,} private "
        f"images; {'runs' if several else 'run'} {', '.join(run.name for run in runs)}",
        verdicts=tuple(verdict(run) for run in runs),
        sections=tuple(section for section in sections if section is not None),
        warnings=(*_cautions(runs), *((_PRIVATE.format(count=count),) if images else ())),
        footer=_AT_LEAST,
    )


def _on_details(run: Run, several: bool) -> str:
    return f"{run.name}: {fine_details(run)}" if several else fine_details(run)


def _cautions(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what limits the verdict: of a judge, of a budget."""
    warnings = {run.name: run.board.protocol.get("warning") for run in runs}
    return tuple(f"{name}: {text}." if len(runs) > 1 else f"{text}." for name, text in warnings.items() if text)


def _identification(listed: Sequence[Entry]) -> Section | None:
    figure = identification_figure(listed)
    return None if figure is None else Section("Re-identification", (EXPLANATION,), (figure,))


def _trade_off(listed: Sequence[Entry]) -> Section | None:
    figure = trade_off_figure(listed)
    return None if figure is None else Section("Fidelity and perception", (), (figure,))


def _training(listed: Sequence[Entry]) -> Section | None:
    figures = training_figures(listed)
    return Section("Training curves", (), tuple(figures)) if figures else None


def _not_measured(runs: Sequence[Run], listed: Sequence[Entry], *, show_images: bool) -> Section:
    parts: list[Part] = []
    for run in runs:
        facts = [*_unmeasured_metrics(run), *_absent(run, show_images=show_images)]
        if len(runs) > 1:
            parts.append(Facts((("Run", run.name), *facts)))
        elif facts:
            parts.append(Facts(tuple(facts)))
        if lines := _notes(run, listed):
            parts.append(Notes(tuple(lines)))
    return Section("What was not measured, and why", (), tuple(parts))


def _unmeasured_metrics(run: Run) -> list[tuple[str, str]]:
    catalogue = catalogue_of([run])
    reasons = run.board.protocol.get("not_measured") or {}
    metrics = {key: catalogue.get(key) for key in reasons}
    return [(metric.title if metric else key, str(reasons[key])) for key, metric in metrics.items()]


def _notes(run: Run, listed: Sequence[Entry]) -> list[str]:
    level, warning = run.board.leak_level, run.board.protocol.get("warning")
    lines = [f"{entry.label}: {note}." for entry in listed if entry.run is run for note in entry.row.notes]
    lines += [f"{warning}."] if warning else []
    return lines + ([f"Not tried: {line}." for line in level.not_tried] if level is not None else [])


def _absent(run: Run, *, show_images: bool) -> list[tuple[str, str]]:
    absent = []
    if run.board.leak_level is None:
        absent.append(("Level", "not assessed: the scoreboard was written by an earlier version"))
    if not run.board.per_image:
        absent += [
            (what, "the numbers of every image (per_image.npz) are not at hand")
            for what in ("Re-identification curve", PAIRWISE)
        ]
    if not show_images:
        absent.append(("Images", "left out as asked"))
    elif run.exhibit is None:
        absent.append(("Images", "the run's folder has none (report_images.npz)"))
    if not run.histories:
        absent.append(("Training curves", "the run's folder has no trained attacks"))
    return absent
