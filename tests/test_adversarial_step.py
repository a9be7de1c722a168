"""The adversarial step by itself: who learns when, what is logged, and that the halves do not touch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from adversarial_parts import TinyDiscriminator, make_adversary
from torch import Tensor, nn
from training_parts import make_decoder, make_pairs

from featinv import Adversary, BadInput, Diverged, Training
from featinv.discriminators import DiffAugment
from featinv.losses import (
    MSE,
    R1,
    AdversarialLoss,
    GradientPenalty,
    LeCam,
    Penalty,
    hinge,
    least_squares,
    non_saturating,
    relativistic,
    wasserstein,
)
from featinv.training import AdversarialStep, FitOptions, RegressionStep, Step, fit_decoder
from featinv.training.adversarial_step import last_weight
from featinv.training.batches import Batches, seed_step
from featinv.training.fitting import accelerating
from featinv.training.progress import Progress

SETTINGS = Training(images=480, batch_size=24, holdout=10, ema=0.9, accumulation=2)


def take(make: Callable[[Accelerator], Step], steps: int) -> tuple[Step, list[dict[str, Tensor]]]:
    """So many steps of any kind, and what each said."""
    with accelerating(SETTINGS) as accelerator:
        step, progress = make(accelerator), Progress(SETTINGS)
        batches = Batches(make_pairs(100), batch_size=24, seed=0)
        said = []
        for number in range(steps):
            seed_step(0, number, torch.device("cpu"))
            said.append(step(batches.load(number), progress))
            progress.advance(24)
        return step, said


def adversarial(adversary: Adversary, decoder: nn.Module | None = None) -> Callable[[Accelerator], AdversarialStep]:
    decoder = make_decoder() if decoder is None else decoder
    return lambda accelerator: AdversarialStep(decoder, MSE(), adversary, SETTINGS, accelerator)


ALONE = {"train/loss", "train/loss/MSE", "train/gradient/decoder"}
LEARNING = {"train/loss/discriminator", "train/discriminator/accuracy", "train/discriminator/margin"}
LEARNING |= {"train/gradient/discriminator", "train/diversity"}
PLAYING = {"train/loss/adversarial", "train/adversary/weight"}


@pytest.mark.parametrize("loss", [hinge, least_squares, non_saturating, relativistic, wasserstein])
def test_every_loss_is_played_and_logged_by_name(loss: AdversarialLoss) -> None:
    adversary = make_adversary(loss, conditional=True, penalties=[R1(1.0, every=4), LeCam(start=3), LeCam()])
    step, said = take(adversarial(adversary), 7)
    assert isinstance(step, Step)
    assert [set(values) for values in said] == [
        ALONE,
        ALONE,
        ALONE | LEARNING | {"train/loss/R1"},  # the lead begins, and with it the discriminator's count
        ALONE | LEARNING,
        ALONE | LEARNING | PLAYING,
        ALONE | LEARNING | PLAYING | {"train/loss/LeCam"},
        ALONE | LEARNING | PLAYING | {"train/loss/LeCam", "train/loss/R1"},
    ]
    for values in said[4:]:
        total = values["train/loss/MSE"] + values["train/adversary/weight"] * values["train/loss/adversarial"]
        torch.testing.assert_close(values["train/loss"], total)
        assert 0 <= float(values["train/discriminator/accuracy"]) <= 1
        assert float(values["train/adversary/weight"]) == pytest.approx(0.1)


def test_what_is_logged_of_the_discriminator_is_counted_by_hand() -> None:
    adversary = make_adversary(adversarial_start=0, discriminator_warmup=0, lr=1e-9)
    decoder = make_decoder()
    features, images = Batches(make_pairs(100), batch_size=24, seed=0).load(0)[:2]
    with torch.no_grad():
        made = copy.deepcopy(decoder)(features)
        real, fake = (adversary.discriminator(batch, features) for batch in (images, made))
    _, (values,) = take(adversarial(adversary, decoder), 1)
    assert float(values["train/discriminator/accuracy"]) == pytest.approx(float((real > fake).float().mean()))
    assert float(values["train/discriminator/margin"]) == pytest.approx(float((real - fake).mean()), rel=1e-5)
    assert float(values["train/loss/adversarial"]) == pytest.approx(-float(fake.mean()), rel=1e-5)
    spread = float(made.var(0, correction=0).sqrt().mean() / images.var(0, correction=0).sqrt().mean())
    assert float(values["train/diversity"]) == pytest.approx(spread, rel=1e-5)


def test_before_its_time_the_step_is_the_regression_step_bit_for_bit() -> None:
    # The discriminator learns from the first step on, draws random numbers, and must not be noticed.
    adversary = make_adversary(
        adversarial_start=0.5, discriminator_warmup=0.5, augment=DiffAugment(), penalties=[GradientPenalty()]
    )
    before = copy.deepcopy(adversary.discriminator.state_dict())
    step, said = take(adversarial(adversary, make_decoder(0.3)), 10)
    plain, alone = take(lambda accelerator: RegressionStep(make_decoder(0.3), MSE(), SETTINGS, accelerator), 10)
    for name, weight in plain.network.state_dict().items():
        assert torch.equal(step.network.state_dict()[name], weight)
    assert all(
        torch.equal(ours[name], theirs[name]) for ours, theirs in zip(said, alone, strict=True) for name in theirs
    )
    assert any(not torch.equal(before[name], now) for name, now in adversary.discriminator.state_dict().items())


def test_the_decoders_half_leaves_no_gradient_in_the_discriminator() -> None:
    adversary = make_adversary(relativistic, adversarial_start=0, discriminator_warmup=0)
    reached = []
    weight = adversary.discriminator.get_parameter("first.weight")
    weight.register_post_accumulate_grad_hook(lambda parameter: reached.append(parameter.grad.norm()))
    take(adversarial(adversary), 3)
    assert len(reached) == 3 * SETTINGS.accumulation, "its own half, and nothing else"
    assert weight.requires_grad, "and it is thawed again"


def test_each_network_is_clipped_by_its_own_norm() -> None:
    adversary, decoder = make_adversary(adversarial_start=0, discriminator_warmup=0, clip=1e-3), make_decoder()
    _, (values,) = take(adversarial(adversary, decoder), 1)
    for network, name, clip in ((adversary.discriminator, "discriminator", 1e-3), (decoder, "decoder", SETTINGS.clip)):
        told = float(values[f"train/gradient/{name}"])
        left = float(nn.utils.get_total_norm([parameter.grad for parameter in network.parameters()]))
        assert left == pytest.approx(min(told, clip), rel=1e-3)
    assert float(values["train/gradient/discriminator"]) > 1e-2, "it was longer than that"


def test_what_was_frozen_stays_frozen() -> None:
    adversary = make_adversary(adversarial_start=0, discriminator_warmup=0)
    adversary.discriminator.get_parameter("first.bias").requires_grad_(False)
    before = adversary.discriminator.get_parameter("first.bias").clone()
    take(adversarial(adversary), 3)
    assert not adversary.discriminator.get_parameter("first.bias").requires_grad
    assert torch.equal(adversary.discriminator.get_parameter("first.bias"), before)


def test_only_every_kth_step_is_the_decoders_once_the_adversary_plays() -> None:
    _, said = take(adversarial(make_adversary(decoder_every=3)), 12)
    painting = [number for number, values in enumerate(said) if "train/loss" in values]
    assert painting == [0, 1, 2, 3, 5, 8, 11], "the adversary is active from step 4, the discriminator's third"
    assert [number for number, values in enumerate(said) if "train/loss/discriminator" in values] == list(range(2, 12))


class Noted(nn.Module):
    """An augmentation that changes nothing and writes down what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sums.append(float(images.detach().sum()))
        return images


