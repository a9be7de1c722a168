"""Training of judges: it learns, is reproducible, keeps labels true while augmenting, and refuses what cannot be."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import featinv as fi
from featinv.data import ImageSet
from featinv.encoders.networks import SmallMixer, SmallVGG
from featinv.training.augmentation import augment
from featinv.training.settings import ClassifierTraining

PLAIN = {"shift": 0, "flips": False, "colour": 0, "blur": 0, "cutout": 0}


def striped(count: int = 96, size: int = 12) -> ImageSet:
    """Vertical or horizontal stripes, dark or bright, in noise: two facts that a small network can learn."""
    dice = np.random.default_rng(0)
    vertical, bright = dice.integers(0, 2, count), dice.integers(0, 2, count)
    wave = np.where(np.arange(size) % 4 < 2, 40, -40)
    level = np.where(bright, 170, 80)[:, None, None]
    pixels = np.where(vertical[:, None, None], wave[None, None, :], wave[None, :, None]) + level
    pixels = pixels[..., None] + dice.normal(0, 15, (count, size, size, 3))
    return ImageSet(
        pixels.clip(0, 255).astype(np.uint8),
        ids=[str(i) for i in range(count)],
        labels=vertical,
        classes=("horizontal", "vertical"),
        factors={"bright": bright},
        provenance={"source": "/somewhere/stripes"},
    )


def quick(**changes) -> ClassifierTraining:
    return ClassifierTraining(**{"epochs": 6, "batch_size": 16, "lr": 1e-2, "holdout": 0.25, **PLAIN, **changes})


def small_network(heads=2, seed: int = 0) -> SmallVGG:
    torch.manual_seed(seed)
    return SmallVGG(heads, widths=(6, 8), convolutions=(1, 1))


# ------------------------------------------------------------------------------------------------ learning


def test_it_learns_every_head_and_reports_accuracy_on_images_it_never_saw() -> None:
    images = striped()
    network = small_network({"label": 2, "bright": 2})
    targets = {"label": images.labels, "bright": images.factors["bright"]}
    history = fi.training.train_classifier(network, images, quick(epochs=10), targets=targets)
    assert [row["images"] for row in history] == [64 * (epoch + 1) for epoch in range(10)]
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["accuracy"] == history[-1]["accuracy/label"] >= 0.9
    assert history[-1]["accuracy/bright"] >= 0.9
    assert not network.training


def test_labels_without_information_are_not_learned() -> None:
    """The held-out accuracy is about one half when labels are drawn at random: nothing leaks into it."""
    images = striped(240)
    dice = np.random.default_rng(1)
    history = fi.training.train_classifier(
        small_network(), images, quick(epochs=4, holdout=0.5), targets={"label": dice.integers(0, 2, 240)}
    )
    # 120 images: 0.5 within 4 deviations of a binomial rate.
    assert abs(history[-1]["accuracy"] - 0.5) < 4 * 0.5 / 120**0.5


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    images = striped(48)

    def trained(**changes) -> torch.Tensor:
        network = small_network()
        fi.training.train_classifier(network, images, quick(epochs=1, flips=True, shift=0.2, **changes))
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(trained(), trained())
    assert not torch.equal(trained(), trained(seed=1))


def test_it_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    network = SmallVGG(2, widths=(4,), convolutions=(1,))
    after_building = torch.get_rng_state()
    fi.training.train_classifier(network, striped(32), quick(epochs=1))
    assert torch.equal(torch.get_rng_state(), after_building)
    assert expected.shape == (3,)


def test_minutes_bound_the_training() -> None:
    history = fi.training.train_classifier(small_network(), striped(48), quick(epochs=10_000, minutes=0.02))
    assert history[-1]["seconds"] < 10
    assert history[-1]["images"] < 10_000 * 36


def test_head_accuracies_equal_a_count_by_hand() -> None:
    images = striped(40)
    network = small_network({"label": 2, "bright": 2})
    targets = {"label": images.labels, "bright": images.factors["bright"]}
    found = fi.training.head_accuracies(network, images, targets, input_size=8)
    batch = F.interpolate(images.batch(np.arange(40)), size=(8, 8), mode="bilinear", antialias=True)
    logits = network.eval()((batch - 0.5) / 0.25).detach().numpy()
    assert found["label"] == pytest.approx((logits[:, :2].argmax(1) == images.labels).mean())
    assert found["bright"] == pytest.approx((logits[:, 2:].argmax(1) == images.factors["bright"]).mean())


# ------------------------------------------------------------------------------------------------ augmentation


def some_images(count: int = 64, size: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def augmented(images: torch.Tensor, seed: int = 0, **changes) -> torch.Tensor:
    return augment(images, ClassifierTraining(**{**PLAIN, **changes}), torch.Generator().manual_seed(seed))


def test_without_augmentation_images_stay_as_they_are() -> None:
    assert torch.equal(augmented(some_images()), some_images())


def test_everything_at_once_stays_in_range_and_depends_on_the_seed_alone() -> None:
    strong = {"shift": 0.25, "flips": True, "colour": 0.9, "blur": 0.5, "cutout": 0.5}
    first = augmented(some_images(), **strong)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, augmented(some_images(), **strong))
    assert not torch.equal(first, augmented(some_images(), seed=1, **strong))


def test_mirroring_mirrors_about_half_of_the_images_and_nothing_else() -> None:
    images = some_images(400)
    result = augmented(images, flips=True)
    kept = (result == images).flatten(1).all(1)
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    assert bool((kept ^ mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_shifting_moves_every_image_by_its_own_whole_pixels_and_pads_black() -> None:
    images = some_images(200)
    result = augmented(images, shift=0.25)
    padded = F.pad(images, (2, 2, 2, 2))
    seen = set()
    for row, image in enumerate(result):
        places = [
            (y, x) for y in range(5) for x in range(5) if torch.equal(padded[row, :, y : y + 8, x : x + 8], image)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_covering_paints_one_grey_square_on_about_half() -> None:
    images = some_images(300, 16)
    changed = (augmented(images, cutout=0.25) != images).any(1)
    covered = changed.flatten(1).any(1)
    assert 110 < int(covered.sum()) < 190
    for mask in changed[covered]:
        rows, columns = mask.any(1), mask.any(0)
        assert int(rows.sum()) <= 5
        assert int(columns.sum()) <= 5
        assert torch.equal(mask, rows[:, None] & columns[None])


def test_blurring_keeps_flat_images_and_takes_contrast_from_others() -> None:
    flat = torch.full((4, 3, 8, 8), 0.3)
    torch.testing.assert_close(augmented(flat, blur=1.0), flat)
    assert float(augmented(some_images(), blur=1.0).std()) < 0.5 * float(some_images().std())
    some = (augmented(some_images(400), blur=0.25) != some_images(400)).flatten(1).any(1)
    assert 60 < int(some.sum()) < 140


def test_recolouring_keeps_edges_where_they_are() -> None:
    images = some_images(20) * 0.5 + 0.25
    result = augmented(images, colour=0.2)
    assert not torch.equal(result, images)
    for before, after in zip(images.mean(1).flatten(1), result.mean(1).flatten(1), strict=True):
        assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.97


# ------------------------------------------------------------------------------------------------ judges


def test_a_trained_judge_is_saved_loaded_and_right(tmp_path: Path) -> None:
    images = striped(160)
    train, test = images.split(0.75, seed=0)
    judge, history = fi.training.train_judge(
        train,
        quick(epochs=8),
        name="stripes-vgg",
        make=small_network,
        also={"bright": train.factors["bright"]},
    )
    assert (judge.family, judge.trained_on, judge.image_size) == ("vgg", "stripes", 12)
    assert judge.classes == ("horizontal", "vertical")
    assert set(history[-1]) == {"images", "seconds", "loss", "accuracy", "accuracy/label", "accuracy/bright"}
    fi.encoders.save_judge(judge, tmp_path / "stripes.safetensors")
    saved = fi.encoders.judge(tmp_path / "stripes.safetensors")
    logits = saved(test.batch(np.arange(len(test))))[1]
    accuracy = fi.training.label_accuracy(saved, test, batch_size=7)
    assert accuracy == pytest.approx(float((logits.argmax(1).numpy() == test.labels).mean()))
    assert accuracy >= 0.9


def test_the_recipe_makes_a_judge_from_a_folder_with_train_and_test(tmp_path: Path, capsys, monkeypatch) -> None:
    from PIL import Image

    images = striped(40)
    for index, label in enumerate(images.labels):
        folder = tmp_path / "data" / ("train" if index < 32 else "test") / images.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.uint8([index])[0]).save(folder / f"{index}.png")
    where = Path(__file__).parents[1] / "recipes" / "train_judge.py"
    spec = importlib.util.spec_from_file_location("train_judge_recipe", where)
    recipe = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, recipe)
    spec.loader.exec_module(recipe)
    monkeypatch.setattr(fi.processes, "share_threads", lambda: 1)
    out = tmp_path / "judge.safetensors"
    flags = f"--data {tmp_path / 'data'} --out {out} --size 12 --name stripes"
    flags += " --network.widths [4,6] --network.convolutions [1,1]"
    config = fi.command_line.parse(recipe.Config, arguments=[*flags.split(), "--training.epochs", "1"])
    recipe.main(config)
    assert "accuracy on 8 test images" in capsys.readouterr().out
    assert fi.encoders.judge(out).classes == ("horizontal", "vertical")
    before = out.read_bytes()
    with pytest.raises(fi.BadInput, match="--out: expected a new file"):
        recipe.main(config)
    assert out.read_bytes() == before
    mixer = ["--out", str(tmp_path / "mixer.safetensors"), "--network", "SmallMixer", "--network.width", "4"]
    flags = ["--data", str(tmp_path / "data"), "--size", "12", "--training.epochs", "1"]
    recipe.main(fi.command_line.parse(recipe.Config, arguments=[*flags, *mixer]))
    assert fi.encoders.judge(tmp_path / "mixer.safetensors").family == "mixer"


def test_a_judge_of_a_second_family_is_a_judge_like_the_first(tmp_path: Path) -> None:
    train, test = striped(160).split(0.75, seed=0)
    judge, _ = fi.training.train_judge(train, quick(epochs=8), make=lambda heads: SmallMixer(heads, width=8, depth=2))
    assert judge.family == "mixer"
    fi.encoders.save_judge(judge, tmp_path / "mixer.safetensors")
    saved = fi.encoders.judge(tmp_path / "mixer.safetensors")
    assert saved.fingerprint == judge.fingerprint
    assert fi.training.label_accuracy(saved, test) >= 0.9


def test_a_network_that_could_not_be_saved_is_refused_before_it_is_trained() -> None:
    with pytest.raises(fi.BadInput, match="network: expected SmallVGG or SmallMixer for a judge, got Linear"):
        fi.training.train_judge(striped(32), quick(), make=lambda heads: torch.nn.Linear(3, 2))


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "finite number above 0"),
        ("minutes", 0, "above 0"),
        ("batch_size", 1, "at least 2"),
        ("lr", float("nan"), "finite"),
        ("lr", 0, "finite number above 0"),
        ("weight_decay", -1, "at least 0"),
        ("holdout", 1, r"\[0, 1\)"),
        ("shift", -0.1, r"\[0, 1\)"),
        ("blur", 1.5, r"\[0, 1\]"),
        ("input_size", 4, "8 to 1024"),
        ("seed", -1, "whole number from 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(field: str, value: float, message: str) -> None:
    with pytest.raises(fi.BadInput, match=rf"training\.{field}: expected .*{message}"):
        ClassifierTraining(**{field: value})


def test_labels_that_do_not_fit_are_refused() -> None:
    images = striped(32)
    unlabelled = ImageSet(images.uint8(np.arange(32)), ids=images.ids)
    with pytest.raises(fi.BadInput, match="images: expected images with labels, got none"):
        fi.training.train_classifier(small_network(), unlabelled, quick())
    with pytest.raises(fi.BadInput, match="images: expected labels of 2 or more classes"):
        fi.training.train_judge(unlabelled, quick())
    with pytest.raises(fi.BadInput, match=r"expected the network's heads \['label'\] in order, got \['other'\]"):
        fi.training.train_classifier(small_network(), images, quick(), targets={"other": images.labels})
    with pytest.raises(fi.BadInput, match=r"expected classes 0\.\.1 for head 'label', got 0\.\.2"):
        fi.training.train_classifier(small_network(), images, quick(), targets={"label": np.arange(32) % 3})
    with pytest.raises(fi.BadInput, match="expected 32 whole numbers for 'label', got float64"):
        fi.training.train_classifier(small_network(), images, quick(), targets={"label": np.zeros(32)})
    judge, _ = fi.training.train_judge(images, quick(epochs=1), make=small_network)
    renamed = ImageSet(images.uint8([0, 1]), ids=("a", "b"), labels=np.arange(2), classes=("x", "y"))
    with pytest.raises(fi.BadInput, match="expected labels of the judge's classes"):
        fi.training.label_accuracy(judge, renamed)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    network = small_network()
    with torch.no_grad():
        network.linear.weight.fill_(torch.inf)
    with pytest.raises(fi.Diverged, match="the loss is"):
        fi.training.train_classifier(network, striped(32), quick(epochs=1))
