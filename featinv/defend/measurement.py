"""What was measured of one setting, as plain data that is kept in a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

from featinv.errors import BadInput
from featinv.evaluation import Interval

Rates = Mapping[int, Interval]
"""top-k re-identification by k"""


@final
@dataclass(frozen=True)
class Measurement:
    """The numbers of one setting; shares from 0 to 1.

    `ceilings` are upper limits of top-k for any attack, None where no ceiling is known, and `ceiling_rates` the
    ceiling's own means with intervals where the likelihood is known. `attacks` are what attackers reach. `utility` and
    `kept`, the share of the undefended utility, are by measure. `bits` of a released vector are None where they are
    not counted; `identified` is how many of them, at least, tell which candidate it is of (`identified_bits`, vectors
    as similarities), None where the widths differ. `notes` say what to know of these numbers.
    """

    label: str
    family: str
    fingerprint: str
    ceilings: Mapping[int, float | None]
    ceiling_rates: Rates
    attacks: Mapping[str, Rates]
    utility: Mapping[str, Interval]
    kept: Mapping[str, Interval]
    bits: float | None = None
    identified: Interval | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def with_attacks(self, attacks: Mapping[str, Rates], note: str = "") -> "Measurement":
        """Return the same with more attackers."""
        notes = (*self.notes, note) if note else self.notes
        return replace(self, attacks={**self.attacks, **attacks}, notes=notes)

    def as_json(self) -> dict[str, Any]:
        """Return plain data from which `from_json` makes an equal measurement."""
        return {
            "label": self.label,
            "family": self.family,
            "fingerprint": self.fingerprint,
            "ceilings": {str(k): upper for k, upper in self.ceilings.items()},
            "ceiling_rates": rates_json(self.ceiling_rates),
            "attacks": {name: rates_json(rates) for name, rates in self.attacks.items()},
            "utility": {name: asdict(interval) for name, interval in self.utility.items()},
            "kept": {name: asdict(interval) for name, interval in self.kept.items()},
            "bits": self.bits,
            "identified": None if self.identified is None else asdict(self.identified),
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, document: Any, source: str) -> "Measurement":
        """Return the measurement that `as_json` wrote. Raises BadInput naming `source` for anything else."""
        try:
            return cls(
                label=str(document["label"]),
                family=str(document["family"]),
                fingerprint=str(document["fingerprint"]),
                ceilings={int(k): None if upper is None else float(upper) for k, upper in document["ceilings"].items()},
                ceiling_rates=read_rates(document["ceiling_rates"]),
                attacks={str(name): read_rates(rates) for name, rates in document["attacks"].items()},
                utility={str(name): _interval(fields) for name, fields in document["utility"].items()},
                kept={str(name): _interval(fields) for name, fields in document["kept"].items()},
                bits=None if document["bits"] is None else float(document["bits"]),
                identified=None if document["identified"] is None else _interval(document["identified"]),
                seconds=float(document["seconds"]),
                notes=tuple(str(note) for note in document["notes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                f"{source}: expected the measurement of a setting, got something else ({error!r})"
            ) from error


@final
@dataclass(frozen=True)
class Sweep:
    """All settings that were measured, in order, and why others were not; the first one is the undefended release."""

    measurements: tuple[Measurement, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> Measurement:
        """The undefended release."""
        return self.measurements[0]


def rates_json(rates: Rates) -> dict[str, Any]:
    """Return rates by k as plain data."""
    return {str(k): asdict(interval) for k, interval in rates.items()}


def read_rates(rates: Mapping[str, Any]) -> dict[int, Interval]:
    """Return rates from plain data."""
    return {int(k): _interval(fields) for k, fields in rates.items()}


def _interval(numbers: Mapping[str, Any]) -> Interval:
    chance = numbers["chance"]
    mean, low, high = (float(numbers[name]) for name in ("mean", "low", "high"))
    return Interval(mean, low, high, int(numbers["n"]), None if chance is None else float(chance))
