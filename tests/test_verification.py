"""TAR at FAR and the cumulative match curve against scikit-learn, counting by hand, and what must follow from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_parts import SIZE, PoolJudge, Stub, blurred, mean_image, perfect, published, some_images
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from torch import Tensor

import featinv as fi
from featinv import BadInput
from featinv.data import ImageSet
from featinv.evaluation import Scoreboard, check_persons, compare, cumulative_match, true_accept_rate, verification
from featinv.evaluation.people import People
from featinv.evaluation.verification import Matcher, threshold_at


def faces(
    people: int = 60, images: int = 4, *, width: int = 32, noise: float = 0.6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features of several images a person: a direction of the person's own, and noise."""
    drawn = np.random.default_rng(seed)
    centres = drawn.normal(size=(people, width))
    who = np.repeat(np.arange(people), images)
    return (centres[who] + noise * drawn.normal(size=(len(who), width))).astype(np.float32), who


@given(
    genuine=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    impostors=st.lists(st.integers(0, 20), min_size=20, max_size=60),
    far=st.sampled_from([0.05, 0.1, 0.25, 0.5]),
)
def test_the_rate_is_the_one_of_the_roc_curve(genuine: list[int], impostors: list[int], far: float) -> None:
    """Whole numbers, so that scores tie."""
    ours = true_accept_rate(np.array(genuine, float), np.array(impostors, float), far)
    y = np.r_[np.ones(len(genuine)), np.zeros(len(impostors))]
    fpr, tpr, _ = roc_curve(y, np.r_[genuine, impostors].astype(float), drop_intermediate=False)
    assert ours == pytest.approx(tpr[fpr <= far + 1e-12].max())


def test_a_threshold_by_hand() -> None:
    impostors = np.array([0.9, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.0, 0.0])
    # One of ten may pass: 0.9 does, 0.5 does not.
    assert threshold_at(impostors, 0.1) == 0.5
    # Of the two that may pass at 0.2, the second ties with the third: both stay out.
    assert true_accept_rate(np.array([0.51, 0.5, 0.6, 0.2]), impostors, 0.2) == 0.5
    for wrong in (0.0, 1.0, 0.01):
        with pytest.raises(BadInput, match=r"^far: "):
            threshold_at(impostors, wrong)


def cosines(probes: np.ndarray, originals: np.ndarray) -> np.ndarray:
    mean = originals.astype(np.float64).mean(0)
    sides = [(side - mean) / np.linalg.norm(side - mean, axis=1, keepdims=True) for side in (probes, originals)]
    return sides[0] @ sides[1].T


def test_every_rate_by_loops() -> None:
    """The whole table again, pair by pair, with scikit-learn's curve on originals against originals."""
    originals, who = faces()
    made = originals + 2 * np.random.default_rng(1).normal(size=originals.shape).astype(np.float32)
    rates = verification(made, originals, [f"person {number}" for number in who], seed=3)
    real, scores = cosines(originals, originals), cosines(made, originals)
    count = len(who)
    impostors = [real[i, j] for i in range(count) for j in range(i + 1, count) if who[i] != who[j]]
    type_one = np.diag(scores)
    type_two = np.array([scores[i, j] for i in range(count) for j in range(count) if i != j and who[i] == who[j]])
    for name, far in (("1e3", 1e-3), ("1e2", 1e-2)):
        for key, genuine in (("type1", type_one), ("type2", type_two)):
            y = np.r_[np.ones(len(genuine)), np.zeros(len(impostors))]
            fpr, tpr, _ = roc_curve(y, np.r_[genuine, impostors], drop_intermediate=False)
            interval = rates[f"tar_{key}_{name}"]
            assert interval.mean == pytest.approx(tpr[fpr <= far].max())
            assert interval.n == len(genuine)
            assert interval.chance == far
    assert 0.02 < rates["tar_type2_1e3"].mean < rates["tar_type1_1e3"].mean < 0.98

    entries = People.of(who, 3).entries
    ranks = []
    for i in range(count):
        own = next(int(entry) for entry in entries[who[i]] if entry != i)
        better = [scores[i, entries[other, 0]] >= scores[i, own] for other in range(60) if other != who[i]]
        ranks.append(1 + sum(better))
    for top in (1, 10):
        assert rates[f"person_top{top}"].mean == pytest.approx(np.mean(np.array(ranks) <= top))
        assert rates[f"person_top{top}"].chance == top / 60
    curve = cumulative_match(np.array(ranks), 60)
    assert curve[0] == pytest.approx(rates["person_top1"].mean)
    assert curve[9] == pytest.approx(rates["person_top10"].mean)
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()


