"""A scoreboard in a notebook: an HTML table, and a pandas frame."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from featinv.errors import BadInput
from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.table import number

COLUMNS = ("row", "kind", "role", "view", "metric", "mean", "low", "high", "n", "chance")
"""Columns of the frame; `view` is empty for the first judge and the whole gallery, and `chance` None where unknown."""


def as_html(protocol: dict[str, Any], attacks: Sequence[AttackScore], sentence: str) -> str:
    """Return the main table as HTML without style or script, controls first, and the sentence of the level."""
    metrics = Catalogue.of(protocol).at("table")
    header = "".join(f"<th>{escape(metric.column)}</th>" for metric in metrics)
    rows = []
    for row in attacks:
        cells = "".join(f"<td>{escape(number(row.metrics.get(item.name), item.factor))}</td>" for item in metrics)
        rows.append(f"<tr><th>{escape(row.name)}</th><td>{escape(row.kind)}</td>{cells}</tr>")
    table = f"<table><thead><tr><th></th><th>kind</th>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{table}<p>{escape(sentence)}</p>" if sentence else table


def records(attacks: Sequence[AttackScore]) -> Iterator[tuple[Any, ...]]:
    """Yield one tuple of `COLUMNS` for each number of each row in each view."""
    for row in attacks:
        for view, metrics in (("", row.metrics), *row.metrics_by.items()):
            for name, item in metrics.items():
                numbers = (item.mean, item.low, item.high, item.n, item.chance)
                yield (row.name, row.kind, row.role, view, name, *numbers)


def as_frame(attacks: Sequence[AttackScore]) -> Any:
    """Return the numbers as a pandas frame; raises BadInput where pandas is missing."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise BadInput("to_frame: expected pandas, but it is missing; install it with pip install pandas") from error
    return pandas.DataFrame.from_records(list(records(attacks)), columns=list(COLUMNS))
