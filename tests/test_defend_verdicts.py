"""The verdict fails closed: whatever is missing, not finite or contradictory makes no setting pass."""

import math
from dataclasses import replace

import pytest
from defend_vectors import interval, measured
from hypothesis import given
from hypothesis import strategies as st

from featinv.defend.measurement import Measurement
from featinv.defend.policy import Keep, Policy
from featinv.defend.verdicts import judge, recommended

POLICY, KEEP = Policy(10, 0.1), Keep("probe", 0.98)


def test_the_three_verdicts() -> None:
    assert judge(measured(), POLICY, KEEP).colour == "green"
    assert judge(measured(ceiling=0.5, floor=0.11), POLICY, KEEP).colour == "red"
    assert judge(measured(ceiling=0.5, floor=0.04), POLICY, KEEP).colour == "grey"
    useless = judge(measured(kept=0.9), POLICY, KEEP)
    assert (useless.colour, useless.policy_met, useless.utility_met) == ("grey", True, False)


@given(
    st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -0.1, 1.1]) | st.none(),
    st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -0.1, 1.1]),
    st.floats(0, 2) | st.sampled_from([math.nan, -math.inf, math.inf]),
)
def test_green_says_exactly_what_the_numbers_say(ceiling: float | None, floor: float, kept: float) -> None:
    verdict = judge(measured(ceiling=ceiling, floor=floor, kept=kept), POLICY, KEEP)
    sound = all(value is not None and math.isfinite(value) for value in (ceiling, floor, kept))
    assert (verdict.colour == "green") == (
        sound and ceiling is not None and 0 <= ceiling <= 0.1 and kept >= 0.98 and 0 <= floor <= ceiling + 1e-9
    )
    if verdict.colour == "red":
        assert 0.1 < floor <= 1


@pytest.mark.parametrize(
    "broken",
    [
        replace(measured(), ceilings={}),
        replace(measured(), ceilings={10: None}),
        replace(measured(), kept={}),
        replace(measured(), kept={"recall@10": interval(1.0, 1.0, 1.0)}),
        replace(measured(), kept={"probe": interval(math.nan, 1.0, 1.0)}),
        replace(measured(), attacks={"attacker": {10: interval(math.nan, 0.02, 0.02)}}),
    ],
    ids=["no ceiling", "unknown ceiling", "no utility", "another utility", "NaN utility", "NaN attack"],
)
def test_what_is_missing_never_passes(broken: Measurement) -> None:
    assert judge(broken, POLICY, KEEP).colour == "grey"


def test_without_a_demand_utility_does_not_matter_but_the_ceiling_does() -> None:
    assert judge(replace(measured(), kept={}), POLICY, None).colour == "green"
    assert judge(measured(ceiling=None), POLICY, None).colour == "grey"


def test_an_attack_alone_never_makes_a_setting_green() -> None:
    assert judge(measured(ceiling=None, floor=0.0), POLICY, None).reason == "no ceiling known"


def test_a_floor_above_its_ceiling_is_a_defect_and_no_pass() -> None:
    verdict = judge(measured(ceiling=0.05, floor=0.09), POLICY, KEEP)
    assert verdict.colour == "grey"
    assert "one of them is wrong" in verdict.reason


def test_most_utility_is_recommended_and_of_equals_the_lower_ceiling() -> None:
    settings = [
        measured(label="red", ceiling=1.0, floor=0.9, kept=1.1),
        measured(label="useful", kept=1.0),
        measured(label="useful and lower", kept=1.0, ceiling=0.05),
        measured(label="less", kept=0.985, ceiling=0.02, floor=0.01),
    ]
    verdicts = [judge(one, POLICY, KEEP) for one in settings]
    chosen = recommended(settings, verdicts, "probe")
    assert chosen is not None
    assert chosen.label == "useful and lower"
    assert recommended(settings[:1], verdicts[:1], "probe") is None
