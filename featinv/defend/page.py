"""The one page of a sweep: the sentence to quote, the figure, the table, and what it does not show."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

from featinv import __version__
from featinv.defend.attacking import Shown
from featinv.defend.figure import Bar, draw
from featinv.defend.inputs import Inputs, source_name
from featinv.defend.measurement import Measurement
from featinv.defend.numpy_lines import numpy_lines
from featinv.defend.policy import MEASURES, percent
from featinv.defend.settings import DefendSettings
from featinv.defend.text import NAMES, NOT_SHOWN, OWASP, among
from featinv.defend.verdicts import Verdict
from featinv.errors import BadInput
from featinv.evaluation import Interval
from featinv.files import atomic_file

if TYPE_CHECKING:
    from torch import nn

    from featinv.defend.running import Decision

NAME = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
_LARGEST = 96
_WORDS = {"green": "meets both", "red": "exceeds the policy", "grey": "undecided"}
_USELESS = "meets the policy only"


@dataclass(frozen=True)
class Row:
    """One line of the table; every cell is text."""

    number: int
    colour: str
    label: str
    word: str
    cells: tuple[str, ...]
    leads: bool


def write_page(
    out: Path,
    settings: DefendSettings,
    inputs: Inputs,
    decision: "Decision",
    measure: str,
    line: str,
    sheets: Sequence[Shown],
    defence: "nn.Module | None",
) -> Path:
    """Write `report.html`, which loads nothing from elsewhere, and return its path."""
    path = out / NAME
    page = (
        _environment()
        .get_template("defend.html.j2")
        .render(
            version=__version__,
            line=line,
            decision=decision,
            settings=settings,
            inputs=inputs,
            features=source_name(settings.features),
            measure=NAMES[measure],
            figure=_figure(settings, inputs, decision, measure),
            alternative=_alternative(decision),
            head=_head(settings, decision),
            attacker=2 if settings.asked.k == 1 else 3,
            rows=_rows(settings, decision),
            facts=_facts(settings, inputs, decision, measure),
            not_shown=NOT_SHOWN,
            owasp=OWASP,
            code=() if defence is None else numpy_lines(defence, "defence"),
            sheets=[_sheet(sheet) for sheet in sheets],
        )
    )
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    return path


def _figure(settings: DefendSettings, inputs: Inputs, decision: "Decision", measure: str) -> str:
    bars = [
        Bar(
            number,
            verdict.colour,
            measurement.kept[measure],
            verdict.floor,
            verdict.ceiling,
            measurement is decision.recommended,
        )
        for number, (measurement, verdict) in enumerate(_pairs(decision))
        if measure in measurement.kept
    ]
    keep, k = settings.kept, settings.asked.k
    return draw(
        bars,
        policy=settings.asked.share,
        keep=keep.share if keep is not None and keep.measure == measure else None,
        chance=min(1.0, k / inputs.gallery),
        across=f"utility kept: {NAMES[measure]}, of the undefended (95 % interval)",
        up=f"original {among(k)} of {inputs.gallery:,}, from floor to ceiling",
    )


def _pairs(decision: "Decision") -> list[tuple[Measurement, Verdict]]:
    return list(zip(decision.sweep.measurements, decision.verdicts, strict=True))


def _alternative(decision: "Decision") -> str:
    counts = {colour: sum(measurement.colour == colour for measurement in decision.verdicts) for colour in _WORDS}
    return (
        f"{len(decision.verdicts)} settings as bars from floor to ceiling of re-identification against utility kept: "
        f"{counts['green']} green, {counts['red']} red, {counts['grey']} grey. The table below has the numbers."
    )


def _head(settings: DefendSettings, decision: "Decision") -> tuple[str, ...]:
    measures = [name for name in MEASURES if name in decision.sweep.raw.utility]
    k = settings.asked.k
    top = (f"top-{k} at least", f"top-{k} at most", *(() if k == 1 else ("top-1 at most",)))
    return (*top, "strongest attacker", *measures, "identified bits", "bits", "notes")


def _rows(settings: DefendSettings, decision: "Decision") -> list[Row]:
    measures = [name for name in MEASURES if name in decision.sweep.raw.utility]
    rows = []
    for number, (measurement, verdict) in enumerate(_pairs(decision)):
        word = _USELESS if verdict.colour == "grey" and verdict.policy_met else _WORDS[verdict.colour]
        cells = (
            _share(verdict.floor),
            "no ceiling known" if verdict.ceiling is None else _share(verdict.ceiling),
            *(() if settings.asked.k == 1 else (_share(measurement.ceilings.get(1)),)),
            verdict.attacker or "none tried",
            *(_interval(measurement.utility.get(name), measurement.kept.get(name)) for name in measures),
            _bits(measurement.identified),
            "" if measurement.bits is None else f"{measurement.bits:g}",
            "; ".join((verdict.reason, *measurement.notes)),
        )
        rows.append(Row(number, verdict.colour, measurement.label, word, cells, measurement is decision.recommended))
    return rows


def _bits(identified: Interval | None) -> str:
    return "" if identified is None else f"{identified.mean:.1f} [{identified.low:.1f}, {identified.high:.1f}]"


def _share(value: float | None) -> str:
    return "" if value is None else f"{percent(value)}\u00a0%"


def _interval(interval: Interval | None, kept: Interval | None) -> str:
    if interval is None:
        return ""
    cell = f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    return cell if kept is None else f"{cell}, kept {100 * kept.mean:.0f}\u00a0%"


def _facts(settings: DefendSettings, inputs: Inputs, decision: "Decision", measure: str) -> tuple[tuple[str, str], ...]:
    labelled = [
        side
        for side, labels in (("private", inputs.private_labels), ("public", inputs.public_labels))
        if labels is not None
    ]
    return (
        ("demanded", f"{settings.asked}" + (f"; {settings.kept}" if settings.kept else "; no utility")),
        ("private vectors", f"{len(inputs.private):,} of {inputs.width:,} numbers; galleries of {inputs.gallery:,}"),
        (
            "public vectors",
            f"{len(inputs.public):,}; defences are fitted on {len(inputs.fit_rows):,} of them, and probes, "
            f"neighbours and attackers learn from {len(inputs.learn_rows):,}",
        ),
        (
            "classes",
            f"known on the {' and the '.join(labelled)} side" if labelled else "unknown: class utility is not measured",
        ),
        ("strengths", f"1 rms is {inputs.units['rms']:.4g} a number, 1 median {inputs.units['median']:.4g} in length"),
        ("compared by", NAMES[measure]),
        ("seed", str(settings.seed)),
        *(
            (("left out", "; ".join(f"{label}: {why}" for label, why in decision.sweep.left_out.items())),)
            if decision.sweep.left_out
            else ()
        ),
        *((("notes", "; ".join(inputs.notes)),) if inputs.notes else ()),
    )


def _sheet(sheet: Shown) -> dict[str, Any]:
    return {
        "label": sheet.label,
        "attack": sheet.attack,
        "originals": _image(sheet.originals),
        "reconstructions": _image(sheet.reconstructions),
        "count": len(sheet.originals),
    }


def _image(images: np.ndarray) -> str:
    """Return images side by side as a PNG data URI."""
    row = Image.fromarray(np.concatenate(list(images), axis=1))
    side = images.shape[1]
    if side > _LARGEST:
        row = row.resize((row.width * _LARGEST // side, _LARGEST))
    out = io.BytesIO()
    row.save(out, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
