"""The verdict on a setting. It fails closed: a number that is missing or not finite never makes a setting pass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from featinv.defend.measurement import Measurement
from featinv.defend.policy import Keep, Policy, percent
from featinv.evaluation import Interval

Colour = Literal["green", "red", "grey"]
SLACK = 1e-9
"""rounding by which a floor may exceed its ceiling"""


@final
@dataclass(frozen=True)
class Verdict:
    """What a setting is, and why.

    `green`: no attack can exceed the policy (upper limit of the ceiling), and what is demanded of utility is kept
    (lower limit). `red`: an attacker exceeds the policy (lower limit). `grey`: neither is known. `floor` is the lower
    limit of the strongest attacker, None where none was tried; `ceiling` the upper limit, None where none is known.
    """

    label: str
    colour: Colour
    reason: str
    floor: float | None
    attacker: str | None
    ceiling: float | None
    policy_met: bool
    utility_met: bool | None


def judge(measured: Measurement, policy: Policy, keep: Keep | None) -> Verdict:
    """Return the verdict on one setting; `keep` None demands no utility."""
    broken = _broken(measured, policy)
    floor, attacker = _floor(measured, policy)
    ceiling = measured.ceilings.get(policy.k)
    ceiling = ceiling if ceiling is not None and _is_share(ceiling) else None
    useful, utility_reason = _utility(measured, keep)
    met = not broken and ceiling is not None and ceiling <= policy.share

    def verdict(colour: Colour, reason: str) -> Verdict:
        return Verdict(measured.label, colour, reason, floor, attacker, ceiling, met, useful)

    if broken:
        return verdict("grey", broken)
    if floor is not None and floor > policy.share:
        return verdict("red", f"{attacker} finds at least {percent(floor)} %")
    if ceiling is None:
        return verdict("grey", "no ceiling known")
    if not met:
        return verdict("grey", f"at most {percent(ceiling)} % can be found; no attacker tried exceeds the policy")
    if useful is False:
        return verdict("grey", f"meets the policy, but {utility_reason}")
    return verdict("green", f"at most {percent(ceiling)} % can be found; {utility_reason}")


def recommended(measured: Sequence[Measurement], verdicts: Sequence[Verdict], measure: str) -> Measurement | None:
    """Return the green setting that keeps most of `measure`; of equal ones that with the lower ceiling."""
    green = [
        (measurement, verdict)
        for measurement, verdict in zip(measured, verdicts, strict=True)
        if verdict.colour == "green"
    ]

    def rank(pair: tuple[Measurement, Verdict]) -> tuple[float, float]:
        kept = pair[0].kept.get(measure)
        ceiling = pair[1].ceiling
        usable = kept is not None and math.isfinite(kept.mean)
        return (-kept.mean if kept is not None and usable else math.inf, 1.0 if ceiling is None else ceiling)

    return min(green, key=rank)[0] if green else None


def _broken(measured: Measurement, policy: Policy) -> str:
    """Return what contradicts itself, or nothing."""
    for name, rates in measured.attacks.items():
        rate = rates.get(policy.k)
        if rate is not None and not all(_is_share(value) for value in (rate.mean, rate.low, rate.high)):
            return f"{name} was not measured: {rate.mean}"
    upper = measured.ceilings.get(policy.k)
    if upper is not None and not _is_share(upper):
        return f"the ceiling was not measured: {upper}"
    floor, attacker = _floor(measured, policy)
    if upper is not None and floor is not None and floor > upper + SLACK:
        return f"{attacker} exceeds the ceiling ({percent(floor)} % against {percent(upper)} %): one of them is wrong"
    return ""


def _floor(measured: Measurement, policy: Policy) -> tuple[float | None, str | None]:
    lows = {name: rates[policy.k].low for name, rates in measured.attacks.items() if policy.k in rates}
    lows = {name: low for name, low in lows.items() if _is_share(low)}
    if not lows:
        return None, None
    strongest = max(lows, key=lambda name: lows[name])
    return lows[strongest], strongest


def _utility(measured: Measurement, keep: Keep | None) -> tuple[bool | None, str]:
    if keep is None:
        return None, "no utility is demanded"
    kept: Interval | None = measured.kept.get(keep.measure)
    if kept is None or not all(math.isfinite(value) for value in (kept.mean, kept.low, kept.high)):
        return False, f"{keep.measure} was not measured"
    if not kept.low >= keep.share:
        return False, f"{keep.measure} is kept to {percent(kept.mean)} % (at least {percent(kept.low)} %)"
    return True, f"{keep.measure} is kept to at least {percent(kept.low)} %"


def _is_share(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= 1
