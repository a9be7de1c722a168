"""The section "Recovered or invented": which details of a reconstruction the vectors say, and which are made up."""

from collections.abc import Sequence

from featinv import plots
from featinv.evaluation import CalibrationRecord, Recovered, read_calibration, read_recovered
from featinv.evaluation.calibration_record import BANDS
from featinv.evaluation.frequency_bands import COLOURS
from featinv.evaluation.recovered import NOTHING
from featinv.evaluation.table import number
from featinv.report.document import Figure, Notes, Part, Section, Table
from featinv.report.entries import leading_attack
from featinv.report.runs import Run
from featinv.report.sample_exhibit import CELLS_SCALE, map_holds, samples_figure

TITLE = "Recovered or invented"
MOSTLY = 0.5
"""share of the variance from which a scale counts as mostly recovered"""
FINE = 4
"""half-waves across the image from which details are those of text and of faces"""
_LEAD = (
    "A reconstruction always looks like an image, also where the vector says nothing: there the attack fills in what "
    "is common. The table says for details of each size how much of the differences between images is recovered. 100 % "
    "is all of it, 0 % is no more than the mean of the public images, and below 0 % the attack adds errors of its own.",
)
_INVENTED = "Treat text, faces and all other fine details in every image of this report as invented"
_UNMEASURED = f"{_INVENTED}: it was not measured which details the attacks recover."
_KNOWN_SCALES = {"0": "the mean colour of the image", "1": "one half of the image against the other"}


def recovered_section(runs: Sequence[Run], *, show_images: bool) -> Section:
    """Return the section; where nothing was measured it says that details count as invented."""
    several = len(runs) > 1
    parts = [part for run in runs for part in _parts(run, named=several, show_images=show_images)]
    return Section(TITLE, _LEAD if any(part.kind == "table" for part in parts) else (), tuple(parts))


def fine_details(run: Run) -> str:
    """Return the sentence on text and faces: invented, unless they were shown to be known.

    That takes a sampler that is calibrated in the colours of 8 x 8 cells and in every octave from 4 half-waves on, and
    an attack that recovers at least a tenth of the variance in each of these octaves.
    """
    recovered, record = read_recovered(run.board.protocol), read_calibration(run.board.protocol)
    if not recovered:
        return _UNMEASURED
    octaves = next(iter(recovered.values())).spectrum.octaves
    fine = [octave for octave in octaves if _first(octave) >= FINE]
    unknown = [octave for octave in fine if _best(recovered, octave)[1] < NOTHING]
    if unknown:
        return (
            f"{_INVENTED}: no attack recovers a tenth of the differences between images at {_listed(unknown)} "
            "half-waves across the image. A face or a word that looks sharp there is what the attack made up."
        )
    if record is None:
        return f"{_INVENTED}: part of them is recovered, but no attack here draws samples, so that nothing shows which."
    refuted = [scale for scale in (CELLS_SCALE, *(BANDS + octave for octave in fine)) if not _calibrated(record, scale)]
    if refuted or not fine:
        where = ", ".join(f"{_scale_in_words(scale)} ({record.verdict(scale) or 'not tested'})" for scale in refuted)
        return (
            f"{_INVENTED}: the samples of {record.attack!r} were not shown to be calibrated at {where or 'any size'}."
        )
    return (
        f"The samples of {record.attack!r} are calibrated at all sizes, and fine details are partly recovered. What "
        "all samples of a vector share is known; what differs between them is invented."
    )


def _parts(run: Run, *, named: bool, show_images: bool) -> list[Part]:
    recovered, leader = read_recovered(run.board.protocol), leading_attack(run.board)
    suffix = f" ({run.name})" if named else ""
    parts: list[Part] = []
    if leader is not None and leader.name in recovered:
        parts += [_table(recovered, leader.name, suffix), _figure(recovered[leader.name], leader.name, suffix)]
    parts.append(Notes((f"{run.name}: {fine_details(run)}" if named else fine_details(run),)))
    record = read_calibration(run.board.protocol)
    if record is not None:
        parts.append(_calibration(record, suffix))
    drawn = None if run.exhibit is None else run.exhibit.drawn
    if show_images and drawn is not None:
        parts.append(samples_figure(drawn, trusted=map_holds(record, drawn.attack), suffix=suffix))
    return parts