@pytest.mark.parametrize(("loss", "passes"), [(hinge, 1), (relativistic, 2)])
def test_real_and_fake_alike_are_augmented_in_both_halves(loss: AdversarialLoss, passes: int) -> None:
    adversary = make_adversary(loss, adversarial_start=0, discriminator_warmup=0, augment=(noted := Noted()))
    _, images, _ = Batches(make_pairs(100), batch_size=24, seed=0).load(0)
    take(adversarial(adversary), 1)
    real = [float(part.sum()) for part in images.tensor_split(2)]
    assert len(noted.sums) == 2 * (passes + 2)
    assert [noted.sums.count(one) for one in real] == [passes, passes]


def test_a_relativistic_loss_compares_with_the_same_images_and_the_same_vectors() -> None:
    seen: list[tuple[float, float]] = []

    class Watching(TinyDiscriminator):
        conditional = True

        def head(self, hidden: Tensor, features: Tensor | None) -> Tensor:
            assert features is not None
            seen.append((float(features.sum()), float(hidden.detach().sum())))
            return super().head(hidden, features)

    take(adversarial(Adversary(Watching(), relativistic, adversarial_start=0, discriminator_warmup=0)), 1)
    vectors = [of_features for of_features, _ in seen]
    assert vectors == [vectors[0]] * 2 + [vectors[2]] * 2 + [vectors[0]] * 2 + [vectors[2]] * 2
    # Reconstruction and original in the decoder's half are the two of the discriminator's half, part by part.
    assert {hidden for _, hidden in seen[:4]} == {hidden for _, hidden in seen[4:]}