def test_a_sample_of_probes_meets_all_originals() -> None:
    """Rates of the probes alone, by counting again what the whole table counts, at thresholds of all originals."""
    originals, who = faces(80, 3)
    made = originals + 1.5 * np.random.default_rng(2).normal(size=originals.shape).astype(np.float32)
    probes = np.random.default_rng(3).permutation(len(who))[:70]
    rates = verification(made[probes], originals, who, probes=probes, seed=3)
    scores = cosines(made, originals)
    matcher = Matcher.prepare(originals, People.of(who, 3))
    accepted = scores > matcher.thresholds["1e2"]
    assert rates["tar_type1_1e2"].mean == pytest.approx(np.mean([accepted[i, i] for i in probes]))
    others = [accepted[i, j] for i in probes for j in range(len(who)) if who[i] == who[j] and i != j]
    assert rates["tar_type2_1e2"].mean == pytest.approx(np.mean(others))
    assert (rates["tar_type1_1e2"].n, rates["tar_type2_1e2"].n) == (70, 140)
    ranks = matcher.ranks(matcher.directions(made), own=False)
    assert rates["person_top10"].mean == pytest.approx((ranks[probes] <= 10).mean())
    assert rates["person_top10"].chance == 10 / 80
    whole = verification(made, originals, who, seed=3)
    reordered = verification(made[::-1], originals, who, probes=np.arange(len(who))[::-1], seed=3)
    assert whole == reordered


@pytest.mark.parametrize("probes", [[0, 0], [-1], [240], [], [0.5], [[0, 1]]])
def test_probes_that_are_no_distinct_rows_are_refused(probes: list[int]) -> None:
    originals, who = faces()
    with pytest.raises(BadInput, match=r"^probes: expected distinct rows from 0 to 239"):
        verification(originals[:1], originals, who, probes=np.array(probes))


def test_probes_of_people_without_another_image_are_refused_for_type_two() -> None:
    originals, _ = faces()
    who = [0, 0, 1, 1, *range(2, 238)]
    with pytest.raises(BadInput, match=r"^probes: expected images of people who have another one, got none"):
        verification(originals[9:12], originals, who, probes=[9, 10, 11])
    with pytest.raises(BadInput, match=r"expected one row an image in both, got \(5, 32\) .* for 3 probes"):
        verification(originals[:5], originals, who, probes=[0, 1, 2])


def test_perfect_copies_are_accepted_and_unrelated_images_are_not() -> None:
    originals, who = faces(noise=0.3)
    perfect = verification(originals, originals, who)
    assert perfect["tar_type1_1e3"].mean == perfect["person_own_top1"].mean == 1
    assert perfect["person_top1"].mean > 0.99
    others = np.random.default_rng(5).permutation(60)
    unrelated = verification(originals.reshape(60, 4, -1)[others].reshape(originals.shape), originals, who)
    for name, interval in unrelated.items():
        assert interval.low <= interval.chance + 0.02, name
        assert interval.mean < 0.3, name


def test_an_answer_that_never_changes_ranks_by_chance_and_cannot_pass_for_everybody() -> None:
    """The mean face: what it is accepted as is the same for everyone."""
    originals, who = faces()
    rates = verification(np.tile(originals[:1], (len(originals), 1)), originals, who)
    assert rates["person_top1"].mean <= 2 / 60
    assert rates["tar_type2_1e3"].mean <= 2 / 60
    grey = verification(np.tile(originals.mean(0, dtype=np.float64), (len(originals), 1)), originals, who)
    assert max(interval.mean for interval in grey.values()) == 0


