"""A metric is an object: one written elsewhere is measured, compared, printed, saved, reported and recorded."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import PoolJudge, Stub, blurred, mean_image, perfect, published, some_images
from PIL import Image
from recipe_modules import recipe
from torch import Tensor

import featinv as fi
from featinv import BadInput, cli
from featinv.command_line import parse
from featinv.evaluation import Catalogue, Scoreboard, compare, kernel_distance, load_scoreboard
from featinv.metrics import Metric
from featinv.tracking.attack_record import private_summary
from featinv.tracking.comparison_record import comparison_record
from featinv.tracking.probe_table import probe_table

FAST: dict[str, Any] = {"resamples": 200, "progress": False}
PACKAGE = """
from featinv.metrics import Metric


def pixel_error(made, original):
    return (made - original).abs().mean((1, 2, 3))


class Brightness:
    def __call__(self, made, original):
        return -(made.mean((1, 2, 3)) - original.mean((1, 2, 3))).abs()


mean_error = Metric(
    "mean_error",
    pixel_error,
    higher_is_better=False,
    worst=1.0,
    title="Mean error",
    unit="%",
    factor=100,
    family="pixel",
    text="How far the pixels are off, on average.",
)


def brightness():
    return Metric("brightness", Brightness(), higher_is_better=True, worst=-1.0)


