"""The samples that a report shows: a few of each of some private images, kept beside the other images of the run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featinv import files
from featinv.evaluation import CalibrationRecord, DrawnSamples, sample_sheet
from featinv.report.document import Figure
from featinv.report.pixels import as_uri, shrunk

SHEET_NAME = "report_samples.png"
MOST = 6
"""private images of which samples are shown, all of them among the images that the report shows already"""
CELLS_SCALE = "8 x 8 colours"
MAP_HOLDS = frozenset({"calibrated", "too wide"})
"""verdicts on that scale under which a map of what is known claims no more than is known"""
_PREFIX = "samples/"
_TRUSTED = (
    "Where the map is black all samples agree, so that the colours there are known. Where it is white they differ as "
    "much as any public images do, and nothing is known; these cells are grey in the last row."
)
_SHARED = "what they share is known, "
_UNTRUSTED = (
    "The samples were not shown to be calibrated in the colours of 8 x 8 cells: they may agree on colours that are "
    "wrong, so that less may be known than the map shows, and nothing is greyed."
)


def map_holds(record: CalibrationRecord | None, attack: str) -> bool:
    """Return whether an attack's samples claim no more than is known of the colours of 8 x 8 cells."""
    return record is not None and record.attack == attack and record.verdict(CELLS_SCALE) in MAP_HOLDS


def samples_figure(drawn: DrawnSamples, *, trusted: bool, suffix: str = "") -> Figure:
    """Return the sheet of samples as a figure of private images."""
    count, side = drawn.originals.shape[:2]
    return Figure(
        title=f"Samples of {drawn.attack}{suffix}: {_SHARED if trusted else ''}what differs between them is invented",
        draw=lambda: as_uri(sample_sheet(_small(drawn), trusted=trusted)),
        alternative=f"{count} private images in the top row; below them three samples of each by {drawn.attack}, the "
        f"mean of {drawn.k} samples, and a map of their standard deviation.",
        caption=(_TRUSTED if trusted else _UNTRUSTED) + (f" Shown at less than {side} pixels." if side > 128 else ""),
        wide=True,
        private=True,
    )


def sample_arrays(drawn: DrawnSamples | None) -> dict[str, np.ndarray]:
    """Return the samples as the arrays that lie in `report_images.npz`; none without samples."""
    if drawn is None:
        return {}
    arrays = {"rows": drawn.rows, "originals": drawn.originals, "samples": drawn.samples, "mean": drawn.mean}
    arrays |= {"known": drawn.known, "attack": np.array(drawn.attack), "k": np.array(drawn.k)}
    return {f"{_PREFIX}{name}": array for name, array in arrays.items()}


def read_samples(arrays: Mapping[str, np.ndarray]) -> DrawnSamples | None:
    """Return the samples of `report_images.npz`; None where it has none. KeyError or ValueError for broken ones."""
    if f"{_PREFIX}rows" not in arrays:
        return None
    rows, originals, samples, mean, known = (
        arrays[f"{_PREFIX}{name}"] for name in ("rows", "originals", "samples", "mean", "known")
    )
    square = originals.ndim == 4 and originals.shape[1] == originals.shape[2] and originals.shape[3] == 3
    pixels = all(array.dtype == np.uint8 for array in (originals, samples, mean))
    shapes = samples.ndim == 5 and mean.shape == originals.shape == (len(samples), *samples.shape[2:])
    cells = known.ndim == 3 and bool(((known >= 0) & (known <= 1)).all())
    if not (square and pixels and shapes and cells and len(rows) == len(known) == len(originals) > 0):
        raise ValueError("samples of another shape than their originals")
    return DrawnSamples(
        str(arrays[f"{_PREFIX}attack"]),
        int(arrays[f"{_PREFIX}k"]),
        rows.astype(np.int64),
        originals,
        samples,
        mean,
        known,
    )


def save_sheet(drawn: DrawnSamples, folder: Path, *, trusted: bool) -> None:
    """Write `report_samples.png`, which shows private images, into a run's folder."""
    with files.atomic_file(folder / SHEET_NAME) as temporary:
        sample_sheet(drawn, trusted=trusted).save(temporary, format="PNG")


def _small(drawn: DrawnSamples) -> DrawnSamples:
    samples = np.stack([shrunk(drawn.samples[:, at]) for at in range(drawn.samples.shape[1])], axis=1)
    return DrawnSamples(
        drawn.attack, drawn.k, drawn.rows, shrunk(drawn.originals), samples, shrunk(drawn.mean), drawn.known
    )
