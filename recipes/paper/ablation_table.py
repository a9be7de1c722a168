"""The ablations' table: one row an attack and release, with its difference from the row that it is an ablation of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation_cases import ANY_SHAPE, PAPER, Case

import featinv as fi

if TYPE_CHECKING:
    from featinv.evaluation import AttackScore, Scoreboard

HEAD = ("px", "layer", "attack", "parameters", "PSNR dB", "agreement %", "top-10 %", "fit s", "PSNR minus", "fit time")
NOTES = """\
- Rows in italics are controls. PSNR of different sizes does not compare: look at each size's own controls.
- Last two columns: PSNR minus that of the row that is named, image by image, and the time to fit as a multiple of
  its time (of this machine, as busy as it was).
- The paper's decoder is `listik 3x3`, trained with Adadelta on raw vectors. Layers are compared with `upsampling` and
  AdamW on standardised features: it takes any shape, where Listik takes only vectors that 16 divides.
- One training each: the intervals (95 %) are over images, not over trainings.
- At least this much leaks under this budget; a longer training may order the rows otherwise."""


def rows_of(boards: "Mapping[Case, Scoreboard]", pooled: str) -> list[dict[str, Any]]:
    """One row an attack or control of each release, the mean image once a size, linkage (no images) not at all."""
    rows = []
    for case, board in boards.items():
        for row in board.attacks:
            if "psnr" not in row.metrics or (row.name == "mean image" and case.layer != pooled):
                continue
            entry = {"size": case.size, "layer": case.layer, "feature_shape": board.victim["feature_shape"]}
            base = (Case(case.size, pooled), ANY_SHAPE) if row.name == ANY_SHAPE else (case, PAPER)
            if row.kind == "attack" and base != (case, row.name):
                entry["against"] = difference(board, row, boards[base[0]], *base)
            rows.append(entry | row.as_json())
    return rows


def difference(board: "Scoreboard", row: "AttackScore", other: "Scoreboard", case: Case, name: str) -> dict[str, Any]:
    """A row's PSNR minus that of row `name` of the other board, with its interval, and the ratio of training times."""
    ours, theirs = board.per_image[f"{row.name}/psnr"], other.per_image[f"{name}/psnr"]
    psnr = fi.evaluation.paired(ours, theirs, seed=int(board.protocol["seed"]))
    ratio = row.seconds_by["fit"] / other[name].seconds_by["fit"]
    return {"layer": case.layer, "name": name, "psnr": asdict(psnr), "fit_time": ratio}


def written(
    file: Path, rows: Sequence[dict[str, Any]], boards: "Mapping[Case, Scoreboard]", budget: str, command: str
) -> str:
    """Write the table as Markdown, and return it."""
    protocol = next(iter(boards.values())).protocol
    judge, chance = protocol["judges"][0], rows[0]["metrics"]["reid_top10"]["chance"]
    heading = (
        f"`{command}` (all settings: run.json): {protocol['private']['count']} private images, {budget}; judged by "
        f"{judge['name']} (family {judge['family']}, trained on {judge['trained_on']}). "
        f"Top-10 by chance: {100 * chance:.1f} %."
    )
    table = [line(HEAD), line(["---"] * len(HEAD)), *(line(cells(row)) for row in rows)]
    text = "\n".join([heading, "", *table, "", NOTES, ""])
    with fi.files.atomic_file(file) as temporary:
        temporary.write_text(text)
    return text


def line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def cells(row: Mapping[str, Any]) -> list[str]:
    metrics, against, seconds = row["metrics"], row.get("against"), row["seconds_by"].get("fit")
    attack = row["kind"] == "attack"
    return [
        str(row["size"]),
        f"{row['layer']} ({'x'.join(map(str, row['feature_shape']))})",
        row["name"] if attack else f"*{row['name']}*",
        f"{row['parameters']:,}" if attack else "",
        number(metrics["psnr"], ".2f"),
        *(number(metrics.get(name), ".1f", 100) for name in ("judge_agreement", "reid_top10")),
        "" if seconds is None else f"{seconds:.1f}",
        f"{against['name']} ({against['layer']}): {number(against['psnr'], '+.2f')}" if against else "",
        f"x {against['fit_time']:.2f}" if against else "",
    ]


def number(interval: Mapping[str, float] | None, form: str, factor: int = 1) -> str:
    """Return "12.72 [12.65, 12.79]"; nothing for what was not measured."""
    if interval is None:
        return ""
    mean, low, high = (format(factor * interval[name], form) for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"
