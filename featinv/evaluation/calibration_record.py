"""The calibration of a sampler as a scoreboard keeps it: numbers that a report and a tracker can read again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from featinv.errors import BadInput
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.calibration import Calibration, ScaleTests
from featinv.evaluation.intervals import Interval
from featinv.evaluation.mean_square_law import MeanSquareLaw
from featinv.evaluation.scoreboard import Scoreboard, read_interval

KEY = "calibration"
"""where the protocol of a scoreboard has it"""
BANDS = "frequencies "
"""what the names of the scales begin with that are octaves of frequency"""
VERDICTS = ("calibrated", "over-confident", "too wide", "wrong in shape", "undecided")


@dataclass(frozen=True)
class ScaleRecord:
    """One scale: its verdict, the mean-square ratio, and in a space the coverage of the 50 and 90 % regions.

    `levels` and `curve` are the expected-coverage curve, empty for an octave of frequency.
    """

    scale: str
    verdict: str
    ratio: Interval
    coverage: dict[float, Interval]
    levels: tuple[float, ...]
    curve: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationRecord:
    """What `calibrate` found for one attack, on so many images with k samples of each."""

    attack: str
    images: int
    k: int
    scales: tuple[ScaleRecord, ...]

    def verdict(self, scale: str) -> str | None:
        """Return the verdict of a scale; None where it was not tested."""
        return next((entry.verdict for entry in self.scales if entry.scale == scale), None)


def with_calibration(board: Scoreboard, name: str, page: Calibration) -> Scoreboard:
    """Return the scoreboard with the calibration of its attack `name`, which the report and the tracker then show.

    Raises BadInput when the board has no row of that name.
    """
    attack = board[name].name
    return replace(board, protocol={**board.protocol, KEY: calibration_json(attack, page)})


def calibration_json(attack: str, page: Calibration) -> dict[str, Any]:
    """Return a calibration in the shape of `scoreboard.json`; a ratio without a finite bound has null there."""
    verdicts = page.verdicts
    scales = [_scale(name, verdicts[name], tests.law, tests) for name, tests in page.spaces.items()]
    scales += [_scale(BANDS + band, verdicts[BANDS + band], law) for band, law in page.bands.items()]
    adjusted = [{"scale": scale, "test": test, "p": p} for (scale, test), p in page.adjusted.items()]
    head = {"attack": attack, "images": page.images, "k": page.k, "seed": page.seed}
    return {**head, "scales": scales, "adjusted": adjusted}


def read_calibration(protocol: Mapping[str, Any]) -> CalibrationRecord | None:
    """Return what a protocol says; None where no sampler was calibrated. Raises BadInput for a broken record."""
    record = protocol.get(KEY)
    if record is None:
        return None
    try:
        scales = tuple(_read(entry) for entry in record["scales"])
        return CalibrationRecord(str(record["attack"]), int(record["images"]), int(record["k"]), scales)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"scoreboard: expected the calibration of a sampler under {KEY!r}, but it lacks a part ({error!r}); "
            "run the calibration again"
        ) from error


def _scale(name: str, verdict: str, law: MeanSquareLaw, tests: ScaleTests | None = None) -> dict[str, Any]:
    ratio = {key: value if math.isfinite(value) else None for key, value in interval_json(law.ratio).items()}
    shape = {"scale": name, "verdict": verdict, "ratio": ratio, "error": law.error, "spread": law.spread}
    if tests is None:
        return shape
    regions = [{"level": level} | interval_json(rate) for level, rate in tests.coverage.regions.items()]
    curve = {"levels": tests.coverage.levels.tolist(), "curve": tests.coverage.curve.tolist()}
    return {**shape, "coverage": {"regions": regions, **curve}}


def _read(entry: Mapping[str, Any]) -> ScaleRecord:
    if entry["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {entry['verdict']!r}")
    ratio = read_interval({key: math.inf if value is None else value for key, value in entry["ratio"].items()})
    coverage = entry.get("coverage") or {"regions": [], "levels": [], "curve": []}
    levels, curve = (tuple(map(float, coverage[key])) for key in ("levels", "curve"))
    if len(levels) != len(curve):
        raise ValueError(f"{len(levels)} levels of coverage, but {len(curve)} points of its curve")
    regions = {float(region["level"]): read_interval(region) for region in coverage["regions"]}
    return ScaleRecord(str(entry["scale"]), str(entry["verdict"]), ratio, regions, levels, curve)
