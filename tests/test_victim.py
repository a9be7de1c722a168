"""The victim is frozen, differentiable and recognisable; a release is drawn once."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from featinv.data import ImageSet
from featinv.defences import GaussianNoise, Identity
from featinv.errors import BadInput
from featinv.types import Encoder
from featinv.victim import Release, Victim, features_must_match, release


class SmallEncoder(nn.Module):
    """A stand-in for an encoder, with the parts that misbehave in train mode."""

    name, family, trained_on, layer = "small", "convnet", "nothing", "avgpool"
    image_size, fingerprint = 8, "f" * 64

    def __init__(self, width: int = 6, spatial: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.body = nn.Sequential(
                nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5)
            )
        self.spatial = spatial
        self.feature_shape = (width, 3, 3) if spatial else (width,)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.body(images)
        return features if self.spatial else features.mean((2, 3))


class Projection(nn.Module):
    """A foreign defence with state, that changes the width and says nothing of its strength."""

    def __init__(self, width: int, keep: int, strength: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(width, keep))
        self.strength = strength

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.strength * features @ self.matrix


def some_images(count: int = 20, size: int = 8, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return ImageSet(pixels, ids=[f"{seed}/{i}" for i in range(count)])


def test_the_victim_is_encoder_then_defence() -> None:
    encoder = SmallEncoder()
    assert isinstance(encoder, Encoder)
    images = some_images().batch(range(20))
    expected = encoder.eval()(images).detach()
    assert torch.equal(Victim(encoder)(images), expected)
    torch.manual_seed(7)
    noisy = Victim(encoder, GaussianNoise(0.1))(images)
    torch.manual_seed(7)
    assert torch.equal(noisy, expected + 0.1 * torch.randn(20, 6))


def test_the_victim_never_trains_and_holds_nothing_trainable() -> None:
    victim = Victim(SmallEncoder(), nn.Sequential(nn.Linear(6, 6), GaussianNoise(0)))
    victim.train()
    assert not any(module.training for module in victim.modules())
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    images = some_images().batch(range(20))
    assert torch.allclose(victim(images)[:3], victim(images[:3]), atol=1e-6)


def test_gradients_reach_the_images() -> None:
    # Against central differences in float64: the arrow is differentiable, not merely connected.
    encoder = SmallEncoder().eval()
    victim, images = Victim(encoder), some_images(2).batch([0, 1]).requires_grad_()
    direction = torch.randn_like(images)
    (gradient,) = torch.autograd.grad(victim(images).square().sum(), images)

    def energy(step: float) -> float:
        with torch.no_grad():
            features = encoder.double()(images.detach().double() + step * direction.double())
        return float(features.square().sum())

    slope = (energy(1e-6) - energy(-1e-6)) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3)


def test_autocast_does_not_reach_the_victim() -> None:
    victim, images = Victim(SmallEncoder()), some_images().batch(range(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = victim(images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, victim(images))


def test_moving_the_victim_moves_all_of_it() -> None:
    victim = Victim(SmallEncoder(), Projection(6, 3)).to("meta")
    assert victim.device.type == "meta"
    assert {tensor.device.type for tensor in victim.state_dict().values()} == {"meta"}


def test_a_callable_that_is_no_module_can_be_attacked() -> None:
    class Mean:
        name, family, feature_shape, image_size, fingerprint = "mean", "colour", (3,), 8, "0" * 64

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3))

    images = some_images()
    published = release(Victim(Mean()), images).features
    assert np.allclose(published, images.uint8(range(20)).mean((1, 2)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        Victim(SmallEncoder(), GaussianNoise(0.2)),
        Victim(SmallEncoder(), nn.Sequential(GaussianNoise(0.1))),
        Victim(SmallEncoder(), Projection(6, 3)),
        Victim(SmallEncoder()),
    ],
)
def test_fingerprints_tell_defences_apart(other: Victim) -> None:
    victim = Victim(SmallEncoder(), GaussianNoise(0.1))
    assert victim.fingerprint == Victim(SmallEncoder(), GaussianNoise(0.1)).fingerprint
    assert victim.fingerprint != other.fingerprint


def test_fingerprints_tell_state_settings_encoder_layer_and_size_apart() -> None:
    seen = {Victim(SmallEncoder(), Projection(6, 3)).fingerprint}
    changed = Projection(6, 3)
    changed.matrix[0, 0] = 2
    seen.add(Victim(SmallEncoder(), changed).fingerprint)
    seen.add(Victim(SmallEncoder(), Projection(6, 3, strength=0.5)).fingerprint)
    for name, value in (("fingerprint", "e" * 64), ("layer", "layer1"), ("image_size", 16)):
        encoder = SmallEncoder()
        setattr(encoder, name, value)
        seen.add(Victim(encoder, Projection(6, 3)).fingerprint)
    assert len(seen) == 6


def test_the_card_is_json_and_names_the_parts() -> None:
    metadata = Victim(SmallEncoder(spatial=True), GaussianNoise(0.5)).metadata
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["encoder"] == "small"
    assert metadata["defence"] == "GaussianNoise(std=0.5)"
    assert metadata["name"] == "small + GaussianNoise(std=0.5)"
    assert metadata["feature_shape"] == [6, 3, 3]
    assert Victim(SmallEncoder(), Identity()).metadata["name"] == "small"


def test_a_defence_may_change_the_width() -> None:
    victim = Victim(SmallEncoder(), Projection(6, 3))
    assert victim.feature_shape == (3,)
    assert release(victim, some_images()).feature_shape == (3,)


def test_building_a_victim_draws_nothing_from_the_callers_generator() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    Victim(SmallEncoder(), GaussianNoise(1))
    assert torch.equal(torch.rand(3), expected)


def test_a_release_is_equal_with_one_seed_and_differs_with_another() -> None:
    victim, private = Victim(SmallEncoder(), GaussianNoise(0.5)), some_images()
    first, again, other = (release(victim, private, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.features, again.features)
    assert not np.array_equal(first.features, other.features)
    assert first.truth is private
    assert first.metadata["count"] == 20
    assert first.metadata["seed"] == 0
    assert first.metadata["private_fingerprint"] == private.fingerprint
    clean = release(Victim(SmallEncoder()), private).features
    assert np.std(first.features - clean) == pytest.approx(0.5, rel=0.25)


def test_noise_does_not_depend_on_the_batch_size() -> None:
    victim, images = Victim(SmallEncoder(), GaussianNoise(0.5)), some_images()
    whole = victim.publish(images, range(20), seed=0, block_number=0)
    parts = victim.publish(images, range(20), seed=0, block_number=0, batch_size=3)
    assert np.allclose(whole, parts, atol=1e-6)


def test_every_block_view_and_seed_has_noise_of_its_own() -> None:
    victim, images = Victim(SmallEncoder(), GaussianNoise(1.0)), some_images(1)
    drawn = {
        victim.publish(images, [0], seed=seed, block_number=number, view=view).tobytes()
        for seed in (0, 1)
        for number in (0, 1)
        for view in (0, 1, 2)
    }
    assert len(drawn) == 12


def test_publishing_counts_images_and_flips_them() -> None:
    victim, images, done = Victim(SmallEncoder()), some_images(), []
    flipped = victim.publish(images, range(20), seed=0, block_number=0, flip=True, batch_size=8, progress=done.append)
    assert done == [8, 8, 4]
    mirrored = ImageSet(images.uint8(range(20))[:, :, ::-1], ids=images.ids)
    assert np.array_equal(flipped, victim.publish(mirrored, range(20), seed=0, block_number=0, batch_size=8))


def test_features_that_are_not_finite_name_the_first_image() -> None:
    class Broken(SmallEncoder):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = super().forward(images)
            return features.where(images.mean((1, 2, 3), keepdim=False)[:, None] < 0.9, torch.inf)

    pixels = np.zeros((6, 8, 8, 3), dtype=np.uint8)
    pixels[[3, 4]] = 255
    images = ImageSet(pixels, ids=list("abcdef"))
    with pytest.raises(BadInput, match=r"^d: expected finite features from small.*in 2 of 6"):
        release(Victim(Broken()), images)


def test_an_encoder_that_breaks_its_word_on_shapes_is_refused() -> None:
    encoder = SmallEncoder()
    encoder.feature_shape = (5,)
    with pytest.raises(BadInput, match=r"^small: expected features of shape \(2, 5\), got \(2, 6\)"):
        Victim(encoder)(some_images().batch([0, 1]))


@pytest.mark.parametrize("defence", [nn.Linear(4, 4), nn.Flatten(0), nn.Unflatten(1, (2, 3))])
def test_a_defence_of_another_shape_is_refused(defence: nn.Module) -> None:
    with pytest.raises(BadInput, match=type(defence).__name__):
        Victim(SmallEncoder(), defence)


def test_an_impossible_batch_size_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^batch_size: expected at least 1, got 0"):
        release(Victim(SmallEncoder()), some_images(), batch_size=0)


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (np.zeros((20, 4)), "float64"),
        (np.zeros((20, 4, 2), dtype=np.float32), "shape"),
        (np.zeros((0, 4), dtype=np.float32), "N > 0"),
        (np.zeros((19, 4), dtype=np.float32), "20 private images, got 19"),
        (np.full((20, 4), np.nan, dtype=np.float32), "finite"),
    ],
)
def test_a_release_of_unusable_vectors_is_refused(features: np.ndarray, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        Release(features, {}, some_images())


def test_cards_match_by_shape_and_fingerprint() -> None:
    plain, noisy = Victim(SmallEncoder()).metadata, Victim(SmallEncoder(), GaussianNoise(1)).metadata
    features_must_match(plain, plain)
    features_must_match(plain, noisy, same_defence=False)
    features_must_match(plain, {"feature_shape": [6]})
    with pytest.raises(BadInput, match=r"expected encoder, input size and defence of small .*got small \+ Gaussian"):
        features_must_match(plain, noisy)
    with pytest.raises(BadInput, match=r"expected shape \(N, 6\) as made by small, got \(N, 4\) from"):
        features_must_match(plain, {"feature_shape": [4]})
    other = SmallEncoder()
    other.fingerprint = "e" * 64
    with pytest.raises(BadInput, match="expected the encoder of small"):
        features_must_match(plain, Victim(other).metadata, same_defence=False)
    other = SmallEncoder()
    other.layer = "layer1"
    with pytest.raises(BadInput, match=r"expected the layer of small \(avgpool\), got small \(layer1\)"):
        features_must_match(plain, Victim(other).metadata, same_defence=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_an_accelerator_draws_the_same_noise() -> None:
    images = some_images()
    here = release(Victim(SmallEncoder(), GaussianNoise(0.5)), images).features
    there = release(Victim(SmallEncoder(), nn.Sequential(Projection(6, 6), GaussianNoise(0.5))).cuda(), images).features
    assert np.allclose(here, there, atol=1e-3)
