"""What an adversary refuses, in one line and before any training, and how it describes itself."""

from collections.abc import Callable
from typing import Any

import pytest
from accelerate import Accelerator, DistributedType
from adversarial_parts import TinyDiscriminator, make_adversary
from torch import Tensor, nn
from training_parts import SIZE, WIDTH, make_decoder, make_pairs

from featinv import Adversary, BadInput, Training
from featinv.discriminators import DiffAugment, Projection
from featinv.losses import (
    MSE,
    R1,
    relativistic,
)
from featinv.training import FitOptions, fit_decoder

SETTINGS = Training(images=480, batch_size=24, holdout=10, ema=0.9, accumulation=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", -0.1),
        ("weight", float("nan")),
        ("weight", float("inf")),
        ("adversarial_start", 1.0),
        ("adversarial_start", -0.1),
        ("discriminator_warmup", float("nan")),
        ("decoder_every", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("eps", 0.0),
        ("weight_decay", -1.0),
        ("clip", 0.0),
        ("betas", (0.5, 1.0)),
        ("betas", (0.5, float("nan"))),
    ],
)
def test_numbers_that_cannot_be_used_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=rf"adversary\.{name}: expected .* got"):
        make_adversary(**{name: value})


@pytest.mark.parametrize("images", [16, 32])
def test_a_discriminator_of_another_image_size_is_refused_before_any_training(images: int) -> None:
    adversary = Adversary(TinyDiscriminator(images))
    with pytest.raises(BadInput, match=rf"images of {SIZE} pixels.* got TinyDiscriminator for {images}"):
        fit_decoder(make_decoder(), Never(), make_pairs(100), SETTINGS, FitOptions(progress=False), adversary=adversary)


class Never(MSE):
    """No training may come so far."""

    def named(self, reconstruction: Tensor, original: Tensor) -> dict[str, Tensor]:
        raise AssertionError("it was trained")


@pytest.mark.parametrize(
    ("adversary", "words"),
    [
        (lambda: Adversary(Projection(TinyDiscriminator(), WIDTH + 1)), r"vectors of shape \(12,\).*for \(13,\)"),
        (lambda: make_adversary(norm="batch", penalties=[R1(1.0)]), "R1: expected a discriminator without batch norm"),
        (lambda: compiled(make_adversary(penalties=[R1(1.0)])), "R1: expected a discriminator that is not compiled"),
    ],
)
def test_an_adversary_that_cannot_play_is_refused_before_any_training(
    adversary: Callable[[], Adversary], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        fit_decoder(
            make_decoder(), Never(), make_pairs(100), SETTINGS, FitOptions(progress=False), adversary=adversary()
        )


def compiled(adversary: Adversary) -> Adversary:
    adversary.discriminator.compile()
    return adversary


def test_fp16_on_a_cpu_is_refused_before_any_training() -> None:
    settings = Training(images=480, batch_size=24, mixed_precision="fp16")
    with pytest.raises(BadInput, match="fp16 does nothing on a CPU"):
        fit_decoder(
            make_decoder(), Never(), make_pairs(100), settings, FitOptions(progress=False), adversary=make_adversary()
        )


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_what_refuses_two_models_is_refused_before_any_training(
    kind: DistributedType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", kind)
    with pytest.raises(BadInput, match=rf"{kind.value} was asked for; .*plain DDP only, because .* two models"):
        fit_decoder(
            make_decoder(), Never(), make_pairs(100), SETTINGS, FitOptions(progress=False), adversary=make_adversary()
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"discriminator": nn.Linear(1, 1)}, r"adversary\.discriminator: expected a Discriminator, got Linear"),
        ({"discriminator": TinyDiscriminator(), "loss": "hinge"}, r"adversary\.loss: expected a AdversarialLoss"),
        ({"discriminator": TinyDiscriminator(), "penalties": [nn.ReLU()]}, r"adversary\.penalties: expected a Penalty"),
        ({"discriminator": TinyDiscriminator(), "decoder_every": 1.5}, r"adversary\.decoder_every: .*got 1\.5"),
        ({"discriminator": TinyDiscriminator(), "augment": "colour"}, r"adversary\.augment: .*got str"),
    ],
)
def test_parts_of_another_kind_are_refused_by_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((BadInput, TypeError), match=words):
        unchecked(**arguments)


def unchecked(**arguments: Any) -> Adversary:
    """As a user calls it, without the type checker that the tests put around the library."""
    made = object.__new__(Adversary)
    getattr(Adversary.__init__, "__wrapped__", Adversary.__init__)(made, **arguments)
    return made


def test_it_says_in_one_line_how_it_differs() -> None:
    adversary = Adversary(
        Projection(TinyDiscriminator(norm="spectral"), WIDTH),
        relativistic,
        weight=0.5,
        penalties=[R1(0.05, every=4)],
        augment=DiffAugment("colour"),
        adversarial_start=0.1,
    )
    assert repr(adversary) == (
        "Adversary(Projection(TinyDiscriminator(norm='spectral'), [12]), loss=relativistic, weight=0.5, "
        "penalties=[R1(0.05, every=4)], augment=DiffAugment(policy='colour'))"
    )
    assert repr(Adversary(TinyDiscriminator())) == "Adversary(TinyDiscriminator())"
    assert Adversary(TinyDiscriminator()).fingerprints == frozenset()
