"""From settings to objects: what a recipe's command line and YAML come to."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featinv as fi
from featinv.assembly import AttackSettings, ImageSettings, JudgeSettings, RunFolder, Term, VictimSettings
from featinv.configuration import Component
from featinv.training.settings import ClassifierTraining, Training


def some_images(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def test_a_folder_with_train_and_test_is_split_so(tmp_path: Path) -> None:
    some_images(tmp_path / "train" / "a", 7, seed=1)
    some_images(tmp_path / "test" / "a", 3, seed=2)
    public, private, overlap = fi.assembly.load_images(ImageSettings(str(tmp_path)))
    assert (len(public), len(private)) == (7, 3)
    assert not overlap.exact


def test_a_plain_folder_is_split_by_count(tmp_path: Path) -> None:
    some_images(tmp_path / "all", 20, seed=3)
    settings = ImageSettings(str(tmp_path / "all"), private=6)
    public, private, _ = fi.assembly.load_images(settings)
    assert (len(public), len(private)) == (14, 6)
    assert not set(public.ids) & set(private.ids)
    again = fi.assembly.load_images(settings)
    assert list(again[1].ids) == list(private.ids)


def test_people_are_on_one_side_only(tmp_path: Path) -> None:
    for person in range(8):
        some_images(tmp_path / f"person {person}", 3, seed=person)
    settings = ImageSettings(str(tmp_path), private=7, clusters="folders")
    public, private, _ = fi.assembly.load_images(settings)
    assert len(private) == 7
    persons = fi.assembly.persons_on(settings, public, private)
    assert persons is not None
    assert len(set(persons.private)) == 3
    assert set(persons.private).isdisjoint(persons.public)
    assert fi.assembly.persons_on(ImageSettings(str(tmp_path)), public, private) is None


def test_people_on_both_sides_or_in_no_folder_are_refused_by_the_flag(tmp_path: Path) -> None:
    some_images(tmp_path / "sides/train/ada", 4, seed=1)
    for person, seed in (("ada", 2), ("ben", 3)):
        some_images(tmp_path / "sides/test" / person, 2, seed=seed)
    with pytest.raises(fi.BadInput, match=r"^--images\.clusters: expected nobody .*on both sides \(the first: 'ada'\)"):
        fi.assembly.load_images(ImageSettings(str(tmp_path / "sides"), clusters="folders"))
    some_images(tmp_path / "flat", 6, seed=4)
    for clusters, complaint in (("folders", " folders: .*in none"), ("who.csv", ": expected folders, or a .csv")):
        with pytest.raises(fi.BadInput, match=rf"^--images\.clusters{complaint}"):
            fi.assembly.load_images(ImageSettings(str(tmp_path / "flat"), clusters=clusters))


def test_more_images_than_there_are(tmp_path: Path) -> None:
    some_images(tmp_path / "all", 5, seed=3)
    with pytest.raises(fi.BadInput, match="9 private images asked for, but it holds 5"):
        fi.assembly.load_images(ImageSettings(str(tmp_path / "all"), private=9))
    with pytest.raises(fi.BadInput, match=r"--images\.public: 50 asked for, but there are 3"):
        fi.assembly.load_images(ImageSettings(str(tmp_path / "all"), public=50, private=2))


def test_the_same_image_on_both_sides_is_refused(tmp_path: Path) -> None:
    some_images(tmp_path / "train" / "a", 4, seed=1)
    some_images(tmp_path / "test" / "a", 2, seed=2)
    Image.open(tmp_path / "train" / "a" / "2.png").save(tmp_path / "test" / "a" / "copy.png")
    with pytest.raises(fi.BadInput, match=r"2\.png.*copy\.png|copy\.png.*2\.png"):
        fi.assembly.load_images(ImageSettings(str(tmp_path)))


def test_a_part_that_needs_a_folder_says_which_flag() -> None:
    settings = VictimSettings(Component("cifar_resnet", {"weights": "{weights}/x.safetensors"}))
    with pytest.raises(fi.BadInput, match="--weights DIR"):
        fi.assembly.build_victim(settings, {"weights": None})
    with pytest.raises(fi.BadInput, match=r"/nowhere/x\.safetensors"):
        fi.assembly.build_victim(settings, {"weights": "/nowhere"})


def test_objective_is_the_weighted_sum() -> None:
    import torch

    objective = fi.assembly.build_objective([Term("MSE", 2.0), Term("L1", 0.5)])
    a, b = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    expected = 2 * ((a - b) ** 2).mean((1, 2, 3)) + 0.5 * (a - b).abs().mean((1, 2, 3))
    torch.testing.assert_close(objective(a, b), expected)
    with pytest.raises(fi.BadInput, match="at least one loss"):
        fi.assembly.build_objective([])
    with pytest.raises(fi.BadInput, match="there is no 'MSW'"):
        fi.assembly.build_objective([Term("MSW")])


def test_attacks_are_built_in_order_and_minutes_bound_each() -> None:
    settings = {
        "mean image": AttackSettings(Component("MeanImage")),
        "up": AttackSettings(decoder=Component("Upsampling", {"width": 32}), training=Training(images=100, minutes=9)),
        "noise": AttackSettings(Component("RandomVector", {"source": "normal"}), of="up"),
    }
    victim = fi.assembly.build_victim(VictimSettings())
    attacks = fi.assembly.build_attacks(settings, victim, 32, minutes=0.5)
    assert list(attacks) == ["mean image", "up", "noise"]
    assert attacks["up"].training.minutes == 0.5
    with pytest.raises(fi.BadInput, match="'noise' is made of 'up', which must stand before it"):
        fi.assembly.build_attacks({"noise": settings["noise"]}, victim, 32)
    with pytest.raises(fi.BadInput, match="there is no 'Nothing'"):
        fi.assembly.build_attacks({"x": AttackSettings(Component("Nothing"))}, victim, 32)


def test_no_judge_is_refused() -> None:
    public = fi.data.scenes(4)
    with pytest.raises(fi.BadInput, match="at least one judge"):
        fi.assembly.build_judges({}, public)
    with pytest.raises(fi.BadInput, match="scenes-vg"):
        fi.assembly.build_judges({"x": JudgeSettings(Component("judge", {"source": "scenes-vg"}))}, public)


def test_a_missing_judge_is_trained_as_asked_and_kept(tmp_path: Path) -> None:
    public = fi.data.scenes(40, seed=3)
    training = ClassifierTraining(epochs=1, batch_size=16)
    source = str(tmp_path / "judge.safetensors")
    asked = {
        "x": JudgeSettings(
            Component("judge", {"source": source}),
            train=True,
            network=Component("SmallMixer", {"width": 4, "depth": 1}),
            training=training,
        )
    }
    (judge,) = fi.assembly.build_judges(asked, public)
    assert judge.family == "mixer"
    assert fi.encoders.judge(source).fingerprint == judge.fingerprint
    assert fi.assembly.build_judges(asked, public)[0].fingerprint == judge.fingerprint, "not trained anew"


@dataclass(frozen=True)
class Tiny:
    out: str
    rate: float = 0.1
    attacks: dict[str, AttackSettings] = field(default_factory=dict)


def test_a_run_folder_belongs_to_one_configuration(tmp_path: Path) -> None:
    settings = Tiny(str(tmp_path / "run"), attacks={"a": AttackSettings()})
    run = RunFolder(settings.out, settings)
    assert not run.finished
    run.complete()
    assert RunFolder(settings.out, settings).finished
    before = (tmp_path / "run" / "run.json").read_bytes()
    other = Tiny(settings.out, rate=0.2, attacks=settings.attacks)
    with pytest.raises(fi.BadInput, match=r"rate: 0\.1 there, 0\.2 here"):
        RunFolder(other.out, other)
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert run.folder("listik paper").name == "listik-paper"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(fi.BadInput, match="no run of featinv"):
        RunFolder(tmp_path, Tiny(str(tmp_path)))
    with pytest.raises(fi.BadInput, match="got a file"):
        RunFolder(tmp_path / "thesis.tex", Tiny(str(tmp_path)))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
