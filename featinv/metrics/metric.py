"""`Metric`: one object with a function, unit, direction and texts, which all tables and figures read."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

from featinv.errors import BadInput

Family = Literal["pixel", "perceptual", "identification"]
Needs = Literal["images", "judge", "distribution", "inception", "public", "labels", "victim", "ranks", "persons"]
Place = Literal["table", "report", "details", "figure", "bars", "probe"]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""The kinds of evidence that `versus` considers."""
OWN_NEEDS: tuple[str, ...] = ("images", "judge")
"""Values of `needs` that a metric from outside this package may have."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DECLARED = ("title", "unit", "factor", "higher_is_better", "worst", "family", "needs", "text")


@dataclass(frozen=True)
class Metric:
    """One number for each image, with everything that tables, figures, files and significance tests need to know of it.

    `function` maps (reconstructions, originals), both (B, 3, H, W) in [0, 1], to (B,); with `needs="judge"` it maps the
    `JudgeOutputs` of both to (B,). It is None where the number follows from others, or where it was read from a file.
    Floating-point values are averaged with bootstrap intervals, Boolean ones are rates with Wilson intervals.
    `worst` is the value of a failed reconstruction where no control defines the worst value. `family` includes the
    metric in `versus`; "identification" is for metrics of judge outputs, because it has to hold in every view.
    `short` is the heading of its column in the printed table. `places` lists where it is shown. A metric with
    `on_request` is measured only on request. `measured_as` is its key in files where this is not its name.

    Raises BadInput that names the metric for a name that is no plain identifier, a worst value that is not finite, an
    unknown family, need or place, and a function that is not callable.
    """

    name: str
    function: Callable[..., Any] | None
    _: KW_ONLY
    higher_is_better: bool
    worst: float
    title: str = ""
    unit: str = ""
    factor: int = 1
    family: str | None = None
    needs: str = "images"
    text: str = ""
    short: str = ""
    places: tuple[str, ...] = ("table", "report", "figure", "bars", "probe")
    on_request: bool = False
    measured_as: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise BadInput(f"metrics: expected a name of a-z, 0-9 and _, got {self.name!r}; rename the metric")
        for field, value, allowed in (
            ("family", self.family, (None, *FAMILIES)),
            ("needs", self.needs, get_args(Needs)),
        ):
            if value not in allowed:
                raise BadInput(f"{self.name}: {field}: expected one of {', '.join(map(str, allowed))}, got {value!r}")
        if unknown := [place for place in self.places if place not in get_args(Place)]:
            raise BadInput(f"{self.name}: places: expected some of {', '.join(get_args(Place))}, got {unknown[0]!r}")
        if self.family == "identification" and self.needs == "images":
            raise BadInput(f"{self.name}: family 'identification' has to hold in every judge's view; use needs='judge'")
        if not isinstance(self.higher_is_better, bool):
            raise BadInput(f"{self.name}: higher_is_better: expected True or False, got {self.higher_is_better!r}")
        if not isinstance(self.worst, int | float) or not math.isfinite(self.worst):
            raise BadInput(f"{self.name}: worst: expected a finite number, got {self.worst!r}")
        if type(self.factor) is not int or self.factor < 1:
            raise BadInput(f"{self.name}: factor: expected 1, or 100 for a rate in percent, got {self.factor!r}")
        if self.function is not None and not callable(self.function):
            raise BadInput(f"{self.name}: function: expected a callable, got {type(self.function).__name__}")

    @property
    def heading(self) -> str:
        """Return the title with its unit, for reports and figures."""
        title = self.title or self.name.replace("_", " ")
        return f"{title}, {self.unit}" if self.unit else title

    @property
    def column(self) -> str:
        """Return the heading of its column in the printed table."""
        return f"{self.short or self.title or self.name} {self.unit}".strip()

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Return the direction that is better for the attack, in which more leaks."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def key(self) -> str:
        """Return the key of its values: "<metric>" or "<metric>/<view>"."""
        return self.measured_as or self.name

    def declaration(self) -> dict[str, Any]:
        """Return the JSON-able fields that a reader of the scoreboard needs, without the function's code."""
        function = self.function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        origin = f"{getattr(function, '__module__', '')}.{name}"
        return {name: getattr(self, name) for name in _DECLARED} | {"function": origin.strip(".")}

    @classmethod
    def from_declaration(cls, name: str, declared: Mapping[str, Any]) -> "Metric":
        """Return the metric that a file declares, without a function.

        Raises KeyError or TypeError for a field that is missing or of another type, and BadInput as the constructor.
        """
        fields = {key: declared[key] for key in _DECLARED}
        if not all(isinstance(fields[key], str) for key in ("title", "unit", "text")):
            raise TypeError(f"{name}: title, unit and text must be strings")
        return cls(name, None, **fields)
