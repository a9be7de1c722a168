"""The surrogate: it learns the vectors of images it never saw, is a function of its seed, and goes through a file."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import featinv as fi
from featinv.encoders.networks import SmallResNet
from featinv.training import ClassifierTraining, train_surrogate


def colour_pairs(count: int = 240, size: int = 12, views: int = 1) -> fi.Pairs:
    """Vectors that a person can read off an image: the mean colours of its left and its right half."""
    dice = np.random.default_rng(0)
    halves = dice.uniform(40, 215, (count, 1, 2, 3))
    pixels = np.repeat(np.repeat(halves, size, axis=1), size // 2, axis=2) + dice.normal(0, 10, (count, size, size, 3))
    images = fi.data.ImageSet(pixels.clip(0, 255).astype(np.uint8), ids=[str(i) for i in range(count)])

    def encode(x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return torch.cat([x[..., :half].mean((2, 3)), x[..., half:].mean((2, 3))], dim=1)

    encoder = fi.encoders.wrap(encode, name="halves", family="mean", input_size=size)
    return fi.extract(fi.Victim(encoder), images, flips=views == 2)


def quick(**changes: object) -> ClassifierTraining:
    settings = {"epochs": 8, "batch_size": 20, "lr": 1e-2, "holdout": 0.25, "cutout": 0, "shift": 0, "colour": 0}
    return ClassifierTraining(**{**settings, **changes})


def train(pairs: fi.Pairs, settings: ClassifierTraining) -> tuple[fi.encoders.Encoder, list[dict[str, float]]]:
    return train_surrogate(pairs, settings, widths=(8, 12), blocks=(1, 1))


@pytest.mark.parametrize("views", [1, 2])
def test_it_explains_vectors_of_images_it_never_saw(views: int) -> None:
    """Sums of the halves are easily seen; their order hardly, by a network that averages over positions."""
    pairs = colour_pairs(views=views)
    surrogate, history = train(pairs, quick())
    assert [row["images"] for row in history] == [180 * (epoch + 1) for epoch in range(8)]
    assert history[-1]["explained"] > 0.5 > history[0]["explained"]
    assert surrogate.feature_shape == (12,)
    assert surrogate.family == "surrogate"
    assert "240 public pairs of halves" in surrogate.trained_on


def test_explained_is_one_minus_the_error_over_the_variance() -> None:
    pairs = colour_pairs(80)
    settings = quick(epochs=1)
    surrogate, history = train(pairs, settings)
    order = np.random.default_rng(settings.seed).permutation(80)
    held, rows = np.sort(order[:20]), order[20:]
    known = pairs.features(np.sort(rows)).astype(np.float64)
    vectors, images = pairs.batch(held)
    with torch.no_grad():
        made = surrogate.network((images - 0.5) / 0.25).numpy()
    wanted = (vectors.numpy() - known.mean(0)) / known.std(0, ddof=1)
    assert history[-1]["explained"] == pytest.approx(1 - np.square(made - wanted).mean(1).mean(), abs=1e-4)


def test_it_is_a_function_of_its_seed_and_leaves_the_callers_random_state() -> None:
    pairs = colour_pairs(60)
    before = torch.get_rng_state()
    one, again, other = (train(pairs, quick(epochs=1, seed=seed))[0] for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert one.weights_fingerprint == again.weights_fingerprint != other.weights_fingerprint


def test_vectors_that_are_maps_are_flattened_and_too_long_ones_refused() -> None:
    images = fi.data.scenes(24, size=32)
    pairs = fi.extract(fi.Victim(fi.encoders.tiny(layer="stages.2")), images)
    surrogate, _ = train(pairs, quick(epochs=1))
    assert isinstance(surrogate.network, SmallResNet)
    assert surrogate.network.linear.out_features == math.prod(pairs.feature_shape)
    long = fi.extract(fi.Victim(fi.encoders.tiny(layer="stem")), images)
    with pytest.raises(fi.BadInput, match=r"8192.*16384"):
        train(long, quick())


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(fi.BadInput, match="at least 2"):
        train(colour_pairs(1), quick())


def test_it_goes_through_a_file_and_is_cut_where_one_likes(tmp_path: Path) -> None:
    surrogate, _ = train(colour_pairs(60), quick(epochs=1))
    path = tmp_path / "surrogate.safetensors"
    fi.encoders.save_encoder(surrogate, path)
    read = fi.encoders.saved(path, layer="norm")
    images = torch.rand(3, 3, 12, 12)
    assert torch.equal(read(images), surrogate(images))
    assert (read.fingerprint, read.family, read.trained_on) == (
        surrogate.fingerprint,
        surrogate.family,
        surrogate.trained_on,
    )
    assert read.name == "surrogate/norm"
    inner = fi.encoders.saved(path, layer="stages.0")
    assert inner.feature_shape == (8, 12, 12)
    assert inner.weights_fingerprint == surrogate.weights_fingerprint
    with pytest.raises(fi.BadInput, match="safetensors"):
        fi.encoders.save_encoder(surrogate, tmp_path / "surrogate.bin")
    foreign = fi.encoders.wrap(torch.nn.Conv2d(3, 4, 3), name="n", family="f", input_size=8)
    with pytest.raises(fi.BadInput, match="Conv2d"):
        fi.encoders.save_encoder(foreign, tmp_path / "foreign.safetensors")
    with pytest.raises(fi.BadInput, match=r"nowhere\.safetensors"):
        fi.encoders.saved(tmp_path / "nowhere.safetensors")


def test_a_judge_s_file_serves_as_an_encoder_and_is_then_excluded(tmp_path: Path) -> None:
    judge = fi.encoders.judge("scenes-vgg")
    fi.encoders.save_judge(judge, tmp_path / "judge.safetensors")
    loss = fi.losses.Perceptual(fi.encoders.saved(tmp_path / "judge.safetensors"))
    assert judge.weights_fingerprint in loss.fingerprints
