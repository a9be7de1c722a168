"""Named attacks: what they are made of, their configurations, and that they train."""

import dataclasses
import inspect
from typing import Any

import pytest
import torch
from recipe_modules import RECIPES, recipe

import featinv as fi
from featinv import presets, testing
from featinv.assembly import AttackSettings
from featinv.command_line import parse

CONFIGS = {
    "perceptual": "perceptual",
    "dcgan": "gan",
    "deepsim": "deepsim",
    "vqgan": "vqgan",
    "r3gan": "r3gan",
}
"""preset -> its configuration"""
NAMES = ["listik", *CONFIGS]


@pytest.fixture(scope="module")
def victim() -> fi.Victim:
    return fi.Victim(fi.encoders.tiny(), fi.defences.Identity())


def make(name: str, victim: fi.Victim, **more: Any) -> fi.attacks.DecoderAttack:
    preset = getattr(presets, name)
    takes_encoder = "encoder" in inspect.signature(preset).parameters
    return preset(victim.encoder if takes_encoder else victim.feature_shape, 32, **more)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_builds_the_attack_of_its_preset(name: str, victim: fi.Victim) -> None:
    """The numbers are written twice, in Python and in YAML: they are the same numbers."""
    config = parse(recipe("train").Config, arguments=["--config", str(RECIPES / "configs" / f"{CONFIGS[name]}.yaml")])
    settings = AttackSettings(
        decoder=config.decoder, losses=config.losses, training=config.training, adversary=config.adversary
    )
    built = fi.assembly.build_attacks({"a": settings}, victim, 32)["a"]
    preset = make(name, victim)
    # A single loss of weight 1 prints without it.
    assert repr(built.objective).removeprefix("1*") == repr(preset.objective).removeprefix("1*")
    assert repr(built.adversary) == repr(preset.adversary)
    assert built.training == preset.training
    assert repr(built.decoder) == repr(preset.decoder)
    for one, other in zip(built.decoder.parameters(), preset.decoder.parameters(), strict=True):
        assert torch.equal(one, other)
    if preset.adversary is not None:
        theirs = preset.adversary.discriminator.state_dict()
        for key, value in built.adversary.discriminator.state_dict().items():
            assert torch.equal(value, theirs[key]), key


def test_every_preset_is_here_and_has_a_configuration() -> None:
    assert sorted(presets.__all__) == sorted(
        [
            *NAMES,
            "distil_two",
            "flow",
            "identify",
            "redraw",
            "retouch",
            "retrieval",
            "two_distilled",
            "two_surrogates",
        ]
    )
    shipped = {path.stem for path in (RECIPES / "configs").glob("*.yaml")}
    assert {"pixel", "gan_perceptual", "cifar10_goal", *CONFIGS.values()} <= shipped


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_where_its_numbers_are_from(name: str) -> None:
    said = inspect.getdoc(getattr(presets, name))
    assert "arXiv:" in said or "github" in said
    assert "Stated" in said or "Adapted" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_trains(name: str, victim: fi.Victim) -> None:
    decoder = fi.decoders.Upsampling(16, 32, width=16, channels=4)
    pairs = testing.synthetic_pairs(feature_shape=(16,), size=32)
    training = dataclasses.replace(make(name, victim).training, images=48, batch_size=12, holdout=4)
    preset = getattr(presets, name)
    first = victim.encoder if "encoder" in inspect.signature(preset).parameters else 16
    attack = preset(first, 32, decoder=decoder, training=training)
    assert attack.training is training
    assert attack.decoder is decoder
    attack.fit(pairs, progress=False)
    images = attack.reconstruct(pairs.batch(range(3))[0])
    assert images.shape == (3, 3, 32, 32)
    assert bool(images.isfinite().all())


def test_listik_is_the_notebook(victim: fi.Victim) -> None:
    attack = presets.listik(2048)
    assert attack.parameters == 27_505_347
    assert attack.training == fi.Training.paper()
    assert repr(attack.objective) == "BCE"


@pytest.mark.parametrize(("size", "published"), [(32, 0.05), (64, 2.0), (256, 150.0)])
def test_gamma_is_for_our_pixels(size: int, published: float) -> None:
    """gamma / 2 ||grad||^2 over pixels in [-1, 1], as published, is what the penalties give over pixels in [0, 1]."""
    decoder = fi.decoders.Upsampling(16, size, width=16, channels=4)
    r1, r2 = presets.r3gan(16, size, decoder=decoder).adversary.penalties
    real, fake = torch.rand(2, 3, size, size), torch.rand(2, 3, size, size)
    kernel = torch.randn(3, size, size)

    def judge(pixels: torch.Tensor) -> torch.Tensor:
        return ((2 * pixels - 1) * kernel).flatten(1).sum(1).sin()

    class Judge(torch.nn.Module):
        def forward(self, images: torch.Tensor, features: Any = None) -> torch.Tensor:
            return judge(images)

    for penalty, images in ((r1, real), (r2, fake)):
        signed = (2 * images - 1).requires_grad_()
        (slope,) = torch.autograd.grad((signed * kernel).flatten(1).sum(1).sin().sum(), signed)
        expected = published / 2 * slope.square().flatten(1).sum(1)
        torch.testing.assert_close(penalty(Judge(), real, fake, None), expected, rtol=1e-4, atol=1e-6)


def test_vqgan_takes_another_perceptual_loss(victim: fi.Victim) -> None:
    attack = presets.vqgan(victim.encoder, 32, perceptual=fi.losses.SSIM())
    assert repr(attack.objective) == "1*L1 + 1*SSIM"
    assert not attack.excluded_judges
    assert presets.vqgan(victim.encoder, 32).excluded_judges == {victim.encoder.weights_fingerprint}
    deepsim = presets.deepsim(victim.encoder, 32, comparator=fi.losses.FeatureConsistency(victim.encoder, views=0))
    assert "0.1*FeatureConsistency" in repr(deepsim.objective)


def test_first_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.rand(5)
        attack = presets.r3gan(16, 32, training=fi.Training(seed=seed))
        parts = [*attack.decoder.parameters(), *attack.adversary.discriminator.parameters()]
        return torch.cat([part.flatten() for part in parts])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_sizes_without_a_gamma_are_refused() -> None:
    with pytest.raises(fi.BadInput, match=r"presets\.r3gan: expected image_size to be one of 32, 64, 128, 256, got 16"):
        presets.r3gan(64, 16)
