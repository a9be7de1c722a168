"""What of the images an attack recovers, and whether its samples may be believed, as tables and plots of its run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64

from featinv import plots
from featinv.errors import BadInput
from featinv.evaluation import CalibrationRecord, Recovered, Scoreboard, draw_samples, read_calibration, read_recovered
from featinv.evaluation.frequency_bands import COLOURS
from featinv.evaluation.recovered_record import read_cell_variance
from featinv.tracking.run_record import Pixels, Plot, RunTable
from featinv.types import SamplesLike
from featinv.victim import Release

SAMPLES_KEY = "samples"
"""The table of samples, of the images of the probe; only where private images are asked for by name."""
_REGIONS = (0.5, 0.9)


@dataclass(frozen=True)
class PosteriorParts:
    """Tables, figures and plots of one attack: numbers only, but for the table of samples."""

    tables: Mapping[str, RunTable] = field(default_factory=dict)
    images: Mapping[str, Pixels] = field(default_factory=dict)
    plots: Mapping[str, Plot] = field(default_factory=dict)


def posterior_parts(board: Scoreboard, name: str, samples: RunTable | None = None) -> PosteriorParts:
    """Return what the board says of one attack: its spectrum, and its calibration where it is the sampler tested."""
    tables: dict[str, RunTable] = {} if samples is None else {SAMPLES_KEY: samples}
    images: dict[str, Pixels] = {}
    drawn: dict[str, Plot] = {}
    recovered, record = read_recovered(board.protocol).get(name), read_calibration(board.protocol)
    if recovered is not None:
        tables["recovered/spectrum"] = _spectrum(recovered)
        images["recovered/figure"] = _recovered_pixels(recovered)
    if record is not None and record.attack == name:
        curves = _coverage(record)
        tables |= {"calibration/scales": _scales(record), "calibration/coverage": curves}
        images["calibration/figure"] = _coverage_pixels(record)
        drawn["plots/coverage"] = Plot("line", curves, "level", "coverage", "expected coverage; right: the diagonal")
    return PosteriorParts(tables, images, drawn)


def samples_table(
    board: Scoreboard, name: str, attack: Any, release: Release | None, chosen: Int64[np.ndarray, " P"]
) -> RunTable | None:
    """Return originals, samples, mean and map of the chosen private images; None for an attack that does not draw.

    It holds private images: for callers that were allowed to show these. None also without public images, whose
    variance is the scale of the map, and where the samples are all alike.
    """
    variance = read_cell_variance(board.protocol)
    if not isinstance(attack, SamplesLike) or release is None or release.truth is None or variance is None:
        return None
    try:
        drawn = draw_samples(name, attack, release, chosen, variance, seed=int(board.protocol["seed"]))
    except BadInput:
        return None
    mark = str(board.protocol["private"]["fingerprint"])[:8]
    columns: dict[str, list[Any]] = {
        "image_id": [f"{mark}-{row}" for row in chosen],
        "original": list(drawn.originals),
        **{f"sample_{at + 1}": list(drawn.samples[:, at]) for at in range(drawn.samples.shape[1])},
        "mean": list(drawn.mean),
        "standard_deviation": list(drawn.deviation_image),
        "known": [float(share) for share in drawn.known.mean((1, 2))],
    }
    return RunTable(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _spectrum(recovered: Recovered) -> RunTable:
    spectrum = recovered.spectrum
    rows = tuple(
        (octave, colour, spectrum.weights[octave, colour], share.mean, share.low, share.high)
        for (octave, colour), share in spectrum.shares.items()
    )
    return RunTable(("half_waves", "colour", "part_of_variance", "recovered", "low", "high"), rows)


def _scales(record: CalibrationRecord) -> RunTable:
    rows = []
    for entry in record.scales:
        bounds = (entry.ratio.mean, entry.ratio.low, entry.ratio.high)
        regions = [entry.coverage[level].mean if level in entry.coverage else None for level in _REGIONS]
        rows.append(
            (entry.scale, entry.verdict, *(value if np.isfinite(value) else None for value in bounds), *regions)
        )
    columns = ("scale", "verdict", "ratio", "ratio_low", "ratio_high", "in_50_percent", "in_90_percent")
    return RunTable(columns, tuple(rows))


def _coverage(record: CalibrationRecord) -> RunTable:
    rows = [
        (entry.scale, level, covered)
        for entry in record.scales
        for level, covered in zip(entry.levels, entry.curve, strict=True)
    ]
    return RunTable(("space", "level", "coverage"), tuple(rows))


def _recovered_pixels(recovered: Recovered) -> Pixels:
    spectrum = recovered.spectrum
    lines = {colour: [spectrum.shares[octave, colour] for octave in spectrum.octaves] for colour in COLOURS}
    with plots.styled_figure(3.5, 9) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
        plots.draw_shares(left, spectrum.octaves, lines)
        plots.draw_cells(right, recovered.cells)
        return plots.as_pixels(figure)


def _coverage_pixels(record: CalibrationRecord) -> Pixels:
    curves = {entry.scale: (entry.levels, entry.curve) for entry in record.scales if entry.levels}
    with plots.styled_figure(4) as figure:
        plots.draw_coverage(figure.subplots(), curves)
        return plots.as_pixels(figure)
