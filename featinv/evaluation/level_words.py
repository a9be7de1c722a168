"""The level of a leak in sentences that can be quoted."""

from collections.abc import Mapping, Sequence
from typing import Any

from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.leak_level import LEVELS, NOT_MEASURED, Evidence

_AT_LEAST = "At least this much leaks under this budget; a stronger attack may show more."
_UNTRIED = (
    "people as judges",
    "more public pictures, more training or other attacks than the budget names",
    "several releases of the same pictures",
)


def sentence(
    level: str,
    best: Evidence | None,
    smallest: Mapping[str, float],
    protocol: Mapping[str, Any],
    rows: Sequence[AttackScore],
) -> str:
    """Return the verdict in words: what was shown and how surely, or what would have been."""
    if level == NOT_MEASURED:
        return "Nothing can be said: there is no independent judge in front, or no numbers of its for these rows."
    if best is None:
        return _nothing(smallest, protocol, rows)
    return f"{_shown(best, protocol)} {_AT_LEAST}"


def budget(protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> str:
    """Return what the level holds under: pictures, attacks, parameters and time as far as known."""
    public = protocol.get("public")
    known = f"{public['count']:,} public pictures" if public else "public pictures not stated"
    tried = ", ".join(f"{row.name} ({row.parameters:,} parameters, {_time(row)})" for row in rows)
    return f"{known}; {protocol['private']['count']:,} private pictures; {tried}"


def not_tried(protocol: Mapping[str, Any], named: str | None) -> tuple[str, ...]:
    """Return what would have to be tried before anybody could say more."""
    lines = list(_UNTRIED)
    lines.append(_unread(tuple(protocol.get("attributes") or ())))
    independent = [judge["name"] for judge in protocol.get("judges", ()) if not judge["sibling"]]
    if len(independent) < 2:
        lines.append("a second independent judge")
    if protocol.get("clusters") is None:
        lines.append("counting pictures of one person as one (no clusters were given)")
    if named is None:
        lines.append("an attack named beforehand (the level is corrected for all of them)")
    return tuple(lines)


def _unread(attributes: Sequence[str]) -> str:
    if not attributes:
        return "reading attributes from the vectors without any picture"
    read = ", ".join(attributes) if len(attributes) <= 3 else f"the {len(attributes)} measured ones"
    return f"reading other attributes than {read} from the vectors"


def _shown(best: Evidence, protocol: Mapping[str, Any]) -> str:
    value = best.value
    mean, low, chance = (_percent(part) for part in (value.mean, value.low, value.chance or 0.0))
    surely = f"{mean} % of pictures (at least {low} %, with 95 % confidence)"
    view = f", in the weakest view ({best.view})" if best.view else ""
    if best.level == "L1":
        return (
            f"From these vectors {best.row!r} makes pictures whose kind a judge recognises for {surely}{view}, "
            f"against {chance} % from the vectors of other pictures."
        )
    if best.level == "L2":
        return (
            f"From these vectors {best.row!r} makes pictures that look more like their own original than like {mean} % "
            f"(at least {low} %, with 95 % confidence) of the other pictures of its kind{view}, against 50 % by chance."
        )
    among = round(1 / value.chance) if value.chance else protocol["gallery"]
    return (
        f"From these vectors {best.row!r} makes pictures by which the original is found first among {among:,} "
        f"candidates for {surely}{view}, against {chance} % by guessing: level {best.level}, {LEVELS[best.level]}."
    )


def _nothing(smallest: Mapping[str, float], protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> str:
    could = []
    if "L1" in smallest:
        could.append(f"a kind recognised for {_percent(smallest['L1'])} % of pictures")
    if "L2" in smallest:
        could.append(f"pictures more like their original than like {_percent(smallest['L2'])} % of its kind")
    if "L3" in smallest:
        could.append(f"originals found first for {_percent(smallest['L3'])} %")
    found = f" {', or '.join(could)}, would have been found in four studies of five" if could else " nothing is known"
    return (
        f"No leak was shown by the {len(rows)} controls and attacks tried. "
        f"With {protocol['private']['count']:,} private pictures{found}. "
        "That is no proof of anonymity: smaller leaks and stronger attacks remain possible."
    )


def _time(row: AttackScore) -> str:
    return f"{row.seconds:,.0f} s" if "fit" in row.seconds_by else "time to fit not stated"


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"
