"""Tests of differences against SciPy, by hand, and against what they promise where nothing differs."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from featinv import BadInput
from featinv.evaluation import bootstrap, hierarchical, holm, mcnemar, paired, rate, wilson
from featinv.evaluation.significance import above, greater, rate_above, seeds_greater, two_sided


def hits(rows: int, count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.random((rows, count)) < generator.random((rows, 1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 400))
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(seed: int, count: int) -> None:
    rows = hits(3, count, seed)
    ours = mcnemar(rows)
    for i in range(3):
        for j in range(3):
            alone, other = int((rows[i] & ~rows[j]).sum()), int((~rows[i] & rows[j]).sum())
            theirs = scipy.stats.binomtest(alone, alone + other, alternative="greater").pvalue if alone + other else 1.0
            assert ours[i, j] == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    # Five images that only the first finds, none that only the second: 1/2^5, and twice that for two sides.
    rows = np.array([[1] * 5 + [1, 0], [0] * 5 + [1, 0]], dtype=bool)
    assert mcnemar(rows)[0, 1] == pytest.approx(1 / 32)
    assert mcnemar(rows)[1, 0] == 1.0
    assert two_sided(mcnemar(rows))[0, 1] == pytest.approx(1 / 16)


def test_paired_means_are_scipys_t_test() -> None:
    values = np.random.default_rng(0).normal(size=(4, 50)) + np.array([[0.0], [0.1], [0.3], [0.3]])
    ours = greater(values)
    for i in range(4):
        for j in range(4):
            if i != j:
                theirs = scipy.stats.ttest_rel(values[i], values[j], alternative="greater").pvalue
                assert ours[i, j] == pytest.approx(theirs, rel=1e-6)
    assert above(values[2], 0.1) == pytest.approx(scipy.stats.ttest_1samp(values[2], 0.1, alternative="greater").pvalue)


def test_differences_without_spread_are_tested_by_their_sign() -> None:
    values = np.stack([np.full(6, 2.0), np.full(6, 1.0), np.full(6, 1.0)])
    p = greater(values)
    assert p[0, 1] == pytest.approx(0.5**6)
    assert p[1, 0] == 1.0
    assert p[1, 2] == p[2, 1] == 1.0


def test_a_rate_above_a_bar_is_the_binomial_test() -> None:
    found = np.arange(200) < 23
    theirs = scipy.stats.binomtest(23, 200, 0.05, alternative="greater").pvalue
    assert rate_above(found, 0.05) == pytest.approx(theirs)
    assert rate_above(found, 1.0) == 1.0
    assert rate_above(np.zeros(9, dtype=bool), 0.05) == 1.0


def test_holm_by_hand() -> None:
    """Holm 1979: sorted p times 4, 3, 2, 1, never falling, at most 1."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(BadInput, match="expected p between 0 and 1"):
            holm({"a": wrong})


def test_holm_holds_the_rate_of_any_false_alarm() -> None:
    generator = np.random.default_rng(0)
    alarms = sum(min(holm(dict(enumerate(generator.random(20)))).values()) < 0.05 for _ in range(4000))
    assert 0.035 < alarms / 4000 < 0.062


# Clusters: ten images of one person are not ten people.


def people(seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    ids = np.repeat(np.arange(40), generator.integers(1, 12, size=40))
    return spread * generator.normal(size=40)[ids] + generator.normal(size=len(ids)), ids


def test_clusters_are_drawn_whole() -> None:
    inside = {True: 0, False: 0}
    for study in range(200):
        values, ids = people(study)
        for clustered in inside:
            interval = bootstrap(values, clusters=ids if clustered else None, resamples=400, seed=study)
            inside[clustered] += interval.low <= 0 <= interval.high
            assert interval.mean == pytest.approx(values.mean())
            assert interval.n == len(values)
    assert inside[True] / 200 > 0.89
    assert inside[False] / 200 < 0.75


def test_tests_of_clusters_hold_their_rate() -> None:
    found = {True: 0, False: 0}
    for study in range(400):
        values, ids = people(study)
        for clustered in found:
            found[clustered] += above(values, 0.0, ids if clustered else None) < 0.025
    assert found[True] / 400 < 0.06
    assert found[False] / 400 > 0.1


def test_clusters_of_one_change_nothing() -> None:
    values, ids = np.random.default_rng(0).normal(size=70), np.random.default_rng(1).permutation(70)
    assert bootstrap(values, clusters=np.arange(70), resamples=500) == bootstrap(values, resamples=500)
    rows = np.stack([values, values + 0.1 * values**2])
    assert greater(rows, ids) == pytest.approx(greater(rows))
    assert paired(rows[0], rows[1], clusters=ids, resamples=500).mean == pytest.approx((rows[0] - rows[1]).mean())


def test_a_rate_of_clusters_is_worth_fewer_images() -> None:
    ids = np.repeat(np.arange(30), 10)
    together = np.repeat(np.arange(30) < 9, 10)
    # Whole clusters are hit or missed: 300 images are worth 29 (30 with the variance's n - 1).
    assert rate(together, clusters=ids).low == pytest.approx(wilson(9, 30).low, abs=0.01)
    assert rate(together, clusters=ids).n == 300
    assert rate(together) == wilson(90, 300)
    none = np.zeros(300, dtype=bool)
    assert rate(none, clusters=ids).high == pytest.approx(wilson(0, 30).high)
    assert rate_above(together, 0.15, ids) > 100 * rate_above(together, 0.15)


def test_clusters_must_fit() -> None:
    with pytest.raises(BadInput, match="one id for each of 5 images, got 4"):
        bootstrap(np.arange(5.0), clusters=np.arange(4))
    with pytest.raises(BadInput, match="at least 2 different ids"):
        bootstrap(np.arange(5.0), clusters=np.zeros(5, dtype=int))


# Seeds: training anew is a second source of chance.


@pytest.mark.parametrize(("seeds", "others", "spread"), [(3, 3, 0.3), (3, 1, 0.0), (2, 2, 0.3), (3, 3, 0.0)])
def test_seeds_are_a_second_level(seeds: int, others: int, spread: float) -> None:
    generator = np.random.default_rng(0)
    inside, wrong, naive, studies = 0, 0, 0, 200
    for study in range(studies):
        hard = generator.normal(size=100)
        first, second = (
            hard + spread * generator.normal(size=(count, 1)) + 0.5 * generator.normal(size=(count, 100))
            for count in (seeds, others)
        )
        interval = hierarchical(first, second, resamples=300, seed=study)
        inside += interval.low <= 0 <= interval.high
        wrong += min(seeds_greater(first, second), seeds_greater(second, first)) < 0.025
        single = paired(first.mean(axis=0), second.mean(axis=0), resamples=300, seed=study)
        naive += single.low <= 0 <= single.high
    assert inside / studies >= 0.92
    assert wrong / studies < 0.09
    if spread:
        assert naive / studies < 0.6


def test_one_seed_a_side_is_the_paired_test() -> None:
    values = np.random.default_rng(0).normal(size=(2, 40))
    assert seeds_greater(values[:1], values[1:]) == pytest.approx(greater(values)[0, 1])
    with pytest.raises(BadInput, match="same images, got 40 and 39"):
        hierarchical(values[:1], values[1:, :39])
