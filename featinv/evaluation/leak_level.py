"""The leak level of a scoreboard: its thresholds, its record, and the sentence that states it."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featinv.errors import BadInput
from featinv.evaluation.attack_score import AttackScore, interval_json
from featinv.evaluation.intervals import Interval

NOT_MEASURED = "not measured"
NOT_SHOWN = "not shown"
LEVELS = {"L1": "class", "L2": "appearance", "L3": "identifying", "L4": "recognisable"}
_WIDTH = 120
_ORDER = (NOT_SHOWN, *LEVELS)


@dataclass(frozen=True)
class Thresholds:
    """Where a level begins. They are a policy of this package; state yours when you change them.

    class_excess: L1, label agreement above that of mismatched features. within_class_auc: L2, share of the other images
    of its class that a reconstruction is farther from than from its original. identifying_top1, recognisable_top1: L3
    and L4, top-1 re-identification among `gallery` candidates, or among all where these are fewer; never less than
    `times_chance` times what guessing finds. alpha: how often any level may be shown by chance, one-sided (0.025 is the
    lower bound of a 95 % interval), after correction for all attacks and levels.
    """

    class_excess: int | float = 0.0
    within_class_auc: int | float = 0.5
    identifying_top1: int | float = 0.05
    recognisable_top1: int | float = 0.5
    gallery: int = 1000
    times_chance: int | float = 50
    alpha: float = 0.025

    def __post_init__(self) -> None:
        for name in ("class_excess", "within_class_auc", "identifying_top1", "recognisable_top1"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"{name}: expected a share from 0 to below 1, got {getattr(self, name)}")
        if self.identifying_top1 > self.recognisable_top1:
            raise BadInput(
                f"identifying_top1: expected at most recognisable_top1 ({self.recognisable_top1}), "
                f"got {self.identifying_top1}"
            )
        if self.gallery < 2 or self.times_chance < 1 or not 0 < self.alpha < 0.5:
            raise BadInput(
                f"thresholds: expected gallery >= 2, times_chance >= 1 and 0 < alpha < 0.5, "
                f"got {self.gallery}, {self.times_chance} and {self.alpha}"
            )


@dataclass(frozen=True)
class Evidence:
    """How one row stands to one level, in the view (judge or treatment) that is weakest for it.

    `value` is what the criterion asks of (its `chance` where nothing leaks), `threshold` what it must exceed; `p` is
    one-sided and `p_corrected` is held against alpha.
    """

    row: str
    level: str
    view: str
    value: Interval
    threshold: float
    p: float
    p_corrected: float
    shown: bool


@dataclass(frozen=True)
class LeakLevel:
    """The highest level that is shown, with a sentence to quote, the budget under which it holds, and what is untried.

    `level` is "L1" to "L4", "not shown", or "not measured" where no independent judge stood first.
    `minimum_detectable_effect` says for each level which value these images would have shown with 80 % power.
    """

    level: str
    row: str | None
    sentence: str
    budget: str
    not_tried: tuple[str, ...]
    minimum_detectable_effect: dict[str, float]
    evidence: tuple[Evidence, ...]
    thresholds: Thresholds
    named: str | None = None

    def __str__(self) -> str:
        title = f"Level {self.level} ({LEVELS[self.level]})" if self.level in LEVELS else f"Level: {self.level}"
        untried = f"Not tried: {'; '.join(self.not_tried)}."
        paragraphs = (f"{title}. {self.sentence}", f"Budget: {self.budget}.", untried)
        return "\n".join(textwrap.fill(paragraph, _WIDTH) for paragraph in paragraphs)

    def exceeds(self, limit: str) -> bool:
        """Say whether more leaks than `limit` ("not shown" or "L1" to "L4") allows.

        Raises BadInput for another limit, and where the level was not measured.
        """
        if limit not in _ORDER:
            raise BadInput(f"max level: expected one of {', '.join(_ORDER)}, got {limit!r}")
        if self.level == NOT_MEASURED:
            raise BadInput(f"level: not measured, so that it cannot be held against {limit!r}; {self.sentence}")
        return _ORDER.index(self.level) > _ORDER.index(limit)

    def as_json(self) -> dict[str, Any]:
        """Return the level in the public shape of `scoreboard.json`."""
        shape = dataclasses.asdict(self)
        evidence = [{**dataclasses.asdict(entry), "value": interval_json(entry.value)} for entry in self.evidence]
        return {**shape, "not_tried": list(self.not_tried), "evidence": evidence}


def read_level(shape: dict[str, Any]) -> LeakLevel:
    """Return the level that `as_json` wrote. Raises KeyError, TypeError or ValueError where a part is missing."""
    if shape["level"] not in (*_ORDER, NOT_MEASURED):
        raise ValueError(f"level {shape['level']!r}")
    fields = {field.name for field in dataclasses.fields(Thresholds)}
    return LeakLevel(
        level=shape["level"],
        row=shape["row"],
        sentence=str(shape["sentence"]),
        budget=str(shape["budget"]),
        not_tried=tuple(str(line) for line in shape["not_tried"]),
        minimum_detectable_effect={
            str(level): float(value) for level, value in shape["minimum_detectable_effect"].items()
        },
        evidence=tuple(_evidence(entry) for entry in shape["evidence"]),
        thresholds=Thresholds(**{name: value for name, value in shape["thresholds"].items() if name in fields}),
        named=shape.get("named"),
    )


def _evidence(shape: dict[str, Any]) -> Evidence:
    value = shape["value"]
    interval = Interval(value["mean"], value["low"], value["high"], value["n"], value.get("chance"))
    return Evidence(
        row=str(shape["row"]),
        level=str(shape["level"]),
        view=str(shape["view"]),
        value=interval,
        threshold=float(shape["threshold"]),
        p=float(shape["p"]),
        p_corrected=float(shape["p_corrected"]),
        shown=bool(shape["shown"]),
    )


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
    public_images = f"{public['count']:,} public images" if public else "public images not stated"
    tried = ", ".join(f"{row.name} ({row.parameters:,} parameters, {_time(row)})" for row in rows)
    return f"{public_images}; {protocol['private']['count']:,} private images; {tried}"


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
        f"From these vectors {best.row!r} reconstructs images from which a judge identifies the original among "
        f"{among:,} candidates (top-1) for {surely}{view}, against {chance} % by guessing: level {best.level}, "
        f"{LEVELS[best.level]}."
    )


def _nothing(effects: Mapping[str, float], protocol: Mapping[str, Any], rows: Sequence[AttackScore]) -> str:
    could = []
    if "L1" in effects:
        could.append(f"a kind recognised for {_percent(effects['L1'])} % of images")
    if "L2" in effects:
        could.append(f"images more like their original than like {_percent(effects['L2'])} % of its kind")
    if "L3" in effects:
        could.append(f"top-1 re-identification of {_percent(effects['L3'])} %")
    detectable = f" {', or '.join(could)}, would have been detectable with 80 % power" if could else " nothing is known"
    return (
        f"No leak was shown by the {len(rows)} controls and attacks tried. "
        f"With {protocol['private']['count']:,} private images{detectable}. "
        "That is no proof of anonymity: smaller leaks and stronger attacks remain possible."
    )


def _time(row: AttackScore) -> str:
    return f"{row.seconds:,.0f} s" if "fit" in row.seconds_by else "time to fit not stated"


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"
