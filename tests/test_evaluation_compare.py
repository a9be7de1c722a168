"""One comparison from end to end on stand-ins, where every number can be worked out apart from the code under test."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import (
    SIZE,
    FlatEncoder,
    PoolJudge,
    Stub,
    blurred,
    mean_image,
    perfect,
    published,
    some_images,
    unflat,
)
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

import featinv as fi
from featinv import BadInput
from featinv.data import ImageSet
from featinv.evaluation import Scoreboard, compare, excess_risk, wilson
from featinv.evaluation.judging import jpeg_75, low_pass, shift
from featinv.evaluation.measuring import derangement
from featinv.evaluation.panel import Panel
from featinv.victim import Release, Victim

FAST = {"resamples": 300, "progress": False}


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    attacks = {"blurred": blurred(), "mean image": mean_image(), "perfect": perfect()}
    judges = [PoolJudge(), PoolJudge("second")]
    return compare(attacks, published(), judges, galleries=[20], fit_seconds={"perfect": 3.0}, **FAST)


def test_controls_first_then_the_scorers_rows_then_attacks_in_the_given_order(board: Scoreboard) -> None:
    assert [(row.name, row.kind, row.role) for row in board.attacks] == [
        ("mean image", "control", "control"),
        ("feature linkage", "control", "linkage"),
        ("mismatched features (perfect)", "control", "mismatched features"),
        ("blurred", "attack", "attack"),
        ("perfect", "attack", "attack"),
    ]


def test_a_perfect_attack_gets_the_best_of_everything(board: Scoreboard) -> None:
    best = {"mse": 0.0, "psnr": 100.0, "ssim": 1.0, "judge_cosine": 1.0, "judge_agreement": 1.0}
    best |= {"low_pass_psnr": 100.0, "reid_auc": 1.0}
    best |= {"reid_top1": 1.0, "reid_top10": 1.0, "reid_mrr": 1.0, "attack_strength": 1.0}
    assert {name: interval.mean for name, interval in board["perfect"].metrics.items()} == pytest.approx(best, abs=1e-6)
    assert {interval.n for interval in board["perfect"].metrics.values()} == {60}


def test_pixel_metrics_agree_with_an_independent_evaluation(board: Scoreboard) -> None:
    release = published()
    for row, (original, vector) in enumerate(
        zip(release.truth.uint8(np.arange(60)), release.features, strict=True)  # type: ignore[union-attr]
    ):
        image = blurred().reconstruct(torch.from_numpy(vector[None]))[0].permute(1, 2, 0).numpy()
        eight_bit = np.round(image * 255).astype(np.uint8) / 255
        original = original / 255
        psnr = peak_signal_noise_ratio(original, eight_bit, data_range=1.0)
        ssim = structural_similarity(
            original,
            eight_bit,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=1.0,
        )
        assert board.per_image["blurred/psnr"][row] == pytest.approx(psnr, abs=1e-4)
        assert board.per_image["blurred/ssim"][row] == pytest.approx(ssim, abs=1e-4)
        cells = [image.reshape(8, 2, 8, 2, 3).mean((1, 3)) for image in (original, eight_bit)]
        low_pass_psnr = peak_signal_noise_ratio(*cells, data_range=1.0)
        assert board.per_image["blurred/low_pass_psnr"][row] == pytest.approx(low_pass_psnr, abs=1e-4)
        assert board.per_image["blurred/mse"][row] == pytest.approx(((original - eight_bit) ** 2).mean(), abs=1e-6)


def judged(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    features = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1).numpy().astype(np.float64)
    return features, images.mean((2, 3)).argmax(dim=1).numpy()


@pytest.mark.parametrize("view", ["", "low-pass", "jpeg 75", "shift", "second", "mismatched features"])
def test_judged_numbers_agree_with_an_independent_evaluation(board: Scoreboard, view: str) -> None:
    release = published()
    originals = release.truth.batch(np.arange(60))  # type: ignore[union-attr]
    made = (blurred().reconstruct(torch.from_numpy(release.features)) * 255).round() / 255
    treated = {"low-pass": low_pass, "jpeg 75": jpeg_75, "shift": shift}.get(view, lambda images: images)(made)
    if view == "mismatched features":
        treated = made[derangement(60, 0)]
    (seen, labels), (true, true_labels) = judged(treated), judged(originals)
    key = f"/{view}" if view else ""
    cosine = (seen * true).sum(1) / np.linalg.norm(seen, axis=1) / np.linalg.norm(true, axis=1)
    assert board.per_image[f"blurred/judge_cosine{key}"] == pytest.approx(cosine, abs=1e-5)
    assert board.per_image[f"blurred/judge_agreement{key}"].tolist() == (labels == true_labels).tolist()
    a, b = seen - true.mean(0), true - true.mean(0)
    scores = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    ranks = [1 + sum(row[j] >= row[i] for j in range(60) if j != i) for i, row in enumerate(scores)]
    assert board.per_image[f"blurred/rank{key}"].tolist() == ranks


@pytest.mark.parametrize("view", ["", "low-pass", "second"])
def test_ranks_within_the_class_agree_with_an_independent_evaluation(board: Scoreboard, view: str) -> None:
    """The candidates are the images that the first judge gives the same label, centred on their own mean."""
    release = published()
    originals = release.truth.batch(np.arange(60))  # type: ignore[union-attr]
    made = (blurred().reconstruct(torch.from_numpy(release.features)) * 255).round() / 255
    (seen, _), (true, classes) = judged(low_pass(made) if view == "low-pass" else made), judged(originals)
    for i in range(60):
        same = np.flatnonzero(classes == classes[i])
        mean = true[same].mean(0)
        scores = [np.dot(seen[i] - mean, true[j] - mean) / np.linalg.norm(true[j] - mean) for j in same]
        own = scores[same.tolist().index(i)]
        rank = sum(score >= own for score in scores)
        suffix = f", {view}" if view else ""
        auc = 1 - (rank - 1) / (len(same) - 1)
        assert board.per_image[f"blurred/reid_auc/within class{suffix}"][i] == pytest.approx(auc, abs=1e-6)
        if not view:
            assert board.per_image["blurred/rank/within class"][i] == rank
    sizes = np.bincount(classes)
    chance = board["blurred"].metrics_by["within class"]["reid_top10"].chance
    assert chance == pytest.approx(sum(min(10, size) for size in sizes) / 60)
    assert board["mean image"].metrics_by["within class"]["reid_auc"].mean == pytest.approx(0.5)
    assert board.protocol["classes"] == {"source": "the first judge", "count": 3}


def test_labels_of_the_images_are_the_classes_and_one_alone_says_nothing() -> None:
    labels = np.array([0] * 30 + [1] * 29 + [2])
    plain = some_images()
    labelled = ImageSet(plain.uint8(np.arange(60)), ids=plain.ids, labels=labels, classes=("a", "b", "c"))
    known = compare({"mean image": mean_image(), "perfect": perfect()}, published(labelled), [PoolJudge()], **FAST)
    assert known.protocol["classes"] == {"source": "the private images", "count": 3}
    auc = known.per_image["perfect/reid_auc/within class"]
    assert auc[:59].tolist() == [1.0] * 59
    assert auc[59] == 0.5


def test_clusters_are_asked_for_and_widen_the_intervals() -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    twins = [f"person {row // 6}" for row in range(60)]
    plain, clustered = (compare(attacks, published(), [PoolJudge()], clusters=c, **FAST) for c in (None, twins))
    assert clustered.protocol["clusters"] == 10
    assert plain.protocol["clusters"] is None
    assert clustered.per_image["clusters"].tolist() == [row // 6 for row in range(60)]
    one, ten = plain["blurred"].metrics["psnr"], clustered["blurred"].metrics["psnr"]
    assert (one.mean, one.n) == (ten.mean, ten.n)
    assert one != ten
    with pytest.raises(BadInput, match="clusters: expected one id for each of 60 images, got 3"):
        compare(attacks, published(), [PoolJudge()], clusters=[1, 2, 3], **FAST)


def test_galleries_of_a_hundred_and_a_thousand_are_the_default() -> None:
    attacks = {"mean image": mean_image(), "perfect": perfect()}
    assert compare(attacks, published(some_images(120)), [PoolJudge()], **FAST).protocol["galleries"] == [100]
    assert compare(attacks, published(), [PoolJudge()], **FAST).protocol["galleries"] == []
    asked = compare(attacks, published(some_images(120)), [PoolJudge()], galleries=[], **FAST)
    assert asked.protocol["galleries"] == []


def test_rates_and_means_are_those_of_the_images(board: Scoreboard) -> None:
    row = board["blurred"]
    ranks, agreement = board.per_image["blurred/rank"], board.per_image["blurred/judge_agreement"]
    for k in (1, 10):
        expected = wilson(int((ranks <= k).sum()), 60, chance=k / 60)
        assert row.metrics[f"reid_top{k}"] == expected
    assert row.metrics["judge_agreement"].mean == pytest.approx(agreement.mean())
    assert row.metrics["reid_mrr"].mean == pytest.approx((1 / ranks).mean())
    assert row.metrics["reid_mrr"].chance == pytest.approx(sum(1 / r for r in range(1, 61)) / 60)
    assert row.metrics["psnr"].mean == pytest.approx(board.per_image["blurred/psnr"].mean(), abs=1e-5)
    assert row.metrics["psnr"].low < row.metrics["psnr"].mean < row.metrics["psnr"].high
    assert row.metrics_by["gallery 20"]["reid_top10"].chance == 0.5
    assert row.metrics_by["gallery 20"]["reid_top1"].mean >= row.metrics["reid_top1"].mean


def test_chance_of_agreement_is_the_share_of_the_commonest_label(board: Scoreboard) -> None:
    _, labels = judged(some_images().batch(np.arange(60)))
    chance = np.bincount(labels).max() / 60
    assert {row.metrics["judge_agreement"].chance for row in board.attacks if row.role != "linkage"} == {chance}


def test_strength_is_the_excess_over_the_best_control(board: Scoreboard) -> None:
    hits = {row.name: int((board.per_image[f"{row.name}/rank"] <= 10).sum()) for row in board.attacks}
    controls = [hits[row.name] for row in board.attacks if row.counts_as_control]
    assert board["blurred"].metrics["attack_strength"] == excess_risk(hits["blurred"], max(controls), 60)
    assert hits[board.protocol["best_control"]] == max(controls)
    # The linkage finds everything, and must not be what an attack has to beat.
    assert hits["feature linkage"] == 60 > max(controls)
    for row in board.attacks:
        assert ("attack_strength" in row.metrics) == (row.kind == "attack")


def test_a_mismatched_features_is_worth_nothing(board: Scoreboard) -> None:
    wrong = board["mismatched features (perfect)"]
    assert wrong.metrics["psnr"].mean < 30 < board["perfect"].metrics["psnr"].mean
    assert wrong.metrics["reid_top1"].mean == 0.0
    assert board["perfect"].metrics_by["mismatched features"]["psnr"].mean == wrong.metrics["psnr"].mean
    assert set(board["perfect"].metrics) - {"attack_strength"} == set(wrong.metrics)


@pytest.mark.parametrize("count", [2, 3, 100])
def test_a_derangement_leaves_nothing_in_its_place(count: int) -> None:
    order = derangement(count, 5)
    assert sorted(order.tolist()) == list(range(count))
    assert not (order == np.arange(count)).any()


def test_a_constant_image_stays_at_chance(board: Scoreboard) -> None:
    for k in (1, 10):
        interval = board["mean image"].metrics[f"reid_top{k}"]
        assert interval.mean == pytest.approx(interval.chance)


def test_views_hold_what_was_asked_for(board: Scoreboard) -> None:
    plain = ["low-pass", "jpeg 75", "shift", "second"]
    others = ["gallery 20", "within class", "mismatched features", *(f"within class, {view}" for view in plain)]
    others += [f"mismatched features ({view})" for view in plain]
    assert set(board["perfect"].metrics_by) == {*plain, *others}
    assert set(board["perfect"].metrics_by["within class"]) == {
        *("reid_top1", "reid_top10", "reid_mrr", "reid_auc", "attack_strength")
    }
    assert set(board["perfect"].metrics_by["within class, shift"]) == {"reid_auc"}
    assert set(board["perfect"].metrics_by["mismatched features (second)"]) == {"judge_agreement"}
    assert set(board["feature linkage"].metrics) == {"reid_top1", "reid_top10", "reid_mrr", "reid_auc"}
    assert list(board["feature linkage"].metrics_by) == ["gallery 20"]


def test_the_protocol_says_who_saw_what(board: Scoreboard) -> None:
    protocol = board.protocol
    assert protocol["private"] == {"count": 60, "size": SIZE, "fingerprint": some_images().fingerprint}
    assert [judge["name"] for judge in protocol["judges"]] == ["pool", "second"]
    assert protocol["galleries"] == [20]
    assert protocol["chance"]["reid_top10"] == pytest.approx(1 / 6)
    assert protocol["versions"]["torch"] == torch.__version__.split("+")[0]
    assert board.victim["family"] == "flat"
    assert board["perfect"].seconds_by["fit"] == 3.0
    assert board["perfect"].seconds > 3.0
    # A low-pass costs the originals themselves some identification; that ceiling stands beside the treated rates.
    assert 0 < protocol["treated_originals"]["low-pass"]["reid_top10"]["mean"] <= 1


def test_neither_batches_nor_the_order_of_rows_change_a_number(board: Scoreboard) -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    judges = [PoolJudge(), PoolJudge("second")]
    again = compare(attacks, published(), judges, galleries=[20], batch_size=7, **FAST)
    for key, values in board.per_image.items():
        assert values.astype(float) == pytest.approx(again.per_image[key].astype(float), abs=1e-5), key


def test_every_image_is_scored_once_in_order() -> None:
    """A prepared loader repeats images to fill its last batch; one unpadded pass does not (rule 6)."""
    asked: list[int] = []

    def watching(features: Tensor) -> Tensor:
        asked.append(len(features))
        return unflat(features)

    board = compare(
        {"mean image": mean_image(), "watched": Stub(watching)}, published(), [PoolJudge()], batch_size=25, **FAST
    )
    assert asked == [2, 25, 25, 10]
    assert board["watched"].metrics["psnr"].n == 60


def test_reconstructions_are_scored_as_8_bit_files() -> None:
    nearly = Stub(lambda features: (unflat(features) + 0.3 / 255).clamp(0, 1))
    board = compare({"mean image": mean_image(), "nearly": nearly}, published(), [PoolJudge()], **FAST)
    assert board["nearly"].metrics["mse"].mean == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0, -1.0])
def test_what_is_no_image_is_named_and_counted_as_the_worst(value: float) -> None:
    truth = published().truth
    assert truth is not None

    def spoiled(features: Tensor) -> Tensor:
        images = unflat(features).clone()
        broken = (features == torch.from_numpy(published().features[40])).all(dim=1)
        images[broken] = value
        return images

    board = compare({"mean image": mean_image(), "spoiled": Stub(spoiled)}, published(), [PoolJudge()], **FAST)
    row = board["spoiled"]
    assert any("1 reconstructions were no images" in note for note in row.notes)
    assert "1 reconstructions were no images" in str(board)
    assert row.metrics["psnr"].n == row.metrics["reid_top1"].n == 60
    assert board.per_image["spoiled/failed"].tolist() == [row == 40 for row in range(60)]
    for metric, worse in (("mse", max), ("psnr", min), ("ssim", min), ("judge_cosine", min)):
        control = board.per_image[f"mean image/{metric}"]
        assert board.per_image[f"spoiled/{metric}"][40] == worse(control)
    assert board.per_image["spoiled/rank"][40] == 60
    assert not board.per_image["spoiled/judge_agreement"][40]


def test_an_attack_that_fails_everywhere_is_no_better_than_the_worst() -> None:
    nothing = Stub(lambda features: torch.full((len(features), 3, SIZE, SIZE), float("nan")))
    board = compare({"mean image": mean_image(), "nothing": nothing}, published(), [PoolJudge()], **FAST)
    assert board["nothing"].metrics["reid_top10"].mean == 0.0
    assert board["nothing"].metrics["psnr"].mean <= board["mean image"].metrics["psnr"].mean
    broken_control = Stub(nothing.function, kind="control")
    board = compare({"broken": broken_control}, published(), [PoolJudge()], **FAST)
    assert board["broken"].metrics["psnr"].mean == 0.0


def test_few_images_have_no_strength_and_the_note_says_so() -> None:
    board = compare({"grey": mean_image(), "perfect": perfect()}, published(some_images(10)), [PoolJudge()], **FAST)
    assert "attack_strength" not in board["perfect"].metrics
    assert any("attack_strength not measured" in note for note in board["perfect"].notes)


def test_without_the_victim_there_is_no_feature_linkage() -> None:
    whole = published()
    release = Release(whole.features, whole.metadata, whole.truth)
    board = compare({"grey": mean_image(), "perfect": perfect()}, release, [PoolJudge()], **FAST)
    assert "feature linkage" not in [row.name for row in board.attacks]


def test_noise_that_nobody_can_repeat_weakens_the_feature_linkage() -> None:
    truth = some_images()
    victim = Victim(FlatEncoder(), fi.defences.GaussianNoise(3.0))
    release = fi.release(victim, truth)
    board = compare(
        {"grey": mean_image(), "clamped": Stub(lambda f: unflat(f).clamp(0, 1))}, release, [PoolJudge()], **FAST
    )
    assert board["feature linkage"].metrics["reid_top1"].mean < 0.9


def test_floor_and_ceiling_stand_together() -> None:
    victim = Victim(FlatEncoder(), fi.defences.GaussianNoise(1.5))
    release = fi.release(victim, some_images())
    attacks = {"grey": mean_image(), "clamped": Stub(lambda f: unflat(f).clamp(0, 1))}
    board = compare(attacks, release, [PoolJudge()], galleries=[20], **FAST)
    rates = {(one["k"], one["size"]): one for one in board.protocol["ceiling"]["rates"]}
    assert set(rates) == {(1, 20), (10, 20), (1, 60), (10, 60)}
    assert board.protocol["ceiling"]["draws"] == 20
    for key, values in {(1, 60): "ceiling_top1", (10, 20): "ceiling_top10/gallery 20"}.items():
        assert board.per_image[f"feature linkage/{values}"].mean() == pytest.approx(rates[key]["mean"])
    for row in board.attacks:
        assert row.metrics["reid_top1"].low <= rates[1, 60]["high"]
    low = max(row.metrics["reid_top10"].low for row in board.attacks if row.role in ("control", "attack"))
    bounds = [f"{100 * bound:.1f}".removesuffix(".0") for bound in (low, rates[10, 60]["high"])]
    assert f"at least {bounds[0]} %" in board.leak_level.sentence
    assert f"for at most {bounds[1]} % whatever attack" in board.leak_level.sentence


def test_no_ceiling_is_claimed_without_a_likelihood_or_the_victim() -> None:
    attacks = {"grey": mean_image(), "clamped": Stub(lambda f: unflat(f).clamp(0, 1))}
    foreign = fi.release(Victim(FlatEncoder(), nn.Dropout(0.0)), some_images())
    bare = Release(foreign.features, foreign.metadata, foreign.truth)
    for release in (foreign, bare):
        board = compare(attacks, release, [PoolJudge()], **FAST)
        assert board.protocol["ceiling"]["known"] is False
        assert "no ceiling known" in board.leak_level.sentence
        assert not [key for key in board.per_image if "ceiling" in key]


def test_a_release_of_groups_is_linked_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.victim.published.BLOCK", 25)
    monkeypatch.setattr("featinv.evaluation.linkage._BLOCK", 25)
    victim = Victim(FlatEncoder(), fi.defences.Microaggregate(5))
    board = compare({"grey": mean_image()}, fi.release(victim, some_images()), [PoolJudge()], **FAST)
    # Every group of 5 is linked to its own 5: never first against ties, and always among ten.
    assert board["feature linkage"].metrics["reid_top10"].mean == 1
    assert board["feature linkage"].metrics["reid_top1"].mean == 0
    rates = {one["k"]: one["mean"] for one in board.protocol["ceiling"]["rates"]}
    assert rates == {1: pytest.approx(0.2), 10: 1}


# What it refuses.


def refuse(match: str, attacks: dict[str, Any] | None = None, **changes: Any) -> None:
    given: dict[str, Any] = {"release": published(), "judges": [PoolJudge()], **FAST, **changes}
    with pytest.raises(BadInput, match=match):
        compare(attacks if attacks is not None else {"mean image": mean_image(), "perfect": perfect()}, **given)


def test_refuses_galleries_larger_than_the_private_set() -> None:
    refuse("gallery of 1000 asked for, 60 private images given", galleries=[1000])


def test_refuses_a_release_without_images_or_with_one() -> None:
    whole = published()
    refuse("needs the private images", release=Release(whole.features, whole.metadata))
    refuse("at least 2 private images, got 1", release=published(some_images(1)))


def test_refuses_other_private_images_than_those_released() -> None:
    released = fi.release(Victim(FlatEncoder()), some_images())
    refuse("got others", release=Release(released.features, released.metadata, some_images(seed=1), released.victim))


def test_duplicates_are_written_down() -> None:
    overlap = fi.data.Overlap(exact=[], near=[("a", "b"), ("a", "c")])
    board = compare({"grey": mean_image()}, published(), [PoolJudge()], public=some_images(9), overlap=overlap, **FAST)
    assert board.protocol["overlap"] == {"exact": 0, "near": 2}
    assert board.protocol["public"]["count"] == 9


def test_refuses_empty_batches() -> None:
    refuse("batch_size: expected at least 1, got 0", batch_size=0)


def test_large_images_come_in_smaller_batches() -> None:
    assert Panel.prepare(some_images(4, size=2048), [PoolJudge()], batch_size=256).batch_size == 1


def test_refuses_no_judges_and_judges_of_one_name() -> None:
    refuse("at least one, of another family", judges=[])
    refuse("two are called 'pool'", judges=[PoolJudge(), PoolJudge()])
    refuse("two are called 'pool' and 'Pool'", judges=[PoolJudge(), PoolJudge("Pool")])
    for name in ("low-pass", "gallery 100", "mismatched features", "within class, x", "mismatched features, x", ""):
        refuse("another view of the scoreboard", judges=[PoolJudge(), PoolJudge(name)])


def test_refuses_a_judge_that_answers_otherwise() -> None:
    class Mute(PoolJudge):
        def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
            return images.flatten(1)

    refuse(r"must answer \(features \(B, D\), logits \(B, K\)\); got \(60, 768\)", judges=[Mute()])


def test_refuses_the_victim_as_its_own_judge() -> None:
    refuse("victim's own network", release=published(fingerprint="judge pool"))
    network = fi.encoders.networks.CifarResNet(8, 10)
    encoder = fi.encoders.Encoder(network, name="net", family="resnet", layer="avgpool", input_size=32)
    judge = fi.encoders.Judge(
        network,
        name="disguised",
        family="another",
        trained_on="elsewhere",
        classes=("a", "b"),
        input_size=48,
        layer="avgpool",
    )
    assert judge.fingerprint != encoder.fingerprint
    release = fi.release(Victim(encoder), some_images(20))
    attack = Stub(lambda features: torch.full((len(features), 3, SIZE, SIZE), 0.5), kind="control")
    refuse("victim's own network", {"grey": attack}, release=release, judges=[judge])


def test_refuses_a_judge_that_serves_an_attack() -> None:
    judge = PoolJudge()
    attack = perfect()
    attack.objective = {"terms": [(0.5, {"network": nn.Sequential(judge)})]}  # type: ignore[attr-defined]
    refuse("'pool' is used by the attack 'trained'", {"grey": mean_image(), "trained": attack}, judges=[judge])

    class Wrapped:
        def __init__(self) -> None:
            self.network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))

    wrapped, copy = Wrapped(), nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    copy.load_state_dict(wrapped.network.state_dict())
    weighted = PoolJudge()
    weighted.add_module("body", copy)
    attack.objective = wrapped  # type: ignore[attr-defined]
    refuse("is used by the attack", {"grey": mean_image(), "trained": attack}, judges=[weighted])


def test_a_sibling_may_stand_beside_but_not_first() -> None:
    sibling = PoolJudge("sibling", family="flat")
    refuse("put another one first", judges=[sibling, PoolJudge()])
    refuse("add one of another family", judges=[sibling])
    attacks = {"grey": mean_image(), "perfect": perfect()}
    board = compare(attacks, published(), [PoolJudge(), sibling], **FAST)
    assert [judge["sibling"] for judge in board.protocol["judges"]] == [False, True]
    assert "Judge sibling: family flat, trained on nothing: a SIBLING" in str(board)
    allowed = compare(attacks, published(), [sibling], allow_sibling=True, **FAST)
    assert allowed.protocol["judges"][0]["sibling"]


def test_the_same_family_on_other_data_is_no_sibling_unless_nobody_says_which() -> None:
    compare({"grey": mean_image()}, published(), [PoolJudge("a", family="flat", trained_on="other data")], **FAST)
    refuse("victim's family", judges=[PoolJudge("a", family="flat", trained_on="")])


def test_refuses_a_table_without_a_control() -> None:
    refuse(r"no control among them.*'mean image': featinv.attacks.MeanImage\(\)", {"perfect": perfect()})
    refuse("at least one, got none", {})


def test_refuses_an_attack_fitted_on_another_victim() -> None:
    other = published(fingerprint="other weights").metadata
    refuse("^perfect: features", {"grey": mean_image(), "perfect": Stub(unflat, victim=other)})


@pytest.mark.parametrize("name", ["", " ", "a/b", "line\nbreak"])
def test_refuses_names_that_cannot_be_keys(name: str) -> None:
    refuse("printable name without '/'", {"grey": mean_image(), name: perfect()})


def test_refuses_an_unknown_kind() -> None:
    refuse("kind 'control' or 'attack', got 'baseline'", {"grey": mean_image(), "odd": Stub(unflat, kind="baseline")})


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (
            lambda features: torch.zeros(len(features), 3, 8, 8),
            r"^odd: expected reconstructions of shape \(2, 3, 16, 16\)",
        ),
        (lambda features: unflat(features)[:1], r"^odd: expected reconstructions of shape"),
        (lambda features: unflat(features) * 2 - 1, r"^odd: images must lie in \[0, 1\]; got min"),
        (lambda features: unflat(features) * 255, r"^odd: images must lie in \[0, 1\]; got min"),
    ],
)
def test_refuses_another_shape_or_range_before_anything_is_scored(function: Any, match: str) -> None:
    refuse(match, {"grey": mean_image(), "odd": Stub(function)})


# The treatments.


def test_low_pass_takes_texture_and_leaves_flat_colour() -> None:
    checker = torch.zeros(1, 3, 16, 16)
    checker[:, :, ::2, ::2] = 1
    checker[:, :, 1::2, 1::2] = 1
    assert torch.allclose(low_pass(checker), torch.full_like(checker, 0.5))
    assert torch.allclose(low_pass(torch.full((1, 3, 15, 15), 0.3)), torch.full((1, 3, 15, 15), 0.3))


@pytest.mark.parametrize(("size", "step"), [(16, 1), (32, 1), (64, 2), (256, 8)])
def test_shift_moves_by_a_32nd_and_repeats_the_edge(size: int, step: int) -> None:
    images = torch.rand(2, 3, size, size)
    moved = shift(images)
    assert torch.equal(moved[:, :, step:, step:], images[:, :, :-step, :-step])
    assert torch.equal(moved[:, :, 0, 0], images[:, :, 0, 0])


def test_jpeg_is_pillows() -> None:
    images = some_images(3, size=32).batch(np.arange(3))
    coded = jpeg_75(images)
    for image, ours in zip(some_images(3, size=32).uint8(np.arange(3)), coded, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=75)
        assert np.array_equal(
            np.asarray(Image.open(buffer)), (ours.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        )
    assert coded.shape == images.shape


def small_judge(seed: int) -> fi.encoders.Judge:
    torch.manual_seed(seed)
    network = fi.encoders.networks.SmallResNet(3, widths=(4,), blocks=(1,))
    return fi.encoders.Judge(
        network, name="small", family="resnet", trained_on="nothing", classes=("a", "b"), input_size=SIZE
    )


def seen_through(seed: int, layer: str, size: int) -> fi.encoders.Encoder:
    network = small_judge(seed).network
    return fi.encoders.wrap(network, name="eyes", family="resnet", layer=layer, input_size=size)


class Barring(Stub):
    """An attack that was loaded: it remembers the fingerprints of its networks and has none of them."""

    def __init__(self, excluded: frozenset[str]) -> None:
        super().__init__(lambda vectors: unflat(vectors))
        self.excluded_judges = excluded


def test_refuses_a_judge_whose_weights_an_attack_learnt_to_please() -> None:
    eyes = seen_through(0, "stem", 32)
    loss = fi.losses.Perceptual(eyes) + fi.losses.L1()
    discriminator = fi.discriminators.Projection(fi.discriminators.FrozenFeatures(eyes, 32, layers=["stem"]), 5)
    for excluded in (loss.fingerprints, discriminator.fingerprints):
        attacks = {"grey": mean_image(), "gan": Barring(excluded)}
        refuse("'small' has the weights of a network .* 'gan' was trained with", attacks, judges=[small_judge(0)])
        inside = Stub(lambda vectors: unflat(vectors))
        inside.attack = Barring(excluded)  # type: ignore[attr-defined]
        refuse("learnt to please it", {"grey": mean_image(), "wrapped": inside}, judges=[small_judge(0)])
        # Another network of the same architecture may judge.
        compare(attacks, published(), [small_judge(1)], **FAST)


def test_refuses_the_network_of_a_loss_after_the_attack_was_saved_and_loaded(tmp_path: Any) -> None:
    pairs = fi.testing.synthetic_pairs(feature_shape=(3 * SIZE * SIZE,), size=SIZE)
    objective = fi.losses.MSE() + fi.losses.FeatureConsistency(seen_through(0, "avgpool", SIZE), views=0)
    decoder = fi.decoders.Upsampling(3 * SIZE * SIZE, SIZE, width=8, channels=4)
    attack = fi.attacks.DecoderAttack(decoder, objective, fi.Training(images=16, batch_size=16, holdout=8))
    attack.fit(pairs, progress=False)
    fi.attacks.save_attack(attack, tmp_path / "attack")
    loaded = fi.attacks.load_attack(tmp_path / "attack")
    refuse("is used by the attack", {"grey": mean_image(), "fresh": attack}, judges=[small_judge(0)])
    refuse("learnt to please it", {"grey": mean_image(), "loaded": loaded}, judges=[small_judge(0)])
