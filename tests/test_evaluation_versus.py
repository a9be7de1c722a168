"""Verdicts on two attacks, on simulated numbers of which the truth is known."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from simulated_boards import board, simulated

from featinv import BadInput
from featinv.evaluation import Scoreboard, Versus, paired


def two(first: dict[str, Any], second: dict[str, Any], count: int = 500, **changes: Any) -> Scoreboard:
    generator = np.random.default_rng(3)
    hard = generator.normal(0, 2, count)
    rows = {
        name: simulated(generator, count=count, hardness=hard, **known) for name, known in (("a", first), ("b", second))
    }
    return board(rows, **changes)


def sides(verdict: Versus) -> dict[str, str]:
    return {name: family.side for name, family in verdict.families.items()}


def test_better_in_all_families_is_stronger_and_the_other_way_round_weaker() -> None:
    known = two({"gain": 1.5, "found": 0.2}, {"gain": 0.2, "found": 0.05})
    verdict = known.versus("a", "b")
    assert verdict.verdict == "stronger"
    assert sides(verdict) == {"pixel": "better", "perceptual": "better", "identification": "better"}
    assert verdict.reason == "pixel and perceptual and identification agree"
    turned = known.versus("b", "a")
    assert turned.verdict == "weaker"
    assert set(sides(turned).values()) == {"worse"}
    for name, family in verdict.families.items():
        for metric, found in family.differences.items():
            other = turned.families[name].differences[metric]
            assert found.interval.mean == pytest.approx(-other.interval.mean)
            assert found.p == pytest.approx(other.p)
            assert found.p <= found.p_holm


def test_the_direction_of_each_metric_is_known() -> None:
    """More PSNR is better, more MSE and LPIPS are worse."""
    found = two({"gain": 1.0}, {}).versus("a", "b").families
    means = {metric: d.interval.mean for family in found.values() for metric, d in family.differences.items()}
    assert means["psnr"] > 0 > means["mse"]
    assert means["lpips"] < 0
    assert {found["pixel"].differences[metric].side for metric in ("mse", "psnr", "ssim")} == {"better"}


def test_one_family_alone_decides_nothing() -> None:
    verdict = two({"found": 0.3}, {}).versus("a", "b")
    assert sides(verdict) == {"pixel": "undecided", "perceptual": "undecided", "identification": "better"}
    assert verdict.verdict == "undecided"
    assert verdict.reason == "fewer than two families of metrics differ by more than chance"


def test_families_that_disagree_decide_nothing() -> None:
    """A blurry mean has the pixels, a sharp guess the identification: neither is stronger."""
    verdict = two({"gain": 2.0}, {"found": 0.5}).versus("a", "b")
    assert verdict.verdict == "undecided"
    assert verdict.reason == "better in pixel and perceptual, worse in identification"


def test_fewer_than_two_measured_families_are_undecided() -> None:
    known = two({"gain": 2.0, "perceptual": False}, {"perceptual": False})
    siblings = [{**known.protocol["judges"][0], "sibling": True}]
    only_pixels = dataclasses.replace(known, protocol={**known.protocol, "judges": siblings})
    verdict = only_pixels.versus("a", "b")
    assert sides(verdict) == {"pixel": "better", "perceptual": "not measured", "identification": "not measured"}
    assert verdict.verdict == "undecided"
    assert verdict.reason == "two families of metrics must agree, and 1 was measured"


def test_a_better_prior_is_not_a_stronger_attack() -> None:
    """Mean image against noise: better in pixels and to the eye, with right vectors and with wrong ones alike."""
    verdict = two({"quality": 3.0}, {}).versus("a", "b")
    assert sides(verdict)["pixel"] == sides(verdict)["perceptual"] == "better"
    assert verdict.verdict == "undecided"
    assert verdict.reason.endswith("a better prior")


def test_an_advantage_that_dies_under_a_treatment_is_texture() -> None:
    known = two({"gain": 1.0, "found": 0.3, "perceptual": False}, {"perceptual": False})
    assert known.versus("a", "b").verdict == "stronger"
    known.per_image["a/rank/low-pass"] = known.per_image["b/rank/low-pass"].copy()
    verdict = known.versus("a", "b")
    assert sides(verdict)["identification"] == "undecided"
    assert verdict.verdict == "undecided"


def test_another_independent_judge_must_agree_and_a_sibling_need_not() -> None:
    judges = [{"name": name, "sibling": name == "twin"} for name in ("judge", "other", "twin")]
    known = two({"gain": 1.0, "found": 0.3}, {}, judges=judges)
    generator = np.random.default_rng(1)
    for judge, share in (("other", 0.3), ("twin", 0.0)):
        for name, found in (("a", share), ("b", 0.0)):
            ranks = generator.integers(1, 501, size=500)
            known.per_image[f"{name}/rank/{judge}"] = np.where(generator.random(500) < found, 1, ranks)
    assert sides(known.versus("a", "b"))["identification"] == "better"
    known.per_image["a/rank/other"] = known.per_image["b/rank/other"]
    assert sides(known.versus("a", "b"))["identification"] == "undecided"


def test_more_attacks_ask_for_more_evidence() -> None:
    generator = np.random.default_rng(3)
    hard = generator.normal(0, 2, 500)
    strong = simulated(generator, count=500, hardness=hard, gain=0.3)
    rows = {f"n{i}": simulated(generator, count=500, hardness=hard) for i in range(9)}
    few = board({"a": strong, "n0": rows["n0"]}).versus("a", "n0")
    many = board({"a": strong, **rows}).versus("a", "n0")
    assert (few.pairs, many.pairs) == (1, 45)
    one, ten = (verdict.families["pixel"].differences["psnr"] for verdict in (few, many))
    assert one.p == pytest.approx(ten.p)
    assert one.interval == ten.interval
    assert ten.p_holm > 5 * one.p_holm


def test_a_control_can_be_held_against_an_attack() -> None:
    generator = np.random.default_rng(0)
    rows = {"attack": simulated(generator, gain=1.0, found=0.3), "mean image": simulated(generator)}
    verdict = board(rows, kinds={"mean image": "control"}).versus("attack", "mean image")
    assert (verdict.verdict, verdict.pairs) == ("stronger", 1)


def test_seeds_are_a_second_level_of_chance() -> None:
    """One lucky training beats another; three trainings of each show that they do not differ."""
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 2, 500)
    gains = {"a1": 1.6, "a2": 0.9, "a3": 0.6, "b1": 1.4, "b2": 0.5, "b3": 1.0}
    known = board({name: simulated(generator, count=500, hardness=hard, gain=gain) for name, gain in gains.items()})
    assert known.versus("a1", "b2").families["pixel"].side == "better"
    verdict = known.versus(["a1", "a2", "a3"], ["b1", "b2", "b3"])
    assert (verdict.first, verdict.second, verdict.pairs) == ("a1 + a2 + a3", "b1 + b2 + b3", 1)
    assert verdict.families["pixel"].side == "undecided"
    interval = known.versus(["a1", "a2", "a3"], ["b1", "b2", "b3"], "psnr")
    pooled = paired(
        *(np.mean([known.per_image[f"{side}{k}/psnr"] for k in (1, 2, 3)], axis=0) for side in "ab"), resamples=100
    )
    assert interval.mean == pytest.approx(pooled.mean, abs=1e-5)
    assert interval.high - interval.low > 3 * (pooled.high - pooled.low)


def test_clusters_make_images_count_less() -> None:
    first, second = {"gain": 0.4}, {}
    ids = np.repeat(np.arange(50), 10)
    plain, clustered = two(first, second), two(first, second, clusters=ids)
    rows = np.random.default_rng(5).normal(0, 2, 50)[ids].astype(np.float32)
    for known in (plain, clustered):
        known.per_image["a/psnr"] = known.per_image["a/psnr"] + rows
    p = [known.versus("a", "b").families["pixel"].differences["psnr"].p for known in (plain, clustered)]
    widths = [(i := known.versus("a", "b", "psnr")).high - i.low for known in (plain, clustered)]
    assert p[1] > 10 * p[0] or p[1] > 0.05
    assert widths[1] > 1.8 * widths[0]


def test_print_says_it_all() -> None:
    text = str(two({"gain": 1.0, "found": 0.2}, {}).versus("a", "b"))
    assert text.startswith("a against b: stronger, pixel and perceptual and identification agree.")
    assert "  pixel: better" in text
    assert "after Holm" in text


def test_derived_metrics_and_bad_names() -> None:
    known = two({"found": 0.2}, {})
    ranks = known.per_image["a/rank"]
    assert known.versus("a", "b", "reid_top10").mean == pytest.approx(
        (ranks <= 10).mean() - (known.per_image["b/rank"] <= 10).mean()
    )
    assert known.versus("a", "b", "reid_auc").mean == pytest.approx(
        ((known.per_image["b/rank"].astype(float) - ranks) / 499).mean(), abs=1e-9
    )
    with pytest.raises(BadInput, match="no row 'c'; there are 'a', 'b'"):
        known.versus("a", "c")
    with pytest.raises(BadInput, match=r"on both sides"):
        known.versus("a", "a")
    with pytest.raises(BadInput, match="different names of rows, got \\['a', 'a'\\]"):
        known.versus(["a", "a"], "b")
    with pytest.raises(BadInput, match="no numbers per image for 'dists'"):
        known.versus("a", "b", "dists")
