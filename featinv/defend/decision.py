"""decision.json: what was measured and decided, versioned and checked when it is read."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.defend.inputs import Inputs
from featinv.defend.settings import DefendSettings
from featinv.defend.text import NOT_SHOWN
from featinv.errors import BadInput
from featinv.files import read_json, write_json

if TYPE_CHECKING:
    from featinv.defend.running import Decision

SCHEMA = 1
NAME = "decision.json"
COLOURS = ("green", "red", "grey")


def decision_json(
    settings: DefendSettings, inputs: Inputs, decision: "Decision", measure: str, line: str
) -> dict[str, Any]:
    """Return the decision in the public shape of `decision.json` (docs/defend.md)."""
    policy, keep = settings.asked, settings.kept
    chosen = decision.recommended
    verdicts = zip(decision.sweep.measurements, decision.verdicts, strict=True)
    return {
        "schema": SCHEMA,
        "featinv": fi.__version__,
        "policy": {"text": str(policy), "k": policy.k, "share": policy.share},
        "keep": None if keep is None else {"text": str(keep), "measure": keep.measure, "share": keep.share},
        "gallery": inputs.gallery,
        "chance": min(1.0, policy.k / inputs.gallery),
        "seed": settings.seed,
        "utility": measure,
        "vectors": {
            "private": len(inputs.private),
            "public": len(inputs.public),
            "shape": list(inputs.shape),
            "labels": {"private": inputs.private_labels is not None, "public": inputs.public_labels is not None},
            "fitted_on": len(inputs.fit_rows),
            "learned_on": len(inputs.learn_rows),
            "units": inputs.units,
            "sha256": inputs.digests,
        },
        "sentence": line,
        "recommended": None if chosen is None else chosen.label,
        "defence": None if chosen is None else "defence",
        "undefended": decision.sweep.raw.label,
        "settings": [{**asdict(verdict), **measured.as_json()} for measured, verdict in verdicts],
        "left_out": dict(decision.sweep.left_out),
        "not_shown": list(NOT_SHOWN),
    }


def write_decision(
    out: Path, settings: DefendSettings, inputs: Inputs, decision: "Decision", measure: str, line: str
) -> Path:
    """Write `decision.json` and return its path."""
    path = out / NAME
    write_json(path, decision_json(settings, inputs, decision, measure, line))
    return path


def read_decision(path: Path | str) -> dict[str, Any]:
    """Return the content of a `decision.json`, or of one in a folder.

    Raises BadInput for another schema, and for a decision that contradicts itself: shares outside 0 to 1, an unknown
    colour, a recommended setting that is not green, a green one without a ceiling under the policy.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    document = read_json(path)
    schema = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if schema != SCHEMA:
        raise BadInput(f"{path}: expected schema {SCHEMA}, got {schema!r}; use the version of featinv that wrote it")
    try:
        _check(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: expected a decision, got one that contradicts itself ({error})") from error
    return dict(document)


def _check(document: dict[str, Any]) -> None:
    share, settings = float(document["policy"]["share"]), document["settings"]
    green = set()
    for setting in settings:
        for name in ("floor", "ceiling"):
            if setting[name] is not None and not (math.isfinite(setting[name]) and 0 <= setting[name] <= 1):
                raise ValueError(f"{setting['label']}: {name} {setting[name]}")
        if setting["colour"] not in COLOURS:
            raise ValueError(f"{setting['label']}: colour {setting['colour']!r}")
        if setting["colour"] == "green":
            green.add(setting["label"])
            if setting["ceiling"] is None or setting["ceiling"] > share:
                raise ValueError(f"{setting['label']}: green with ceiling {setting['ceiling']}")
    if document["recommended"] is not None and document["recommended"] not in green:
        raise ValueError(f"recommended {document['recommended']!r} is not green")
