"""The floor that attacks show and the ceiling that none can exceed, in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from featinv.evaluation.attack_score import AttackScore

UNKNOWN = "no ceiling known"
GALLERY = 1000
"""Candidates of which the sentence speaks, where there are more."""
K = 10


def floor_and_ceiling(protocol: Mapping[str, Any], rows: Sequence[AttackScore], row: str | None) -> str:
    """Return "At least a % and at most b % of 1,000 can be found": the floor of `row`, or of the best, and the ceiling.

    Both are top-10 re-identification among 1,000 candidates (all, where these are fewer): the lower limit of what the
    row shows, in the whole gallery to the weakest judge, and the upper limit of what any attack on one vector at a time
    could. An empty text for a board without the key "ceiling" (of an older version), and where nothing was ranked.
    """
    ceiling = protocol.get("ceiling")
    count = int(protocol["gallery"])
    size = min(GALLERY, count) if count <= GALLERY or GALLERY in protocol.get("galleries", ()) else count
    judges = ["", *(judge["name"] for judge in protocol.get("judges", ())[1:] if not judge["sibling"])]
    keys = [f"reid_top{K}/{view}".rstrip("/") for view in (judges if size == count else [f"gallery {size}"])]
    floors = {row.name: _floor(row, keys) for row in rows}
    lows = {name: low for name, low in floors.items() if low is not None}
    if ceiling is None or not lows:
        return ""
    name = row if row in lows else max(lows, key=lambda each: lows[each])
    floor = f"at least {_percent(lows[name])} % (by {name!r})"
    limit = _upper(ceiling, size)
    if limit is None:
        return f"Of {size:,} candidates the original is among the first ten for {floor} of images; {UNKNOWN}."
    return (
        f"Of {size:,} candidates the original is among the first ten for {floor} of images, and for at most "
        f"{_percent(limit)} % whatever attack is made on one vector at a time."
    )


def check_ceiling(ceiling: Mapping[str, Any] | None) -> None:
    """Raise KeyError, TypeError or ValueError unless a ceiling that was read has the shape of `Ceiling.as_json`."""
    if ceiling is None:
        return
    for key, name in (("rates", "high"), ("bounds", "value")):
        for row in ceiling[key]:
            if not 0 <= float(row[name]) <= 1 or int(row["k"]) < 1 or int(row["size"]) < 1:
                raise ValueError(f"ceiling: {row}")


def _floor(row: AttackScore, keys: Sequence[str]) -> float | None:
    lows = [interval.low for key in keys if (interval := row.interval(key)) is not None]
    return min(lows, default=None)


def _upper(ceiling: Mapping[str, Any], size: int) -> float | None:
    limits = [row["high"] for row in ceiling["rates"] if (row["k"], row["size"]) == (K, size)]
    limits += [row["value"] for row in ceiling["bounds"] if (row["k"], row["size"]) == (K, size)]
    return min(limits, default=None)


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if 100 * share < 1 else f"{100 * share:.1f}".removesuffix(".0")
