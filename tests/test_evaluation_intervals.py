"""Intervals against SciPy, and against what they promise: the truth lies inside as often as the level says."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from featinv import BadInput
from featinv.evaluation import bootstrap, excess_risk, paired, wilson
from featinv.evaluation.intervals import bootstrap_all


@pytest.mark.parametrize("name", ["normal", "skewed", "reciprocal ranks"])
def test_bootstrap_agrees_with_scipy(name: str) -> None:
    generator = np.random.default_rng(3)
    values = {
        "normal": generator.normal(12.7, 2.4, size=200),
        "skewed": generator.exponential(1.0, size=60) ** 2,
        "reciprocal ranks": 1 / generator.integers(1, 300, size=300),
    }[name]
    ours = bootstrap(values, resamples=20_000, seed=1)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.n == len(values)
    # Two independent sets of 20,000 resamples leave the ends uncertain by about one hundredth of the width.
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_bootstrap_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for study in range(400):
        interval = bootstrap(generator.gamma(2.0, 1.0, size=60), resamples=800, seed=study)
        inside += interval.low <= 2.0 <= interval.high
    # 95 % minus what 60 skewed values cost; three standard errors of 400 studies are 3.3 points.
    assert 0.91 <= inside / 400 <= 0.98


def test_bootstrap_is_a_function_of_the_seed() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_columns_share_their_resamples_and_equal_the_single_ones() -> None:
    generator = np.random.default_rng(0)
    columns = {"a": generator.normal(size=80), "b": generator.exponential(size=80)}
    together = bootstrap_all(columns, resamples=500, seed=3)
    for name, column in columns.items():
        alone = bootstrap(column, resamples=500, seed=3)
        assert (alone.low, alone.high) == pytest.approx((together[name].low, together[name].high))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = bootstrap(values, resamples=300, seed=1)
    monkeypatch.setattr("featinv.evaluation.resampling._CELLS", 50 * 7)
    monkeypatch.setattr("featinv.evaluation.resampling._KEPT_CELLS", 0)  # else the counts drawn before serve again
    small = bootstrap(values, resamples=300, seed=1)
    assert (small.low, small.high) == pytest.approx((whole.low, whole.high))


@pytest.mark.parametrize("values", [np.full(20, 0.1), np.zeros(7), np.full(5, 100.0, dtype=np.float32)])
def test_equal_values_leave_nothing_uncertain(values: np.ndarray) -> None:
    interval = bootstrap(values, resamples=200)
    assert interval.low == interval.mean == interval.high == pytest.approx(values[0])


def test_bootstrap_refuses_what_has_no_interval() -> None:
    with pytest.raises(BadInput, match="at least 2"):
        bootstrap(np.array([1.0]))
    with pytest.raises(BadInput, match="finite"):
        bootstrap(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(BadInput, match="resamples: expected at least 100, got 0"):
        bootstrap(np.array([1.0, 2.0]), resamples=0)
    with pytest.raises(BadInput, match="level"):
        bootstrap(np.array([1.0, 2.0]), level=95.0)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case: tuple[int, int]) -> None:
    hits, n = case
    ours, theirs = wilson(hits, n), scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (ours.mean, ours.n) == (hits / n, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_at_nothing_found() -> None:
    """0 of 1,000 still allows 0.38 %, z^2 / (n + z^2): the figure that rules out reading 0 as "safe"."""
    z2 = scipy.stats.norm.ppf(0.975) ** 2
    assert wilson(0, 1000).low == 0.0
    assert wilson(0, 1000).high == pytest.approx(z2 / (1000 + z2))
    assert wilson(1000, 1000).high == 1.0


@pytest.mark.parametrize("case", [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(case: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="0 <= hits <= n"):
        wilson(*case)


@pytest.mark.parametrize(
    ("rate", "control", "n"),
    [(0.004, 0.002, 2000), (0.05, 0.05, 500), (0.20, 0.02, 500), (0.9, 0.2, 200), (0.02, 0.3, 500), (0.5, 0.45, 100)],
)
def test_excess_risk_covers_the_truth(rate: float, control: float, n: int) -> None:
    generator = np.random.default_rng(0)
    truth, studies = (rate - control) / (1 - control), 3000
    hits, controls = generator.binomial(n, rate, studies), generator.binomial(n, control, studies)
    inside = 0
    for hit, zero in zip(hits.tolist(), controls.tolist(), strict=True):
        interval = excess_risk(hit, zero, n)
        assert interval.low <= interval.mean <= interval.high
        inside += interval.low <= truth <= interval.high
    assert 0.935 <= inside / studies <= 0.99


def test_excess_risk_is_careful_when_both_find_the_same_images() -> None:
    """Pairing is ignored: where attack and control succeed on the same images, the interval is too wide."""
    generator = np.random.default_rng(1)
    inside, studies, truth = 0, 2000, (0.3 - 0.2) / 0.8
    for _ in range(studies):
        ease = generator.random(300)
        interval = excess_risk(int((ease < 0.3).sum()), int((ease < 0.2).sum()), 300)
        inside += interval.low <= truth <= interval.high
    assert inside / studies > 0.97


@settings(max_examples=200)
@given(st.integers(2, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n - 1), st.just(n))))
def test_excess_risk_is_ordered_and_never_above_one(case: tuple[int, int, int]) -> None:
    hits, control, n = case
    interval = excess_risk(hits, control, n)
    assert interval.low <= interval.mean + 1e-12
    assert interval.mean <= interval.high + 1e-12
    assert interval.high <= 1 + 1e-12
    assert interval.mean == pytest.approx((hits / n - control / n) / (1 - control / n), abs=1e-9)
    assert math.isfinite(interval.low)


def test_excess_risk_at_its_ends() -> None:
    assert excess_risk(50, 50, 100).mean == pytest.approx(0.0)
    assert excess_risk(50, 50, 100).low < 0 < excess_risk(50, 50, 100).high
    assert excess_risk(100, 30, 100).mean == 1.0
    with pytest.raises(BadInput, match="hits all 100"):
        excess_risk(100, 100, 100)


def test_pairs_see_what_separate_intervals_cannot() -> None:
    generator = np.random.default_rng(0)
    hardness = generator.normal(12, 2.5, size=400)
    first, second = hardness + 0.1 + generator.normal(0, 0.2, 400), hardness + generator.normal(0, 0.2, 400)
    difference = paired(first, second, resamples=2000)
    assert difference.mean == pytest.approx((first - second).mean())
    assert difference.low > 0
    assert bootstrap(first, resamples=2000).low < bootstrap(second, resamples=2000).high
    swapped = paired(second, first, resamples=2000)
    assert swapped.mean == pytest.approx(-difference.mean)
    assert swapped.high < 0


def test_pairs_need_the_same_images() -> None:
    with pytest.raises(BadInput, match="same images, got 5 and 4"):
        paired(np.arange(5.0), np.arange(4.0))
