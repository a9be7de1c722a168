"""Levels of a leak, on simulated numbers of which the truth is known."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from simulated_boards import board, simulated

from featinv import BadInput
from featinv.evaluation import LeakLevel, Scoreboard, Thresholds, load_scoreboard
from featinv.evaluation.levels import top1_among

KNOWN: dict[str, dict[str, Any]] = {
    "not shown": {},
    "L1": {"agreement": 0.3},
    "L2": {"agreement": 0.3, "within": 0.1},
    "L3": {"agreement": 0.3, "within": 0.1, "found": 0.15},
    "L4": {"agreement": 0.8, "within": 0.1, "found": 0.7},
}


def study(level: str, **changes: Any) -> Scoreboard:
    generator = np.random.default_rng(0)
    rows = {
        "mean image": simulated(generator),
        "weak": simulated(generator),
        "strong": simulated(generator, **KNOWN[level]),
    }
    return board(rows, kinds={"mean image": "control"}, **changes)


@pytest.mark.parametrize("level", KNOWN)
def test_the_level_is_the_one_that_was_planted(level: str) -> None:
    found = study(level).assess()
    assert found.level == level
    assert found.row == (None if level == "not shown" else "strong")
    shown = {(one.row, one.level) for one in found.evidence if one.shown}
    assert {row for row, _ in shown} <= {"strong"}
    assert (level, level in {each for _, each in shown}) in {("not shown", False), (level, True)}


def test_what_is_shown_holds_at_its_lower_bound_in_the_weakest_view() -> None:
    known = study("L3")
    for one in known.assess().evidence:
        assert one.value.low <= one.value.mean <= one.value.high
        assert one.p <= one.p_corrected
        assert one.shown == (one.p_corrected < 0.025 and one.value.low > one.threshold)
        if one.level == "L3":
            views = ("rank", "rank/low-pass", "rank/jpeg 75", "rank/shift")
            p = [
                scipy.stats.binomtest(
                    int((known.per_image[f"{one.row}/{view}"] == 1).sum()), 1000, 0.05, alternative="greater"
                ).pvalue
                for view in views
            ]
            assert one.p == pytest.approx(max(p))


@pytest.mark.parametrize("key", ["judge_agreement", "rank", "reid_auc/within class, "])
def test_a_leak_that_dies_in_a_view_is_texture(key: str) -> None:
    known, other = study("L3"), study("not shown")
    for row in ("strong",):
        for name in [name for name in known.per_image if name.startswith(f"{row}/") and "low-pass" in name]:
            if name.startswith(f"{row}/{key}"):
                known.per_image[name] = other.per_image[name]
    dead = {"judge_agreement": "L1", "rank": "L3", "reid_auc/within class, ": "L2"}[key]
    shown = {one.level for one in known.assess().evidence if one.shown}
    assert dead not in shown
    assert shown == {"L1", "L2", "L3"} - {dead}


def test_the_highest_level_counts_also_where_a_lower_one_fails() -> None:
    known, other = study("L3"), study("not shown")
    known.per_image["strong/judge_agreement"] = other.per_image["strong/judge_agreement"]
    assert known.assess().level == "L3"


def test_a_treated_view_is_asked_for_what_treated_originals_reach() -> None:
    """Where low-passed originals are found in 40 % only, nobody can ask 50 % of a low-passed reconstruction."""
    treated_originals = {"low-pass": {"reid_top1": {"mean": 0.4, "low": 0.4, "high": 0.4, "n": 1000}}}
    generator = np.random.default_rng(0)
    row = simulated(generator, found=0.7, agreement=0.8, within=0.1)
    row["rank/low-pass"] = np.where(generator.random(1000) < 0.3, 1, 500).astype(np.int32)
    assert board({"a": row}).assess().level == "L3"
    assert board({"a": row}, treated_originals=treated_originals).assess().level == "L4"


def test_a_control_that_reads_the_vectors_counts_and_what_the_scorer_made_does_not() -> None:
    generator = np.random.default_rng(0)
    rows = {"nearest neighbour": simulated(generator, agreement=0.5), "ridge": simulated(generator)}
    known = board(rows, kinds={"nearest neighbour": "control"})
    assert known.assess().row == "nearest neighbour"
    linkage = dataclasses.replace(known.attacks[0], role="linkage")
    assert dataclasses.replace(known, attacks=(linkage, known.attacks[1])).assess().level == "not shown"


def test_nothing_shown_says_what_would_have_been() -> None:
    found = study("not shown").assess()
    assert set(found.minimum_detectable_effect) == {"L1", "L2", "L3", "L4"}
    # By hand for L2: 12 tests, four views of power .8^(1/4), a uniform position of variance 1/12.
    normal = scipy.stats.norm
    reach = normal.ppf(1 - 0.025 / 12) + normal.ppf(0.8**0.25)
    assert found.minimum_detectable_effect["L2"] == pytest.approx(0.5 + reach / np.sqrt(12_000), abs=1e-9)
    assert 0.1 < found.minimum_detectable_effect["L1"] < 0.2
    assert 0.05 < found.minimum_detectable_effect["L3"] < 0.1
    assert "No leak was shown by the 3 controls and attacks tried." in found.sentence
    assert "With 1,000 private images" in found.sentence
    assert f"{100 * found.minimum_detectable_effect['L2']:.1f} % of its kind" in found.sentence
    assert "no proof of anonymity" in found.sentence
    assert "safe" not in str(found)


def test_more_images_show_smaller_leaks() -> None:
    small, large = (
        board({"a": simulated(np.random.default_rng(0), count=count)}).assess().minimum_detectable_effect
        for count in (200, 5000)
    )
    for level in ("L1", "L2", "L4"):
        assert large[level] < small[level]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("L1", "whose kind a judge recognises for"),
        ("L2", "of the other images of its kind"),
        ("L3", "identifies the original among 1,000 candidates"),
        ("L4", "level L4, recognisable"),
    ],
)
def test_the_sentence_can_be_quoted(level: str, words: str) -> None:
    found = study(level).assess()
    assert words in found.sentence
    assert "'strong'" in found.sentence
    assert found.sentence.endswith("At least this much leaks under this budget; a stronger attack may show more.")
    best = max((one for one in found.evidence if one.shown), key=lambda one: one.level)
    assert f"{100 * best.value.low:.1f} %" in found.sentence
    assert "5,000 public images; 1,000 private images; mean image (1,000 parameters" in found.budget
    assert "people as judges" in found.not_tried
    assert "a second independent judge" in found.not_tried
    assert str(found).startswith(f"Level {level} (")


def test_an_attack_named_beforehand_needs_less_evidence() -> None:
    generator = np.random.default_rng(1)
    rows = {f"n{i}": simulated(generator) for i in range(9)}
    rows["named"] = simulated(generator, agreement=0.06)
    known = board(rows)
    p = {
        name: next(one for one in known.assess(named=name).evidence if one.row == "named" and one.level == "L1")
        for name in (None, "named", "n0")
    }
    # Alone: 2 x 4 levels; among all: 40 tests; for another name these are doubled.
    assert p["named"].p_corrected == pytest.approx(8 * p["named"].p)
    assert p[None].p_corrected == pytest.approx(40 * p[None].p)
    assert p["n0"].p_corrected == pytest.approx(80 * p["n0"].p)
    assert not any("named beforehand" in line for line in known.assess(named="named").not_tried)
    with pytest.raises(BadInput, match="named: no attack 'gan'; there are 'n0'"):
        known.assess(named="gan")


def test_thresholds_can_be_changed() -> None:
    known = study("L3")
    assert known.assess(thresholds=Thresholds(identifying_top1=0.3)).level == "L2"
    assert known.assess(thresholds=Thresholds(identifying_top1=0.3, within_class_auc=0.7)).level == "L1"
    strict = Thresholds(identifying_top1=0.3, within_class_auc=0.7, class_excess=0.4)
    assert known.assess(thresholds=strict).level == "not shown"
    assert known.assess(thresholds=Thresholds(recognisable_top1=0.08)).level == "L4"
    for wrong in ({"class_excess": 1}, {"identifying_top1": 0.6}, {"alpha": 0.0}, {"gallery": 1}, {"times_chance": 0}):
        with pytest.raises(BadInput, match="expected"):
            Thresholds(**wrong)


def test_few_candidates_ask_for_more_than_fifty_times_chance() -> None:
    """Among 60, 50 times chance is 83 %; among 40 no rate is, and L3 cannot be shown."""
    for count, levels in ((60, {"L1", "L2", "L3", "L4"}), (40, {"L1", "L2"})):
        row = simulated(np.random.default_rng(0), count=count, found=1.0, within=0.2, agreement=1.0)
        found = board({"a": row}).assess()
        assert {one.level for one in found.evidence} == levels
        if count == 60:
            assert {one.threshold for one in found.evidence if one.level in ("L3", "L4")} == {50 / 60}


def test_more_than_a_thousand_candidates_are_brought_back_to_a_thousand() -> None:
    """The chance to come first among 1,000 drawn from 3,000, given the rank: counted by drawing them."""
    generator = np.random.default_rng(0)
    ranks = np.array([1, 2, 3, 10, 3000])
    expected = top1_among(ranks, 3000, 1000)
    draws = np.array([generator.permutation(2999)[:999].min() for _ in range(4000)])
    for rank, chance in zip(ranks, expected, strict=True):
        assert chance == pytest.approx((draws >= rank - 1).mean(), abs=0.025)
    assert top1_among(np.arange(1, 3001), 3000, 1000).mean() == pytest.approx(1 / 1000)
    row = simulated(generator, count=3000, found=0.15, within=0.1, agreement=0.2)
    assert board({"a": row}).assess().level == "L3"


def test_clusters_ask_for_more() -> None:
    """Fifty people, twenty images each, that are found or missed together."""
    generator = np.random.default_rng(0)
    ids = np.repeat(np.arange(50), 20)
    row = simulated(generator)
    for key in row:
        if key.startswith("rank"):
            row[key] = np.where((ids < 6), 1, 500).astype(np.int32)
    plain, clustered = board({"a": row}), board({"a": row}, clusters=ids)
    p = [next(one.p for one in known.assess().evidence if one.level == "L3") for known in (plain, clustered)]
    assert p[0] < 1e-10
    assert p[1] > 0.01
    assert clustered.assess().minimum_detectable_effect["L1"] > plain.assess().minimum_detectable_effect["L1"] + 0.1


def test_without_an_independent_judge_nothing_is_measured() -> None:
    known = study("L3", judges=[{"name": "twin", "sibling": True}])
    found = known.assess()
    assert found.level == "not measured"
    assert "Nothing can be said" in found.sentence
    with pytest.raises(BadInput, match="level: not measured, so that it cannot be held against 'L1'"):
        found.exceeds("L1")


def test_a_limit_is_exceeded_by_more_only() -> None:
    found = study("L2").assess()
    assert [found.exceeds(limit) for limit in ("not shown", "L1", "L2", "L3", "L4")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(BadInput, match="max level: expected one of not shown, L1, L2, L3, L4, got 'L5'"):
        found.exceeds("L5")


def test_the_level_is_saved_with_the_scoreboard(tmp_path: Path) -> None:
    known = study("L3")
    found = known.assess(named="strong", thresholds=Thresholds(alpha=0.01))
    dataclasses.replace(known, leak_level=found).save(tmp_path)
    again = load_scoreboard(tmp_path)
    assert isinstance(again.leak_level, LeakLevel)
    assert again.leak_level == found
    assert again.assess(named="strong", thresholds=Thresholds(alpha=0.01)) == found
    document = json.loads((tmp_path / "scoreboard.json").read_text())
    assert document["leak_level"]["level"] == "L3"
    assert document["leak_level"]["thresholds"]["identifying_top1"] == 0.05
    for broken in ({"level": "L9"}, {"evidence": [{}]}, {"thresholds": {"alpha": 2}}):
        document["leak_level"] = {**found.as_json(), **broken}
        (tmp_path / "scoreboard.json").write_text(json.dumps(document))
        with pytest.raises(BadInput):
            load_scoreboard(tmp_path)


def test_boards_of_older_versions_have_no_level() -> None:
    committed = Path(__file__).parents[1] / "docs" / "results" / "cifar10_scoreboard.json"
    known = load_scoreboard(committed)
    assert known.leak_level is None or known.leak_level.level
    assert known.assess().level == "not measured"