def test_images_of_one_person_count_as_one_draw() -> None:
    """Ten times the images of the same people say little more: the interval hardly narrows."""
    narrow, wide = {}, {}
    for images, kept in ((3, narrow), (30, wide)):
        originals, who = faces(40, images, noise=0.2)
        drawn = np.random.default_rng(7)
        # A person is hit with all images or with none.
        hit = np.repeat(drawn.random(40) < 0.5, images)
        made = np.where(hit[:, None], originals, -originals)
        kept.update(verification(made, originals, who))
    for name in ("tar_type1_1e2", "tar_type2_1e2", "person_top1"):
        lengths = [kept[name].high - kept[name].low for kept in (narrow, wide)]
        assert lengths[1] > 0.8 * lengths[0], name


@pytest.mark.parametrize("seed", range(3))
def test_the_intervals_cover_the_rate_of_other_people(seed: int) -> None:
    originals, who = faces(2000, 3, noise=0.7, seed=9)
    made = originals + 1.2 * np.random.default_rng(10).normal(size=originals.shape).astype(np.float32)
    truth = verification(made, originals, who)
    people = np.random.default_rng(seed).permutation(2000)[:150]
    kept = np.isin(who, people)
    some = verification(made[kept], originals[kept], who[kept])
    # Thresholds are drawn anew, too, from 101,000 pairs.
    for name in ("tar_type1_1e2", "tar_type2_1e2"):
        assert some[name].low - 0.05 < truth[name].mean < some[name].high + 0.05


def test_smaller_galleries_are_disjoint_and_fill_up() -> None:
    originals, who = faces(25, 3)
    matcher = Matcher.prepare(originals, People.of(who, 0))
    probes = matcher.directions(originals)
    ranks = matcher.ranks(probes, own=True, size=10, seed=1)
    assert (ranks == 1).all()
    far_off = matcher.ranks(-probes, own=True, size=10, seed=1)
    assert far_off.min() >= 1
    assert far_off.max() == 10


def test_a_failed_row_matches_nothing() -> None:
    originals, who = faces()
    made = originals.copy()
    made[0] = np.nan
    rates = verification(made, originals, who)
    assert rates["tar_type1_1e2"].mean == pytest.approx(239 / 240)


def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    originals, who = faces()
    with pytest.raises(
        BadInput, match=r"^clusters: it needs two images of at least two people, and none of 240 has two"
    ):
        verification(originals, originals, range(240))
    lonely = [0, 0, *range(1, 239)]
    with pytest.raises(BadInput, match=r"at least two people, and 1 of 239 has two"):
        verification(originals, originals, lonely)
    few, them = faces(4, 5)
    with pytest.raises(
        BadInput, match=r"a false accept rate of 0\.001 needs 1,000 pairs of different people, these are 150"
    ):
        verification(few, few, them)
    with pytest.raises(BadInput, match="expected one row an image in both"):
        verification(originals[:5], originals, who)
    with pytest.raises(BadInput, match="expected one id for each of 240 images, got 3"):
        verification(originals, originals, [1, 2, 3])
    with pytest.raises(BadInput, match="not finite"):
        verification(originals, np.full_like(originals, np.nan), who)


def test_a_person_on_both_sides_is_refused() -> None:
    check_persons(["ada", "ben"], ["cleo"])
    with pytest.raises(BadInput, match=r"^public_clusters: .*got 2 on both sides \(the first: 'ada'\); take"):
        check_persons(["ada", "ben", "ben"], ["cleo", "ben", "ada"])
    with pytest.raises(BadInput, match=r"^public_clusters: expected one id for each of 3 images, got 1"):
        check_persons(["ada"], ["ben"], 3)
    with pytest.raises(BadInput, match=r"^public_clusters: belongs to clusters"):
        check_persons(None, ["ben"])


PEOPLE = [f"person {row // 2}" for row in range(60)]


def compared(clusters: list[str] | None, **more: object) -> Scoreboard:
    """30 people, two images of each that differ a little: 1,740 pairs of different people."""
    single = some_images(30)
    pixels = np.repeat(single.uint8(np.arange(30)), 2, axis=0).astype(int)
    pixels += np.random.default_rng(0).integers(-25, 26, pixels.shape)
    truth = ImageSet(pixels.clip(0, 255).astype(np.uint8), ids=[f"{row}.png" for row in range(60)])
    attacks = {"mean image": mean_image(), "perfect": perfect(), "blurred": blurred(), "broken": broken()}
    judges = [PoolJudge(), PoolJudge("second", trained_on="something")]
    return compare(attacks, published(truth), judges, clusters=clusters, resamples=200, progress=False, **more)


