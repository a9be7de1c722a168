"""The floor that attacks show and the ceiling that none can exceed: in one sentence, and as spans to draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from featinv.evaluation.attack_score import WITHOUT_IMAGES, AttackScore
from featinv.evaluation.reidentification import chance_top

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
    lows = _floors(protocol, rows, K, size)
    if ceiling is None or not lows:
        return ""
    name = row if row in lows else max(lows, key=lambda each: lows[each])
    floor = f"at least {_percent(lows[name])} % (by {name!r})"
    limit = _upper(ceiling, K, size)
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


@final
@dataclass(frozen=True)
class Span:
    """Top-k re-identification among `size` candidates, from the floor to the ceiling; shares from 0 to 1.

    `floor` is the lower limit of the strongest reconstruction, `attack`, to the weakest judge, `ceiling` the upper
    limit for any attack on one vector at a time (None: none is known).
    """

    k: int
    size: int
    floor: float
    attack: str
    ceiling: float | None
    chance: float

    @property
    def heading(self) -> str:
        """What is counted."""
        return f"top-{self.k} of {self.size:,}"


def spans(protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> tuple[Span, ...]:
    """Return top-1 and top-10 in every gallery of a board; none for a board without the key "ceiling"."""
    ceiling = protocol.get("ceiling")
    if ceiling is None:
        return ()
    drawn = [row for row in rows if row.role not in WITHOUT_IMAGES]
    every = []
    for size in sorted({int(protocol["gallery"]), *(int(size) for size in protocol.get("galleries", ()))}):
        for k in (1, K):
            lows = _floors(protocol, drawn, k, size)
            if k < size and lows:
                best = max(lows, key=lambda name: lows[name])
                every.append(Span(k, size, lows[best], best, _upper(ceiling, k, size), chance_top(k, size)))
    return tuple(every)


def _floors(protocol: Mapping[str, Any], rows: Sequence[AttackScore], k: int, size: int) -> dict[str, float]:
    """Return each row's lower limit: in the whole gallery to the weakest independent judge, else to the first."""
    judges = ["", *(judge["name"] for judge in protocol.get("judges", ())[1:] if not judge["sibling"])]
    views = judges if size == int(protocol["gallery"]) else [f"gallery {size}"]
    lows = {}
    for row in rows:
        reached = [row.interval(f"reid_top{k}/{view}".rstrip("/")) for view in views]
        limits = [interval.low for interval in reached if interval is not None]
        if limits:
            lows[row.name] = min(limits)
    return lows


def _upper(ceiling: Mapping[str, Any], k: int, size: int) -> float | None:
    limits = [row["high"] for row in ceiling["rates"] if (row["k"], row["size"]) == (k, size)]
    limits += [row["value"] for row in ceiling["bounds"] if (row["k"], row["size"]) == (k, size)]
    return min(limits, default=None)


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if 100 * share < 1 else f"{100 * share:.1f}".removesuffix(".0")