near = Metric(
    "near",
    lambda made, original: (abs(made.features - original.features) < 0.05).all(1),
    needs="judge",
    higher_is_better=True,
    worst=0.0,
    title="Near",
    unit="%",
    factor=100,
    family="identification",
    text="How often the judge sees nearly the same.",
)
number = 7
"""


SMALL = """
attacks: {mean image: {attack: {name: MeanImage}}, ridge: {attack: {name: Ridge}}}
images: {size: 32, public: 40, private: 20}
flips: false
samples: 2
tracking: {mode: disabled}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "their_metrics").mkdir()
    (folder / "their_metrics" / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield "their_metrics"
    sys.path.remove(str(folder))
    sys.modules.pop("their_metrics", None)


@pytest.fixture(scope="module")
def board(package: str) -> Scoreboard:
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    names = [f"{package}.mean_error", f"{package}.near", f"{package}.brightness"]
    return compare(attacks, published(), [PoolJudge()], metrics=names, **FAST)


def test_it_is_measured_like_the_others(board: Scoreboard) -> None:
    """Against arrays worked out here from the images themselves."""
    release = published()
    assert release.truth is not None
    original = release.truth.batch(np.arange(60)).numpy()
    made = np.round(blurred().reconstruct(torch.from_numpy(release.features)).numpy() * 255) / 255
    expected = np.abs(made - original).mean((1, 2, 3))
    assert board.per_image["blurred/mean_error"] == pytest.approx(expected, abs=1e-6)
    assert board.per_image["blurred/near"].dtype == bool
    assert {
        "blurred/near/low-pass",
        "blurred/near/mismatched features",
        "blurred/mean_error/mismatched features",
    } <= set(board.per_image)
    interval = board["blurred"].metrics["mean_error"]
    assert interval.mean == pytest.approx(expected.mean(), abs=1e-6)
    assert interval.low < interval.mean < interval.high
    assert board["perfect"].metrics["mean_error"].mean == 0
    rate = board["perfect"].metrics["near"]
    assert (rate.mean, rate.n) == (1.0, 60)
    assert rate.low == pytest.approx(60 / (60 + 1.959964**2), abs=1e-6), "Wilson's bound of 60 in 60, by hand"
    assert board.protocol["panel"] == ["mean_error", "near", "brightness"]


def test_it_takes_part_in_versus(board: Scoreboard) -> None:
    verdict = board.versus("blurred", "mean image")
    assert set(verdict.families["pixel"].differences) == {"mse", "psnr", "ssim", "mean_error"}
    assert verdict.families["pixel"].differences["mean_error"].side == "better", "a lower error is better"
    assert "near" in verdict.families["identification"].differences
    assert board.versus("blurred", "mean image", "mean_error").high < 0


def test_it_is_printed_saved_and_read_back_without_its_package(board: Scoreboard, tmp_path: Path) -> None:
    first = str(board).splitlines()[2]
    assert re.search(r"strength %\s+Mean error %\s+Near %\s+brightness$", first)
    board.save(tmp_path)
    document = json.loads((tmp_path / "scoreboard.json").read_text())
    row = next(row for row in document["attacks"] if row["name"] == "blurred")
    assert set(row["metrics"]["mean_error"]) == {"mean", "low", "high", "n"}
    assert document["protocol"]["metrics"]["mean_error"]["function"] == "their_metrics.pixel_error"
    kept = sys.modules.pop("their_metrics")
    path, sys.path[:] = list(sys.path), [one for one in sys.path if "theirs" not in one]
    again = load_scoreboard(tmp_path)
    assert str(again) == str(board)
    assert again.versus("blurred", "mean image") == board.versus("blurred", "mean image")
    text = fi.report.write(tmp_path, tmp_path / "report.md").read_text(encoding="utf-8")
    html = fi.report.write(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "their_metrics" not in sys.modules
    sys.modules["their_metrics"], sys.path[:] = kept, path
    interval = board["blurred"].metrics["mean_error"]
    for written in (text, html):
        assert "Mean error, %" in written
        assert "How far the pixels are off, on average." in written
        assert f"{100 * interval.mean:.1f}" in written
    assert "Intervals of Mean error, %" in html, "its figure"


def test_it_stands_in_the_records_for_wandb(board: Scoreboard) -> None:
    record = comparison_record(board, {})
    table = record.tables["scoreboard/rows"]
    blurred_row = dict(zip(table.columns, next(row for row in table.rows if row[0] == "blurred"), strict=True))
    interval = board["blurred"].metrics["mean_error"]
    assert [blurred_row[f"mean_error{bound}"] for bound in ("", "_low", "_high")] == [
        interval.mean,
        interval.low,
        interval.high,
    ]
    assert "plots/mean_error" in record.plots
    assert private_summary(board["blurred"])["attack/mean_error"] == interval.mean
    probe = probe_table(board, "blurred", np.arange(3))
    column = probe.columns.index("mean_error")
    assert [row[column] for row in probe.rows] == pytest.approx(board.per_image["blurred/mean_error"][:3].tolist())


def test_a_recipe_takes_it_from_the_command_line(package: str, tmp_path: Path) -> None:
    compare_recipe = recipe("compare")
    config = tmp_path / "small.yaml"
    config.write_text(SMALL, encoding="utf-8")
    arguments = ["--config", str(config), "--out", str(tmp_path / "run")]
    arguments += ["--metrics", f"[default,{package}.mean_error]"]
    compare_recipe.main(parse(compare_recipe.Config, arguments=arguments))
    found = load_scoreboard(tmp_path / "run")
    assert "mean_error" in found["ridge"].metrics
    assert "Mean error, %" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_audit_takes_it(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = fi.data.scenes(90, size=32, seed=11)
    for side, rows in (("public", range(60)), ("private", range(60, 90))):
        (tmp_path / side).mkdir()
        for row in rows:
            Image.fromarray(images.uint8([row])[0]).save(tmp_path / side / f"{row:03d}.png")
    flags = ["--victim", "tiny", "--public", str(tmp_path / "public"), "--private", str(tmp_path / "private")]
    flags += ["--minutes", "0.01", "--out", str(tmp_path / "run"), "--metrics", f"{package}.mean_error"]
    monkeypatch.setattr("featinv.audit.suite.RANDOM_FEATURES", 20)
    monkeypatch.setattr(sys, "argv", ["featinv", "audit", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    found = load_scoreboard(tmp_path / "run")
    assert all("mean_error" in row.metrics for row in found.attacks if row.kind == "attack")
    for written in ("report.html", "report.md"):
        assert "Mean error, %" in (tmp_path / "run" / written).read_text(encoding="utf-8")


def test_the_audit_refuses_an_unknown_metric_first(tmp_path: Path) -> None:
    settings = fi.audit.AuditSettings(
        str(tmp_path / "run"), public=str(tmp_path), private=str(tmp_path), victim="tiny", metrics=("nowhere.metric",)
    )
    with pytest.raises(BadInput, match="^--metrics: cannot import 'nowhere.metric'"):
        fi.audit.run_audit(settings)


def test_a_failed_reconstruction_gets_the_worst(package: str) -> None:
    def broken(features: Tensor) -> Tensor:
        images = features.reshape(len(features), 3, 16, 16).clone()
        images[0] = float("nan")
        return images

    attacks = {"mean image": mean_image(), "broken": Stub(broken)}
    found = compare(attacks, published(), [PoolJudge()], metrics=[f"{package}.mean_error", f"{package}.near"], **FAST)
    failed = found.per_image["broken/failed"]
    assert failed.any()
    worst = found.per_image["mean image/mean_error"].max()
    assert found.per_image["broken/mean_error"][failed].tolist() == [worst] * int(failed.sum())
    assert not found.per_image["broken/near"][failed].any()


def metric(function: Callable[..., Any], name: str = "mine", **parts: Any) -> Metric:
    return Metric(name, function, **({"higher_is_better": True, "worst": 0.0} | parts))


def distance(made: Tensor, original: Tensor) -> Tensor:
    return -(made - original).abs().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda made, original: (made - original).abs().mean(), r"one number an image, shape \(4,\); got \(\)"),
        (lambda made, original: made.flatten(1), r"one number an image, shape \(4,\); got \(4, 768\)"),
        (lambda made, original: 3.0, r"one number an image, shape \(4,\); got float"),
        (lambda made, original: distance(made, original) / 0, r"must be finite, got (nan|-inf)"),
        (lambda made, original: distance(made, original).mean().expand(len(made)), "depends on the other images"),
        (lambda made, original: distance(made, original).to(torch.complex64), "numbers or truth values"),
    ],
)
def test_a_bad_answer_is_said_before_the_long_work(function: Callable[..., Any], said: str) -> None:
    worked = []

    def slow(features: Tensor) -> Tensor:
        worked.append(len(features))
        return features.reshape(len(features), 3, 16, 16)

    attacks = {"mean image": mean_image(), "slow": Stub(slow)}
    with pytest.raises(BadInput, match=rf"metrics: 'mine' .*{said}") as caught:
        compare(attacks, published(), [PoolJudge()], metrics=[metric(function)], **FAST)
    assert "\n" not in str(caught.value)
    assert not worked


def test_a_value_that_is_not_finite_later_names_its_image() -> None:
    truth = some_images(30)
    marked = truth.batch(np.arange(30))[17]

    def fails_once(made: Tensor, original: Tensor) -> Tensor:
        hit = (original == marked).flatten(1).all(1)
        return torch.where(hit, float("nan"), distance(made, original))

    attacks = {"mean image": mean_image(), "perfect": perfect()}
    with pytest.raises(BadInput, match="'mine' must be finite, got nan on private image 17"):
        compare(attacks, published(truth), [PoolJudge()], metrics=[metric(fails_once)], batch_size=8, **FAST)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: [metric(distance), metric(distance)], "two metrics are called 'mine'"),
        (lambda: [metric(distance, "psnr")], "a metric 'psnr' exists already in featinv"),
        (lambda: [metric(distance, "lpips")], "a metric 'lpips' exists already in featinv"),
        (lambda: [metric(distance, "attack_rate")], "'attack_rate' means something else"),
        (lambda: [metric(distance, "psnr_low")], "'psnr_low' means something else"),
        (lambda: [metric(distance, needs="public")], "expected a function that needs images or judge, got 'public'"),
        (lambda: [distance], r"expected a featinv.metrics.Metric, got distance; wrap it: Metric\('my_name'"),
        (lambda: [7], "expected a featinv.metrics.Metric, got int"),
        (lambda: ["lpps"], "no metric 'lpps'; did you mean lpips"),
        (lambda: ["their_metrics.number"], "'their_metrics.number': expected a featinv.metrics.Metric, got int"),
        (lambda: ["their_metrics.pixel_error"], "expected a featinv.metrics.Metric, got pixel_error"),
        (lambda: ["their_metrics.nothing"], "module 'their_metrics' has no 'nothing'"),
        (lambda: ["no_such_package.metric"], "cannot import 'no_such_package.metric'"),
    ],
)
def test_what_is_no_metric_is_refused_in_a_line(package: str, asked: Callable[[], Any], said: str) -> None:
    with pytest.raises(BadInput, match=f"^metrics: .*{said}") as caught:
        fi.evaluation.check_metrics(asked())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"name": "Two words"}, "expected a name of a-z, 0-9 and _"),
        ({"name": "a/b"}, "expected a name of a-z, 0-9 and _"),
        ({"worst": float("nan")}, "mine: worst: expected a finite number, got nan"),
        ({"family": "colour"}, "mine: family: expected one of None, pixel, perceptual, identification, got 'colour'"),
        ({"family": "identification"}, "has to hold in every judge's view; use needs='judge'"),
        ({"places": ("wall",)}, "mine: places: expected some of .*, got 'wall'"),
        ({"factor": 0}, "mine: factor: expected 1, or 100"),
    ],
)
def test_an_impossible_metric_is_refused_when_it_is_made(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        metric(distance, **parts)


def test_the_flag_is_named() -> None:
    with pytest.raises(BadInput, match="^--metrics: no metric 'vmaf'"):
        fi.evaluation.check_metrics("vmaf", "--metrics")


def test_full_and_ones_own_go_together() -> None:
    names, own = fi.evaluation.check_metrics(["full", metric(distance)])
    assert set(names) == {one.name for one in fi.evaluation.METRICS if one.on_request}
    assert [one.name for one in own] == ["mine"]


def test_a_strangers_declaration_cannot_turn_a_known_metric_around(board: Scoreboard, tmp_path: Path) -> None:
    board.save(tmp_path)
    file = tmp_path / "scoreboard.json"
    document = json.loads(file.read_text())
    declared = document["protocol"]["metrics"]
    for broken in ({"psnr": declared["mean_error"]}, {"mine": {}}, {"mine": {**declared["near"], "factor": "x"}}):
        file.write_text(json.dumps({**document, "protocol": {**document["protocol"], "metrics": broken}}))
        with pytest.raises(BadInput, match=r"scoreboard\.json: expected a scoreboard of schema"):
            load_scoreboard(tmp_path)


def test_runs_that_mean_different_things_by_one_name_do_not_share_a_report(board: Scoreboard, tmp_path: Path) -> None:
    declared = {**board.protocol["metrics"]["mean_error"], "higher_is_better": True}
    other = {**board.protocol, "metrics": {**board.protocol["metrics"], "mean_error": declared}}
    for name, one in (("first", board), ("second", replace(board, protocol=other))):
        one.save(tmp_path / name)
    with pytest.raises(BadInput, match="'mean_error' is declared twice, and the two differ"):
        fi.report.write([tmp_path / "first", tmp_path / "second"], tmp_path / "both.md")


def test_every_metric_of_ours_says_what_it_is() -> None:
    for one in fi.evaluation.METRICS:
        assert one.title
        assert one.text.endswith(".")
    families = Catalogue().families()
    assert families["pixel"] == ("mse", "psnr", "ssim")
    assert families["perceptual"] == ("lpips", "dists")
    assert families["identification"] == ("reid_top1", "reid_top10", "reid_auc")


def test_check_metric_reads_the_direction_off_the_object() -> None:
    fi.testing.check_metric(metric(distance))
    with pytest.raises(AssertionError, match="must score a perfect copy better"):
        fi.testing.check_metric(metric(distance, higher_is_better=False))


def test_kid_is_for_inception_features_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    release = published(some_images(220))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    absent = compare(attacks, release, [PoolJudge()], metrics=["kid", "fid", "judge_kd"], **FAST)
    assert "no sound Inception weights" in absent.protocol["not_measured"]["kid"]
    assert absent.protocol["not_measured"]["fid"] == "expected at least 4,096 images on 2048 features, got 220"
    assert set(absent["blurred"].metrics) >= {"judge_kd"}
    assert not {"kid", "fid"} & set(absent["blurred"].metrics)

    class Inception(torch.nn.Module):
        """Stands for the network: checks its input and gives the pixels back."""

        def forward(self, images: Tensor) -> Tensor:
            assert images.dtype == torch.uint8
            return images.flatten(1)[:, :20].float()

    for module in ("featinv.metrics.inception", "featinv.evaluation.chosen_metrics", "featinv.evaluation.extras"):
        monkeypatch.setattr(f"{module}.inception_network", Inception)
    present = compare(attacks, release, [PoolJudge()], metrics=["kid"], **FAST)
    assert release.truth is not None
    original = release.truth.uint8(np.arange(220)).transpose(0, 3, 1, 2).reshape(220, -1)[:, :20]
    made = (blurred().reconstruct(torch.from_numpy(release.features)) * 255).round().flatten(1)[:, :20].numpy()
    expected = kernel_distance(made.astype(np.float32), original.astype(np.float32))
    assert present["blurred"].metrics["kid"].mean == pytest.approx(expected.mean, rel=1e-4)
    assert fi.metrics.inception_features(torch.zeros(2, 3, 16, 16)).tolist() == [[0.0] * 20] * 2