def broken() -> Stub:
    """Half of the reconstructions are no images."""

    def reconstruct(features: Tensor) -> Tensor:
        images = features.reshape(len(features), 3, SIZE, SIZE).clone()
        images[::2] = torch.nan
        return images

    return Stub(reconstruct)


def test_a_comparison_with_people_measures_them_for_every_judge(tmp_path: Path) -> None:
    board = compared(PEOPLE, galleries=[10])
    names = {metric.name for metric in fi.evaluation.METRICS if metric.needs == "persons"}
    assert names <= set(board["perfect"].metrics)
    assert board["perfect"].metrics["tar_type1_1e3"].mean == 1
    assert board["perfect"].metrics["false_accepts_1e3"].mean <= 1e-3
    assert board["mean image"].metrics["person_top1"].mean <= 2 / 30
    assert board["perfect"].metrics["tar_type2_1e2"].n == 60
    assert board["perfect"].metrics["person_top10"].chance == pytest.approx(10 / 30)
    assert board["perfect"].metrics_by["gallery 10"]["person_top1"].chance == pytest.approx(1 / 10)
    for view in ("second", "low-pass", "jpeg 75", "shift"):
        assert "tar_type2_1e3" in board["blurred"].metrics_by[view], view
    # A failed reconstruction is accepted as nobody and ranks last.
    assert board["broken"].metrics["tar_type1_1e2"].mean == 0.5
    assert board["broken"].metrics["person_own_top1"].mean == 0.5
    assert board["broken"].metrics["person_top10"].mean <= 0.5
    # What a perfect reconstruction reaches is the judges' own ceiling.
    persons = board.protocol["persons"]
    assert persons["originals"][""]["tar_type2_1e3"]["mean"] == board["perfect"].metrics["tar_type2_1e3"].mean
    assert (persons["count"], persons["with_several_images"], persons["impostor_pairs"]) == (30, 30, 1740)
    assert board.per_image["blurred/tar_type1_1e3"].shape == (60,)
    board.save(tmp_path)
    again = fi.evaluation.load_scoreboard(tmp_path)
    assert again["blurred"].metrics == board["blurred"].metrics
    assert again.versus("perfect", "mean image", "tar_type1_1e2").low > 0


def test_the_panel_agrees_with_the_function() -> None:
    """The same judge's features through `verification`."""
    board = compared(PEOPLE)
    judge, made = PoolJudge(), blurred()
    single = some_images(30)
    pixels = np.repeat(single.uint8(np.arange(30)), 2, axis=0).astype(int)
    pixels += np.random.default_rng(0).integers(-25, 26, pixels.shape)
    truth = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2).float() / 255
    images = made.reconstruct(truth.flatten(1)).mul(255).round() / 255
    rates = verification(judge(images)[0].numpy(), judge(truth)[0].numpy(), PEOPLE)
    for name, interval in rates.items():
        measured = board["blurred"].metrics[name]
        assert measured.mean == pytest.approx(interval.mean), name
        assert (measured.n, measured.chance) == (interval.n, interval.chance), name


def test_without_people_or_with_single_images_nothing_is_made_up() -> None:
    alone = compared(None)
    assert not {name for name in alone["perfect"].metrics if name.startswith(("tar_", "person"))}
    assert "persons" not in alone.protocol
    single = compared([f"person {row}" for row in range(60)])
    assert {name for name in single["perfect"].metrics if name.startswith(("tar_", "person"))} == {
        *("tar_type1_1e3", "tar_type1_1e2", "person_own_top1", "person_own_top10")
    }
    reason = single.protocol["not_measured"]["tar_type2, person_top1, person_top10"]
    assert reason == "it needs two images of at least two people, and none of 60 has two"
    few = compared([f"person {row // 20}" for row in range(60)])
    assert "tar_type1_1e3" in few["perfect"].metrics
    assert "Not measured: tar_type2" in str(single)


def test_nobody_may_be_on_both_sides_of_a_comparison() -> None:
    with pytest.raises(BadInput, match=r"^public_clusters: expected nobody .*'person 3'"):
        compared(PEOPLE, public_clusters=["someone", "person 3"])
