"""The level of a leak in sentences that can be quoted."""

from collections.abc import Mapping, Sequence
from typing import Any

from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.leak_level import LEVELS, NOT_MEASURED, Evidence

_AT_LEAST = "At least this much leaks under this budget; a stronger attack may show more."
_UNTRIED = (
    "people as judges",
    "more public images, more training or other attacks than the budget names",
    "several releases of the same images",
)


def sentence(
    level: str,
    best: Evidence | None,
    effects: Mapping[str, float],
    protocol: Mapping[str, Any],
    rows: Sequence[AttackScore],
) -> str:
    """Return the verdict in words: what was shown and how surely, or what would have been."""
    if level == NOT_MEASURED:
        return "Nothing can be said: there is no independent judge in front, or no numbers of its for these rows."
    if best is None:
        return _nothing(effects, protocol, rows)
    return f"{_shown(best, protocol)} {_AT_LEAST}"


def budget(protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> str:
    """Return what the level holds under: images, attacks, parameters and time as far as known."""
    public = protocol.get("public")
    known = f"{public['count']:,} public images" if public else "public images not stated"
    tried = ", ".join(f"{row.name} ({row.parameters:,} parameters, {_time(row)})" for row in rows)
    return f"{known}; {protocol['private']['count']:,} private images; {tried}"


def not_tried(protocol: Mapping[str, Any], named: str | None) -> tuple[str, ...]:
    """Return what would have to be tried before anybody could say more."""
    lines = list(_UNTRIED)
    lines.append(_unread(tuple(protocol.get("attributes") or ())))
    independent = [judge["name"] for judge in protocol.get("judges", ()) if not judge["sibling"]]
    if len(independent) < 2:
        lines.append("a second independent judge")
    if protocol.get("clusters") is None:
        lines.append("counting images of one person as one (no clusters were given)")
    if named is None:
        lines.append("an attack named beforehand (the level is corrected for all of them)")
    return tuple(lines)


def _unread(attributes: Sequence[str]) -> str:
    if not attributes:
        return "reading attributes from the vectors without any image"
    read = ", ".join(attributes) if len(attributes) <= 3 else f"the {len(attributes)} measured ones"
    return f"reading other attributes than {read} from the vectors"


def _shown(best: Evidence, protocol: Mapping[str, Any]) -> str:
    value = best.value
    mean, low, chance = (_percent(part) for part in (value.mean, value.low, value.chance or 0.0))
    surely = f"{mean} % of images (at least {low} %, with 95 % confidence)"
    view = f", in the weakest view ({best.view})" if best.view else ""
    if best.level == "L1":
        return (
            f"From these vectors {best.row!r} makes images whose kind a judge recognises for {surely}{view}, "
            f"against {chance} % from the vectors of other images."
        )
    if best.level == "L2":
        return (
            f"From these vectors {best.row!r} makes images that look more like their own original than like {mean} % "
            f"(at least {low} %, with 95 % confidence) of the other images of its kind{view}, against 50 % by chance."
        )
    among = round(1 / value.chance) if value.chance else protocol["gallery"]
    return (
        f"From these vectors {best.row!r} makes images by which the original is found first among {among:,} "
        f"candidates for {surely}{view}, against {chance} % by guessing: level {best.level}, {LEVELS[best.level]}."
    )


def _nothing(effects: Mapping[str, float], protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> str:
    could = []
    if "L1" in effects:
        could.append(f"a kind recognised for {_percent(effects['L1'])} % of images")
    if "L2" in effects:
        could.append(f"images more like their original than like {_percent(effects['L2'])} % of its kind")
    if "L3" in effects:
        could.append(f"originals found first for {_percent(effects['L3'])} %")
    found = f" {', or '.join(could)}, would have been found with 80 % power" if could else " nothing is known"
    return (
        f"No leak was shown by the {len(rows)} controls and attacks tried. "
        f"With {protocol['private']['count']:,} private images{found}. "
        "That is no proof of anonymity: smaller leaks and stronger attacks remain possible."
    )


def _time(row: AttackScore) -> str:
    return f"{row.seconds:,.0f} s" if "fit" in row.seconds_by else "time to fit not stated"


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"