def test_the_adaptive_weight_is_that_of_the_source_on_the_last_layer() -> None:
    decoder, adversary = (
        make_decoder(),
        make_adversary(adversarial_start=0, discriminator_warmup=0, adaptive=True, weight=0.8),
    )
    (features, images, _), probe = Batches(make_pairs(100), batch_size=24, seed=0).load(0), make_decoder()
    made = probe(features)
    mine = []
    for loss in ((made - images).square().mean(), -adversary.discriminator(made, features).mean()):
        probe.paint.weight.grad = None
        loss.backward(retain_graph=True)
        mine.append(float(probe.paint.weight.grad.norm()))
    adversary.discriminator.zero_grad()
    settings = Training(**{**vars(SETTINGS), "accumulation": 1})
    with accelerating(settings) as accelerator:
        step = AdversarialStep(decoder, MSE(), adversary, settings, accelerator)
        values = step(Batches(make_pairs(100), batch_size=24, seed=0).load(0), Progress(settings))
    assert float(values["train/adversary/weight"]) == pytest.approx(0.8 * mine[0] / (mine[1] + 1e-4), rel=1e-4)


def test_the_last_weight_is_the_one_named_or_the_last_matrix() -> None:
    decoder = make_decoder()
    assert last_weight(nn.Sequential(nn.Identity(), decoder)) is decoder.paint.weight
    decoder.last_weight = decoder.mix.weight
    assert last_weight(nn.Sequential(nn.Identity(), decoder)) is decoder.mix.weight
    with pytest.raises(BadInput, match=r"adversary\.adaptive: expected a decoder with a matrix"):
        last_weight(nn.BatchNorm2d(3))


# ------------------------------------------------------------------------------------------- what is not finite


def bursting(half: str) -> AdversarialLoss:
    """A adversarial that is infinite in one half."""
    halves = {name: (lambda real, fake: fake - fake.detach()) for name in ("on_discriminator", "on_generator")}
    halves[half] = lambda real, fake: fake / 0.0
    return AdversarialLoss(name="bursting", source="", summary="", **halves)


class Burst(Penalty):
    def measure(self, discriminator: Any, real: Tensor, fake: Tensor, features: Any) -> Tensor:
        return discriminator(real, features).mean(1) * torch.inf


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"loss": bursting("on_discriminator")}, "train/loss/discriminator"),
        ({"loss": bursting("on_generator")}, "train/loss/adversarial"),
        ({"penalties": [Burst(1.0)]}, "train/loss/Burst"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run_by_name(settings: dict[str, Any], name: str) -> None:
    adversary = make_adversary(
        adversarial_start=0.5, discriminator_warmup=0.5 if "adversarial" not in name else 0.0, **settings
    )
    with pytest.raises(Diverged, match=rf"^{name} became (-?inf|nan) in step {11 if 'adversarial' in name else 1} "):
        fit_decoder(make_decoder(), MSE(), make_pairs(100), SETTINGS, FitOptions(progress=False), adversary=adversary)
