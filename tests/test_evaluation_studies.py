"""Whole studies, simulated: how often nothing is called something, and how often something is found."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.stats
from simulated_boards import board, simulated

from featinv.evaluation import LeakLevel

IMAGES, ATTACKS = 1000, 10


def null_study(seed: int, *, priors: float) -> tuple[LeakLevel, list[str]]:
    """Ten attacks that know nothing; `priors` (dB) is how far their guesses differ in quality."""
    generator = np.random.default_rng([seed, 7])
    hard = generator.normal(0, 2, IMAGES)
    rows = {
        f"attack {number}": simulated(
            generator, count=IMAGES, hardness=hard, quality=priors * float(generator.normal())
        )
        for number in range(ATTACKS)
    }
    known = board(rows)
    verdicts = [known.versus(*pair).verdict for pair in itertools.combinations(rows, 2)]
    return known.assess(), verdicts


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("priors", [0.0, 1.0])
def test_attacks_that_know_nothing_raise_an_alarm_in_one_study_of_twenty_at_most(priors: float) -> None:
    """200 studies of ten attacks: "L1 or higher" or "stronger". 19 alarms have a chance of 0.7 % at a rate of 5 %."""
    alarms, levels, stronger = 0, 0, 0
    for seed in range(200):
        level, verdicts = null_study(seed, priors=priors)
        shown, differs = level.level != "not shown", any(verdict != "undecided" for verdict in verdicts)
        alarms, levels, stronger = alarms + (shown or differs), levels + shown, stronger + differs
    print(f"priors {priors} dB: {alarms} alarms in 200 studies ({levels} levels, {stronger} stronger)")
    assert alarms < 19


def planted(level: str, value: float) -> dict[str, Any]:
    """Return the simulation's setting under which a level's criterion has this value."""
    guess = 1 / IMAGES
    return {
        "L1": {"agreement": (value - 0.1) / 0.9},
        "L2": {"within": value - 0.5},
        "L3": {"found": (value - guess) / (1 - guess)},
        "L4": {"found": (value - guess) / (1 - guess)},
    }[level]


def rate_of_finding(level: str, *, share: float, studies: int) -> float:
    """How often a leak of `share` times the smallest one beyond its threshold is found, one attack of ten having it."""
    found = 0
    for seed in range(studies):
        generator = np.random.default_rng([seed, 11])
        rows = {f"attack {number}": simulated(generator, count=IMAGES) for number in range(ATTACKS - 1)}
        empty = board({**rows, "leak": simulated(generator, count=IMAGES)}).assess()
        start = {"L1": 0.1, "L2": 0.5, "L3": 0.05, "L4": 0.5}[level]
        value = start + share * (empty.minimum_detectable_effect[level] - start)
        known = board({**rows, "leak": simulated(generator, count=IMAGES, **planted(level, value))})
        found += any(one.shown and one.level == level and one.row == "leak" for one in known.assess().evidence)
    return found / studies


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("level", ["L1", "L2", "L3", "L4"])
def test_a_leak_of_the_stated_size_is_found_in_four_studies_of_five(level: str) -> None:
    """The smallest leak that a board names is found at the stated rate, and half of it is not."""
    studies = 100
    rate, half = (rate_of_finding(level, share=share, studies=studies) for share in (1.0, 0.5))
    print(f"{level}: the stated leak is found in {rate:.0%}, half of it in {half:.0%} of {studies} studies")
    # Below 69 of 100 has a chance of 0.4 % at a rate of 80 %.
    assert rate >= 0.69
    assert scipy.stats.binom.cdf(68, 100, 0.8) < 0.01
    assert half < 0.5


def test_one_null_study_and_one_planted_leak() -> None:
    """The slow studies in small, so that they cannot rot."""
    level, verdicts = null_study(0, priors=1.0)
    assert level.level == "not shown"
    assert set(verdicts) == {"undecided"}
    assert rate_of_finding("L3", share=2.0, studies=2) == 1.0
