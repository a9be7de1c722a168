"""What a release must satisfy: what is read equals what was written, and the rest is refused."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import featinv as fi
from featinv.defend.policy import MEASURES, Keep, Policy, percent

SHARES = st.integers(1, 9999).map(lambda number: number / 10_000)


@given(st.integers(1, 999_999), SHARES, st.sampled_from(["top{}<={}%", "TOP{} <= {} %", "top-{}≤{}%"]))
def test_a_policy_is_read_as_it_is_written(k: int, share: float, form: str) -> None:
    policy = Policy.parse(form.format(k, 100 * share))
    assert policy.k == k
    assert math.isclose(policy.share, share, rel_tol=1e-9)
    assert Policy.parse(str(policy)).k == k
    assert math.isclose(Policy.parse(str(policy)).share, share, rel_tol=1e-5)


@given(st.sampled_from(MEASURES), SHARES)
def test_a_demand_on_utility_is_read_as_it_is_written(measure: str, share: float) -> None:
    assert Keep.parse(str(Keep(measure, share))) == Keep(measure, float(f"{100 * share:g}") / 100)
    assert Keep.parse(f"{share}") == Keep("probe", share)


@given(st.text(max_size=12))
def test_other_text_is_refused_or_means_a_share(text: str) -> None:
    for kind in (Policy, Keep):
        with contextlib.suppress(fi.BadInput):
            found = kind.parse(text)
            assert found is None or 0 < found.share <= 1


@pytest.mark.parametrize(
    "text", ["", "top10", "top0<=10%", "top10<=0%", "top10<=100%", "top10<=nan%", "top10<=inf", "top10>=10%", "10%"]
)
def test_a_policy_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(fi.BadInput, match=r"^--policy: expected topK<=P%"):
        Policy.parse(text)


@pytest.mark.parametrize("text", ["", "0%", "101%", "nan", "accuracy>=90%", "probe<=90%", "recall@10"])
def test_a_demand_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(fi.BadInput, match=r"^--keep: expected P% or MEASURE>=P%"):
        Keep.parse(text)


def test_no_demand_is_said_by_name() -> None:
    assert Keep.parse("none") is None


@given(st.integers(1, 50), st.integers(2, 2000), SHARES)
def test_a_policy_below_chance_is_refused(k: int, size: int, share: float) -> None:
    policy = Policy(k, share)
    if k / size > share:
        with pytest.raises(fi.BadInput, match="cannot be met"):
            policy.check_gallery(size)
    else:
        policy.check_gallery(size)


def test_percent_tells_small_shares_apart() -> None:
    assert [percent(share) for share in (0.0032, 0.245, 1.0, 0.0)] == ["0.32", "24.5", "100", "0"]
