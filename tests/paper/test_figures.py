"""The recipe of the paper's figures: what it measures, what it refuses, and that it goes on where it was."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_modules import RECIPES

import featinv as fi
from featinv.encoders.networks import SmallMixer
from featinv.evaluation import ranks
from featinv.files import read_json

sys.path.insert(0, str(RECIPES / "paper"))

import contenders
import figure_3
import filmed
import images as image_sources
import measuring
import models
import numbers_page
import run
from scales import SCALES

QUICK = ["--films", "[1, 4]", "--pair_epochs", "20", "--counts", "[4, 12]", "--seen", "[60, 60]", "--unseen", "12"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEATINV_PROGRESS", "0")
    monkeypatch.setattr(fi.processes, "share_threads", lambda: 1)
    return tmp_path


def start(*flags: str) -> None:
    """Run the recipe as its script would."""
    config = fi.command_line.parse(run.Config, arguments=[*flags, "--tracking.mode", "disabled"])
    run.main(config)


def photographs(folder: Path, count: int, side: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


# ------------------------------------------------------------------------------------------------ the whole job


def test_all_five_figures_and_a_second_call_draws_nothing_again(home: Path, capsys: pytest.CaptureFixture) -> None:
    start("--figure", "2", "--scale", "smoke", *QUICK, "--out", "out")
    drawn_at = (home / "out" / "figure_2.png").stat().st_mtime_ns
    start("--scale", "smoke", *QUICK, "--out", "out")
    assert "figure 2: is there already" in capsys.readouterr().out
    assert (home / "out" / "figure_2.png").stat().st_mtime_ns == drawn_at
    for name in ("figure_1", "figure_2", "figure_3", "figure_4", "figure_5", "curves", "curves_epochs"):
        with Image.open(home / "out" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
    page = (home / "out" / "numbers.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Figure 1: one image (chelsea.png, 32 px)",
        "## Figure 2: two images (chelsea.png and astronaut.png)",
        "## Figure 3: vectors that belong to neither image",
        "## Figures 4 and 5: training images and unseen ones",
    ]
    assert {row.name for row in fi.load_scoreboard(home / "out").attacks} >= {"ridge", "listik, 4 images"}
    assert (home / "out" / "report.html").is_file()
    with pytest.raises(fi.BadInput, match="holds a run of another configuration.*unseen"):
        start("--scale", "smoke", *QUICK[:-1], "13", "--out", "out")
    with pytest.raises(fi.BadInput, match="holds a run of another configuration"):
        start("--scale", "cpu", "--figure", "1", "--out", "out")


def test_an_interrupted_model_goes_on_with_the_rows_it_had(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    honest = models._measured

    def failing(study: Any, attack: Any, count: int, seen: int) -> dict[str, Any]:
        measured.append(seen)
        if seen == 18 and len(measured) < 8:
            raise OSError("the disk is full")
        return honest(study, attack, count, seen)

    flags = ["--figure", "4", *QUICK, "--attacks", "[listik]", "--seen", "[60, 180]", "--out", "out"]
    monkeypatch.setattr(models, "_measured", failing)
    with pytest.raises(OSError, match="full"):
        start(*flags)
    start(*flags)
    rows = read_json(home / "out" / "models" / "listik-000004" / "measures.json")
    assert [row["seen"] for row in rows] == [1, 6, 18, 60], "1 and 6 come with the first batch, of 30"
    assert rows[-1]["epochs"] == 15
    # What is finished is not trained again.
    before = (home / "out" / "models" / "listik-000004" / "attack" / "weights.safetensors").stat().st_mtime_ns
    (home / "out" / "figure_4.json").unlink()
    start(*flags)
    assert (home / "out" / "models" / "listik-000004" / "attack" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_second_judge_stands_beside_the_first_in_the_scoreboard(home: Path) -> None:
    images = fi.data.scenes(30, size=32, seed=5)
    training = fi.training.ClassifierTraining(epochs=1, batch_size=10)
    mixer, _ = fi.training.train_judge(
        images, training, name="mixer", make=lambda heads: SmallMixer(heads, width=8, depth=1)
    )
    fi.encoders.save_judge(mixer, home / "mixer.safetensors")
    second = ["--weights", ".", "--second_judge", "judge", "--second_judge.source", "{weights}/mixer.safetensors"]
    start("--figure", "5", *QUICK, "--attacks", "[listik]", *second, "--out", "out")
    board = fi.load_scoreboard(home / "out")
    assert [judge["name"] for judge in board.protocol["judges"]] == ["scenes-vgg", "mixer"]
    row = next(row for row in board.attacks if row.name == "listik, 12 images")
    assert {"reid_top10"} <= set(row.metrics_by["mixer"])


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--figure", "6"], "--figure: expected 1 to 5, or all; the paper has no figure '6'"),
        (["--scale", "tpu"], "--scale: expected one of smoke, cpu, gpu, paper, got 'tpu'"),
        (["--counts", "[20, 5]"], "--counts: expected rising numbers"),
        (["--counts", "[5, 20]", "--seen", "[10]"], "one budget a model, got 2 models, 1 budgets"),
        (["--figure", "1", "--film_optimisers", "[sgd]"], "expected adadelta or adamw, got 'sgd'"),
        (["--figure", "4", "--attacks", "[magic]", *QUICK], "--attacks: there is no 'magic'; there are mean image"),
        (["--figure", "5", "--scale", "gpu", "--data", "many"], "say where it is with --weights DIR"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], said: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs(home / "many", 30, 130)
    monkeypatch.setattr(fi.encoders, "torchvision", lambda **_: fi.encoders.tiny())
    with pytest.raises(fi.BadInput) as raised:
        start(*flags, "--out", "out")
    assert said in str(raised.value)


def test_too_few_and_too_small_images_are_refused_and_enlarged_when_asked(home: Path) -> None:
    photographs(home / "one", 1, 32)
    photographs(home / "small", 3, 20)
    start("--figure", "1", *QUICK, "--data", "one", "--out", "first")
    for figure, needed in (("2", 2), ("3", 2)):
        with pytest.raises(fi.BadInput, match=f"needs at least {needed} images, got 1"):
            start("--figure", figure, *QUICK, "--data", "one", "--out", f"out{figure}")
    with pytest.raises(fi.BadInput, match=r"0\.png.*20"):
        start("--figure", "1", *QUICK, "--data", "small", "--out", "small-1")
    start("--figure", "1", *QUICK, "--data", "small", "--upscale", "true", "--out", "small-1")
    assert "enlarged, as asked" in (home / "small-1" / "numbers.md").read_text()
    with pytest.raises(fi.BadInput, match="12 private images asked for"):
        start("--figure", "4", *QUICK, "--data", "one", "--out", "out4")


# ------------------------------------------------------------------------------------------------ figures 1 to 3


def test_a_perfect_copy_has_no_excess_and_a_film_keeps_what_it_saw(tmp_path: Path) -> None:
    pairs = fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(2, size=32, seed=3))
    features, truth = pairs.batch([0, 1])
    perfect = filmed.score(truth, truth)
    assert perfect["excess"] == pytest.approx(0, abs=1e-6)
    assert perfect["bce"] > 0.1, "the entropy of the pixels"
    attack, rows = filmed.film(pairs, filmed.training("adadelta", 3, 2), [1, 3], tmp_path)
    assert [row["epoch"] for row in rows] == [1, 3]
    made = attack.reconstruct(features)
    assert (filmed.shown(tmp_path, 3) - made).abs().max() <= 0.5 / 255 + 1e-6
    assert rows[-1] == {"epoch": 3, **filmed.score(made, truth)}
    again, same = filmed.film(pairs, filmed.training("adadelta", 3, 2), [1, 3], tmp_path)
    assert torch.equal(again.reconstruct(features), made)
    assert same == rows


def test_a_film_is_logged_to_wandb(home: Path) -> None:
    flags = ["--figure", "1", *QUICK, "--film_optimisers", "[adadelta]", "--out", "out"]
    run.main(fi.command_line.parse(run.Config, arguments=[*flags, "--tracking.mode", "offline"]))
    assert list(read_json(home / "out" / "wandb" / "runs.json")) == ["attack/figure_1_adadelta"]
    assert len(list((home / "out" / "wandb").glob("offline-run-*"))) == 1


def test_the_authors_optimiser_is_the_authors() -> None:
    settings = filmed.training("adadelta", 100, 2)
    assert settings == fi.Training.paper(images=200, batch_size=2)
    other = filmed.training("adamw", 100, 2)
    assert replace(settings, **filmed.ADAMW) == other


def test_the_vectors_of_figure_3_are_what_they_are_called(tmp_path: Path) -> None:
    from work import Job

    job = Job(SCALES["smoke"], tmp_path, None, False, None, fi.tracking.TrackingSettings(mode="disabled"), None)
    pairs = fi.extract(job.victim, job.photographs.take([0, 1]))
    attack, _ = filmed.film(pairs, filmed.training("adamw", 2, 2), [2], tmp_path)
    vectors = figure_3.strange_vectors(attack, pairs, job)
    first = pairs.batch([0])[0].flatten()
    assert 0.35 < (vectors["N(0, 1)"] < 0).float().mean() < 0.65
    assert (vectors["matched"] >= 0).all()
    for row in vectors["shuffled"]:
        assert torch.equal(row.sort().values, first.sort().values)
        assert not torch.equal(row, first)
    rest = fi.extract(job.victim, job.photographs.take([2, 3])).batch([0, 1])[0]
    assert torch.allclose(vectors["other images"], rest, atol=1e-5)
    # Blends of the two lie between them, and nothing that is at right angles does.
    ends = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    blend = 0.3 * ends[0] + 0.7 * ends[1]
    assert figure_3._share_of_the_way(blend[None], ends) == pytest.approx(1, abs=1e-5)


def test_two_of_one_class_come_first() -> None:
    found = fi.data.scenes(12, size=32, seed=5)
    labels = np.array([4, 1, 2, 0, 3, 2, 1, 5, 0, 6, 2, 7])
    images = fi.data.ImageSet(found.uint8(np.arange(12)), ids=found.ids, labels=labels)
    ordered = image_sources._of_one_class_first(images)
    assert list(ordered.labels[:2]) == [0, 0]
    assert sorted(ordered.ids) == sorted(images.ids)


# ------------------------------------------------------------------------------------------------ figures 4 and 5


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_the_librarys_where_both_are_defined(seed: int) -> None:
    generator = np.random.default_rng(seed)
    gallery = generator.normal(size=(40, 6)).astype(np.float32)
    made = (gallery + generator.normal(size=(40, 6))).astype(np.float32)
    gallery[7] = gallery[3]  # a tie counts against the attacker
    assert np.array_equal(measuring.ranks_among(made, gallery, gallery, own=True), ranks(made, gallery))


def test_a_training_image_is_sought_among_as_many_as_an_unseen_one() -> None:
    generator = np.random.default_rng(1)
    crowd = generator.normal(size=(30, 5))
    own, made = generator.normal(size=(9, 5)), generator.normal(size=(9, 5))
    found = measuring.ranks_among(made, own, crowd, own=False)
    centre = crowd.mean(0)
    for row in range(9):  # by the definition, one image at a time
        candidates = np.concatenate([own[row : row + 1], crowd[:-1]]) - centre
        asked = made[row] - centre
        cosines = candidates @ asked / np.linalg.norm(candidates, axis=1) / np.linalg.norm(asked)
        assert len(candidates) == 30
        assert found[row] == (cosines >= cosines[0] - 1e-12).sum()


def test_smaller_sets_are_parts_of_larger_ones_and_copies_find_themselves(home: Path) -> None:
    scale = replace(SCALES["smoke"], counts=(5, 15), seen=(30, 30), unseen=20)
    victim, judge = fi.Victim(fi.encoders.tiny()), fi.encoders.judge("scenes-vgg")
    every = fi.data.scenes(40, size=32, seed=0)
    study = models.prepare(scale, victim, every.take(range(20)), every.take(range(20, 40)), judge, home / "models")
    assert study.subset(15).images.ids[:5] == study.subset(5).images.ids
    assert study.training.first(5).images.ids == study.subset(5).images.ids
    assert not set(study.subset(15).images.ids) & set(study.unseen.images.ids)
    neighbour = contenders.make("nearest neighbour", study.subset(15), 1, 1).fit(study.subset(15))
    copies = measuring.measure(neighbour, study.training.first(15), study.unseen.features, judge)
    assert copies["reid_top10"].mean == copies["agreement"].mean == 1
    blank = contenders.make("mean image", study.subset(15), 1, 1).fit(study.subset(15))
    known = measuring.measure(blank, study.unseen, study.unseen.features, judge)
    assert known["reid_top10"].mean == pytest.approx(10 / 20), "one image for all finds ten of twenty"


def test_every_attack_sees_equally_many_images() -> None:
    pairs = fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(100, size=32, seed=1), flips=True)
    for name in ("listik", "upsampling"):
        assert contenders.make(name, pairs, 600, 1200).training.images == 600
    assert contenders.make("listik", pairs, 600, 1200).training == fi.Training.paper(images=600)
    assert contenders.distillation(100, 1200).epochs == 12
    assert contenders.distillation(50_000, 100_000).epochs == 2


def test_the_page_is_written_with_whatever_is_there() -> None:
    assert numbers_page.page({}) == "# Numbers under the figures\n"
