"""One row of the scoreboard."""

from dataclasses import dataclass, field
from typing import Any

from featinv.evaluation.intervals import Interval

KINDS = ("control", "attack")
FEATURE_LINKAGE = "feature linkage"
"""The row that ranks candidates by their feature vectors; nothing is reconstructed."""
LINKAGE = "linkage"
"""Role of that row."""
PREDICTED = "judge features predicted"
"""What the names of the rows begin with in which no image is drawn: predicted features of the judge are ranked."""
HEADROOM = "headroom"
"""Role of those rows."""
WITHOUT_IMAGES = (LINKAGE, HEADROOM)
"""Roles of rows that reconstruct nothing; no attack has to beat them."""
MISMATCHED_FEATURES = "mismatched features"
"""Role of the row made of an attack's reconstructions of other images' vectors; also the name of that view."""


@dataclass(frozen=True)
class AttackScore:
    """The measured numbers of one attack or control.

    `metrics` holds the first judge and the whole gallery; `metrics_by` the same names in each other view: another
    judge, another gallery, treated reconstructions, mismatched features. What was not measured is absent, and a note
    says why. `role` repeats `kind`, or says what a control of the scorer is ("linkage", "headroom",
    "mismatched features").
    `seconds` is the time that the attack took in all, as far as known: to fit, and to reconstruct the release.
    """

    name: str
    kind: str
    role: str
    metrics: dict[str, Interval]
    metrics_by: dict[str, dict[str, Interval]] = field(default_factory=dict)
    seconds: float = 0.0
    seconds_by: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    notes: tuple[str, ...] = ()

    @property
    def counts_as_control(self) -> bool:
        """Whether an attack must beat this row to show a leak (what reconstructs nothing does not count)."""
        return self.kind == "control" and self.role not in WITHOUT_IMAGES

    def interval(self, key: str) -> Interval | None:
        """Return the interval of "<metric>" or "<metric>/<view>"; None where it was not measured."""
        metric, _, view = key.partition("/")
        return (self.metrics_by.get(view, {}) if view else self.metrics).get(metric)

    def as_json(self) -> dict[str, Any]:
        """Return the row in the public shape of `scoreboard.json`."""
        return {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "metrics": _metrics_json(self.metrics),
            "metrics_by": {view: _metrics_json(metrics) for view, metrics in self.metrics_by.items()},
            "seconds": self.seconds,
            "seconds_by": dict(self.seconds_by),
            "parameters": self.parameters,
            "notes": list(self.notes),
        }


def interval_json(interval: Interval) -> dict[str, float | int]:
    """Return {"mean", "low", "high", "n"} and "chance" where there is one."""
    shape = {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
    return shape if interval.chance is None else {**shape, "chance": interval.chance}


def _metrics_json(metrics: dict[str, Interval]) -> dict[str, dict[str, float | int]]:
    return {name: interval_json(interval) for name, interval in metrics.items()}
