"""The settings that are compared: texts with strengths in units of the vectors, and the defences they stand for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import yaml
from jaxtyping import Float
from torch import nn

import featinv as fi
from featinv.configuration import GRAMMAR, Component, build, check_component, load_yaml, parse_component
from featinv.errors import BadInput

RAW = "Identity"
"""the setting against which utility is held; always measured"""
CHAIN = " + "
UNITS = ("rms", "median")
"""rms: root mean square deviation of a number of the public vectors; median: their median Euclidean length"""
_STRENGTH = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(rms|median)", re.IGNORECASE)
_MEASURED = ("std", "scale", "norm")
"""keywords of our defences that are in the vectors' units"""
_FLAG = "--defences"
_BYTES = 2**20
GRID: tuple[str, ...] = (
    RAW,
    *(f"GaussianNoise:std={strength}rms" for strength in (0.4, 0.8, 1, 1.5, 2, 3)),
    "Clip:norm=1median + GaussianNoise:std=2rms",
    "Laplace:scale=1.4rms",
    *(f"ShapedNoise:std=1rms,exponent={exponent}" for exponent in (0.5, 1)),
    *(f"Uniform:bits={bits}" for bits in (8, 4, 2, 1)),
    "Sign",
    *(f"PCA:k={k}" for k in (16, 4)),
    "PCA:k=16,coordinates=true + Sign",
    *(f"TopK:k={k}" for k in (8, 2)),
    *(f"Codebook:bits={bits}" for bits in (8, 7, 6, 5, 4, 3)),
    *(f"ProductCodes:parts={parts},bits=8" for parts in (4, 2)),
    *(f"Microaggregate:k={k}" for k in (5, 10, 50)),
    "RandomRotation:key=secret",
    "RandomRotation:key=secret + GaussianNoise:std=0.4rms",
    "RemoveSubspace:attribute=label,rank=1",
)
"""the built-in settings: every family of defences, strengths in units of the vectors or in bits"""


@final
@dataclass(frozen=True)
class Candidate:
    """One form of release: its text, as it may be given again, and its parts in order.

    A part's strength may be text with a unit (`2rms`), which `defence` turns into a number.
    """

    label: str
    parts: tuple[Component, ...]

    @property
    def family(self) -> str:
        """The names of its parts: settings of one family differ in strength only."""
        return CHAIN.join(part.name for part in self.parts)

    @property
    def shown(self) -> str:
        """The text without a secret: a key is replaced by `hidden`."""
        return without_secrets(self.label)

    def defence(self, units: Mapping[str, float]) -> nn.Module:
        """Return the defence, not fitted. Raises BadInput for a strength that it refuses, naming the setting."""
        try:
            members = [build(_in_numbers(part, units), fi.defences) for part in self.parts]
        except BadInput as error:
            raise BadInput(f"{_FLAG}: {self.shown}: {error}") from error
        if not all(isinstance(part, nn.Module) for part in members):
            raise BadInput(f"{_FLAG}: {self.shown}: expected modules features -> features, got something else")
        return members[0] if len(members) == 1 else nn.Sequential(*members)


def read_candidates(given: str | list[str] | None) -> tuple[Candidate, ...]:
    """Return the settings of a YAML file, of one text or several, or the built-in grid; the undefended vectors first.

    Raises BadInput for what cannot be read, an unknown name or keyword, and a setting that is listed twice.
    """
    listed = GRID if given is None else _listed(given) if isinstance(given, str) else given
    candidates = [_candidate(entry) for entry in (RAW, *listed)]
    labels = [candidate.shown for candidate in candidates[1:]]  # as reports and files name them
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise BadInput(
            f"{_FLAG}: expected every setting once, got {twice[0]!r} twice; remove one (keys are not told apart)"
        )
    return (candidates[0], *(candidate for candidate in candidates[1:] if candidate.label != RAW))


def without_secrets(label: str) -> str:
    """Return the text of a setting with every key replaced by `hidden`."""
    return re.sub(r"\bkey=('[^']*'|\"[^\"]*\"|[^,+]*?)(?=,| \+ |$)", "key=hidden", label)


def units_of(public: Float[np.ndarray, "N D"]) -> dict[str, float]:
    """Return what strengths are multiples of. Raises BadInput for vectors that do not differ."""
    rms = float(np.sqrt(public.var(axis=0, dtype=np.float64).mean()))
    if not rms > 0:
        raise BadInput("--public-features: expected vectors that differ, got the same one in every row")
    return {"rms": rms, "median": float(np.median(np.linalg.norm(public.astype(np.float64), axis=1)))}


def _listed(given: str) -> Sequence[Any]:
    path = Path(given)
    if path.suffix.lower() not in (".yaml", ".yml"):
        if path.is_file():
            raise BadInput(f"{_FLAG}: {given}: expected a name that ends in .yaml; rename the file")
        return [given]
    try:
        if path.stat().st_size > _BYTES:
            raise BadInput(f"{_FLAG}: {given}: expected at most {_BYTES} bytes; list fewer settings")
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{_FLAG}: {given}: expected a YAML list of settings: {' '.join(str(error).split())}") from error
    if not isinstance(content, list) or not content:
        raise BadInput(
            f"{_FLAG}: {given}: expected a YAML list of settings, such as - GaussianNoise:std=2rms, "
            f"got {type(content).__name__}"
        )
    return content


def _candidate(entry: Any) -> Candidate:
    parts = tuple(_component(part) for part in _chain(entry))
    for part in parts:
        check_component(part, fi.defences, _FLAG)
    return Candidate(CHAIN.join(str(part) for part in parts), parts)


def _chain(entry: Any) -> list[Any]:
    """Return the parts of an entry: a list, or texts joined by +."""
    if isinstance(entry, list) and entry:
        return entry
    return re.split(r"\s+\+\s+", entry.strip()) if isinstance(entry, str) else [entry]


def _component(part: Any) -> Component:
    if isinstance(part, str):
        return parse_component(part, fi.defences, _FLAG)
    if isinstance(part, dict) and isinstance(part.get("name"), str) and set(part) <= {"name", "args"}:
        args = part.get("args") or {}
        if isinstance(args, dict) and all(isinstance(key, str) for key in args):
            return Component(part["name"], dict(args))
    raise BadInput(f"{_FLAG}: expected {GRAMMAR}, a list of these, or {{name: ..., args: {{...}}}}, got {part!r}")


def _in_numbers(part: Component, units: Mapping[str, float]) -> Component:
    return Component(
        part.name, {key: _number(key, value, units) if key in _MEASURED else value for key, value in part.args.items()}
    )


def _number(key: str, value: Any, units: Mapping[str, float]) -> Any:
    if not isinstance(value, str):
        return value
    match = _STRENGTH.fullmatch(value.strip())
    if match is None:
        raise BadInput(f"{key}: expected a number, or one with a unit ({', '.join(UNITS)}), got {value!r}")
    return float(match[1]) * units[match[2].lower()]