def _table(recovered: dict[str, Recovered], leader: str, suffix: str) -> Table:
    spectrum = recovered[leader].spectrum
    rows = []
    for octave in spectrum.octaves:
        weight = sum(spectrum.weights[octave, colour] for colour in COLOURS)
        shares = [number(spectrum.shares[octave, colour], 100) for colour in COLOURS]
        rows.append((size_in_words(octave), f"{100 * weight:.0f}", *shares, _meaning(recovered, leader, octave)))
    head = ("details", "part of all differences, %", "brightness, %", "blue to yellow, %", "red to green, %", "meaning")
    caption = f"What the strongest attack, {leader}{suffix}, recovers of the differences between images"
    return Table(head, tuple(rows), caption, words=frozenset({5}))


def size_in_words(octave: str) -> str:
    """Return how large the details of an octave are, relative to the side of the image."""
    first = _first(octave)
    return _KNOWN_SCALES.get(octave, f"1/{2 * first} to 1/{first} of the side")


def _meaning(recovered: dict[str, Recovered], leader: str, octave: str) -> str:
    low = _most(recovered[leader], octave)
    if low >= MOSTLY:
        return "mostly recovered"
    if low >= NOTHING:
        return "partly recovered"
    best, most = _best(recovered, octave)
    return f"invented here; {best} recovers part" if most >= NOTHING else "invented: no attack recovers it"


def _best(recovered: dict[str, Recovered], octave: str) -> tuple[str, float]:
    return max(((name, _most(entry, octave)) for name, entry in recovered.items()), key=lambda pair: pair[1])


def _most(entry: Recovered, octave: str) -> float:
    """Return the lower limit of the share in the colour of which most is recovered."""
    return max(entry.spectrum.shares[octave, colour].low for colour in COLOURS)


def _figure(recovered: Recovered, attack: str, suffix: str) -> Figure:
    spectrum = recovered.spectrum
    lines = {
        name: [spectrum.shares[octave, colour] for octave in spectrum.octaves]
        for name, colour in zip(("brightness", "blue to yellow", "red to green"), COLOURS, strict=True)
    }

    def draw() -> str:
        with plots.styled_figure(3.2, 1.8 * plots.WIDTH) as figure:
            left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
            plots.draw_shares(left, spectrum.octaves, lines)
            plots.draw_cells(right, recovered.cells)
            return plots.as_svg(figure)

    by_octave = "; ".join(
        f"{size_in_words(octave)}, {number(spectrum.shares[octave, 'luma'], 100)} %" for octave in spectrum.octaves
    )
    cells = 100 * recovered.cells
    cell_rows = tuple((f"row {row + 1}", *(f"{value:.0f}" for value in line)) for row, line in enumerate(cells))
    return Figure(
        title=f"Recovered by {attack}, by size of detail and by place{suffix}",
        draw=draw,
        alternative=f"Share of the variance of brightness that is recovered: {by_octave}. By place from "
        f"{cells.min():.0f} to {cells.max():.0f} %.",
        caption="Left: coarse details on the left, fine ones on the right; lines below 0 are invented detail, and the "
        "scale ends at -50 %. Right: the mean colours of cells, over all images.",
        numbers=Table(("cells, %", *(f"column {at + 1}" for at in range(cells.shape[1]))), cell_rows),
        wide=True,
    )


def _calibration(record: CalibrationRecord, suffix: str) -> Table:
    rows = tuple(
        (
            _scale_in_words(entry.scale),
            entry.verdict,
            number(entry.ratio),
            *(number(entry.coverage.get(level), 100) for level in (0.5, 0.9)),
        )
        for entry in record.scales
    )
    head = (
        "",
        "the samples are",
        "their spread over their error (right: 1)",
        "in 50 % regions, %",
        "in 90 % regions, %",
    )
    caption = (
        f"Whether the samples of {record.attack}{suffix} may be believed, from {record.k} samples of each of "
        f"{record.images} images. Over-confident: they agree on details that are wrong. Too wide: more is known than "
        "they show."
    )
    return Table(head, rows, caption, words=frozenset({1}))


def _scale_in_words(scale: str) -> str:
    octave = scale.removeprefix(BANDS)
    return size_in_words(octave) if octave != scale else scale.replace("colours", "cells' colours")


def _calibrated(record: CalibrationRecord, scale: str) -> bool:
    return record.verdict(scale) == "calibrated"


def _first(octave: str) -> int:
    return int(octave.partition("-")[0])


def _listed(octaves: Sequence[str]) -> str:
    return f"{_first(octaves[0])} to {octaves[-1].rpartition('-')[2]}" if len(octaves) > 1 else octaves[0]
