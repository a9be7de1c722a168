"""The adversarial step by itself: who learns when, what is logged, and that the halves do not touch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator, DistributedType
from adversarial_parts import TinyDiscriminator, make_adversary
from torch import Tensor, nn
from training_parts import SIZE, WIDTH, make_decoder, make_pairs

from featinv import Adversary, BadInput, Diverged, Training
from featinv.discriminators import DiffAugment, Projection
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
from featinv.training import AdversarialStep, RegressionStep, Step, fit_decoder
from featinv.training.acceleration import accelerating
from featinv.training.adversarial_step import last_weight
from featinv.training.batches import Batches, seed_step
from featinv.training.progress import Progress

SETTINGS = Training(pictures=480, batch_size=24, holdout=10, ema=0.9, accumulation=2)


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
def test_every_game_is_played_and_logged_by_name(loss: AdversarialLoss) -> None:
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
    adversary = make_adversary(start=0, lead=0, lr=1e-9)
    decoder = make_decoder()
    features, images = Batches(make_pairs(100), batch_size=24, seed=0).load(0)[:2]
    with torch.no_grad():
        made = copy.deepcopy(decoder)(features)
        real, fake = (adversary.discriminator(pictures, features) for pictures in (images, made))
    _, (values,) = take(adversarial(adversary, decoder), 1)
    assert float(values["train/discriminator/accuracy"]) == pytest.approx(float((real > fake).float().mean()))
    assert float(values["train/discriminator/margin"]) == pytest.approx(float((real - fake).mean()), rel=1e-5)
    assert float(values["train/loss/adversarial"]) == pytest.approx(-float(fake.mean()), rel=1e-5)
    spread = float(made.var(0, correction=0).sqrt().mean() / images.var(0, correction=0).sqrt().mean())
    assert float(values["train/diversity"]) == pytest.approx(spread, rel=1e-5)


def test_before_its_time_the_step_is_the_regression_step_bit_for_bit() -> None:
    # The discriminator learns from the first step on, draws random numbers, and must not be noticed.
    adversary = make_adversary(start=0.5, lead=0.5, augment=DiffAugment(), penalties=[GradientPenalty()])
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
    adversary = make_adversary(relativistic, start=0, lead=0)
    reached = []
    weight = adversary.discriminator.get_parameter("first.weight")
    weight.register_post_accumulate_grad_hook(lambda parameter: reached.append(parameter.grad.norm()))
    take(adversarial(adversary), 3)
    assert len(reached) == 3 * SETTINGS.accumulation, "its own half, and nothing else"
    assert weight.requires_grad, "and it is thawed again"


def test_each_network_is_clipped_by_its_own_norm() -> None:
    adversary, decoder = make_adversary(start=0, lead=0, clip=1e-3), make_decoder()
    _, (values,) = take(adversarial(adversary, decoder), 1)
    for network, name, clip in ((adversary.discriminator, "discriminator", 1e-3), (decoder, "decoder", SETTINGS.clip)):
        told = float(values[f"train/gradient/{name}"])
        left = float(nn.utils.get_total_norm([parameter.grad for parameter in network.parameters()]))
        assert left == pytest.approx(min(told, clip), rel=1e-3)
    assert float(values["train/gradient/discriminator"]) > 1e-2, "it was longer than that"


def test_what_was_frozen_stays_frozen() -> None:
    adversary = make_adversary(start=0, lead=0)
    adversary.discriminator.get_parameter("first.bias").requires_grad_(False)
    before = adversary.discriminator.get_parameter("first.bias").clone()
    take(adversarial(adversary), 3)
    assert not adversary.discriminator.get_parameter("first.bias").requires_grad
    assert torch.equal(adversary.discriminator.get_parameter("first.bias"), before)


def test_only_every_kth_step_is_the_decoders_once_the_adversary_plays() -> None:
    _, said = take(adversarial(make_adversary(decoder_every=3)), 12)
    painting = [number for number, values in enumerate(said) if "train/loss" in values]
    assert painting == [0, 1, 2, 3, 5, 8, 11], "it plays from step 4, the discriminator's third"
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
    adversary = make_adversary(loss, start=0, lead=0, augment=(noted := Noted()))
    _, images, _ = Batches(make_pairs(100), batch_size=24, seed=0).load(0)
    take(adversarial(adversary), 1)
    real = [float(part.sum()) for part in images.tensor_split(2)]
    assert len(noted.sums) == 2 * (passes + 2)
    assert [noted.sums.count(one) for one in real] == [passes, passes]


def test_a_relativistic_game_compares_with_the_same_pictures_and_the_same_vectors() -> None:
    seen: list[tuple[float, float]] = []

    class Watching(TinyDiscriminator):
        conditional = True

        def head(self, hidden: Tensor, features: Tensor | None) -> Tensor:
            assert features is not None
            seen.append((float(features.sum()), float(hidden.detach().sum())))
            return super().head(hidden, features)

    take(adversarial(Adversary(Watching(), relativistic, start=0, lead=0)), 1)
    vectors = [of_features for of_features, _ in seen]
    assert vectors == [vectors[0]] * 2 + [vectors[2]] * 2 + [vectors[0]] * 2 + [vectors[2]] * 2
    # Reconstruction and original in the decoder's half are the two of the discriminator's half, part by part.
    assert {hidden for _, hidden in seen[:4]} == {hidden for _, hidden in seen[4:]}


def test_the_adaptive_weight_is_that_of_the_source_on_the_last_layer() -> None:
    decoder, adversary = make_decoder(), make_adversary(start=0, lead=0, adaptive=True, weight=0.8)
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


# ------------------------------------------------------------------------------------------- one scaler


class Half(torch.autograd.Function):
    """Hands gradients on as fp16 would: infinite beyond its range."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.where((gradient * ctx.factor).abs() > 65504, torch.inf, gradient), None


class Overflowing(TinyDiscriminator):
    """Overflows in its own half at a scale above 2^10, say; never in the decoder's."""

    def head(self, hidden: Tensor, features: Tensor | None) -> Tensor:
        mine = self.get_parameter("first.weight").requires_grad
        return Half.apply(super().head(hidden, features), 4500.0 if mine else 0.0)


def scaled_steps(adversary: Adversary, steps: int, scale: float | None) -> tuple[Any, list[dict[str, Tensor]], Any]:
    """Steps in float32 with fp16's scaler, as Accelerate calls it; its scale is a power of 2, so exact."""
    with accelerating(SETTINGS) as accelerator:
        if scale is not None:
            accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
            accelerator.unscale_gradients = accelerator.scaler.unscale_
        step, progress = AdversarialStep(make_decoder(), MSE(), adversary, SETTINGS, accelerator), Progress(SETTINGS)
        batches, said = Batches(make_pairs(100), batch_size=24, seed=0), []
        for number in range(steps):
            said.append(step(batches.load(number), progress))
            progress.advance(24)
        return step, said, accelerator.scaler


@pytest.mark.parametrize("clip", [None, 0.01])
def test_with_one_scaler_for_two_optimisers_the_weights_are_those_without(clip: float | None) -> None:
    def adversary() -> Adversary:
        return make_adversary(relativistic, start=0, lead=0, adaptive=True, penalties=[R1(0.1)], clip=clip)

    (plain, told, _), (scaled, said, scaler) = (scaled_steps(adversary(), 6, scale) for scale in (None, 2.0**12))
    for network in ("decoder", "discriminator"):
        theirs = getattr(plain, network).state_dict()
        for name, weight in getattr(scaled, network).state_dict().items():
            torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-6)
    for one, other in zip(said, told, strict=True):
        for name in ("train/gradient/decoder", "train/gradient/discriminator", "train/adversary/weight"):
            torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=0)
    assert scaler.get_scale() == 2.0**12, "it was asked, and nothing overflowed"


def test_where_the_discriminators_gradient_overflows_its_step_is_left_out_and_the_decoders_is_not() -> None:
    adversary = Adversary(Overflowing(), wasserstein, start=0, lead=0)
    before = {name: tensor.clone() for name, tensor in adversary.discriminator.state_dict().items()}
    step, said, scaler = scaled_steps(adversary, 4, 2.0**12)
    overflowed = [float(values["train/gradient/discriminator"]) == 0 for values in said]
    assert overflowed == [True, True, False, False], "each halves the scale: 2^12, 2^11, 2^10"
    assert all(float(values["train/gradient/decoder"]) > 0 for values in said)
    assert scaler.get_scale() == 2.0**10
    decoder = make_decoder().state_dict()
    assert not torch.equal(step.decoder.state_dict()["mix.weight"], decoder["mix.weight"])
    for network in (step.discriminator, step.decoder):
        assert all(bool(weight.isfinite().all()) for weight in network.state_dict().values())
    # Two steps of Adam, and not four: each is about lr long in every weight.
    moved = (step.discriminator.state_dict()["last.weight"] - before["last.weight"]).abs()
    assert float(moved.max()) < 2.5 * adversary.lr


# ------------------------------------------------------------------------------------------- what is not finite


def bursting(half: str) -> AdversarialLoss:
    """A game that is infinite in one half."""
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
    adversary = make_adversary(start=0.5, lead=0.5 if "adversarial" not in name else 0.0, **settings)
    with pytest.raises(Diverged, match=rf"^{name} became (-?inf|nan) in step {11 if 'adversarial' in name else 1} "):
        fit_decoder(make_decoder(), MSE(), make_pairs(100), SETTINGS, adversary=adversary, progress=False)


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", -0.1),
        ("weight", float("nan")),
        ("weight", float("inf")),
        ("start", 1.0),
        ("start", -0.1),
        ("lead", float("nan")),
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


@pytest.mark.parametrize("pictures", [16, 32])
def test_a_discriminator_of_another_picture_size_is_refused_before_any_training(pictures: int) -> None:
    adversary = Adversary(TinyDiscriminator(pictures))
    with pytest.raises(BadInput, match=rf"pictures of {SIZE} pixels.* got TinyDiscriminator for {pictures}"):
        fit_decoder(make_decoder(), Never(), make_pairs(100), SETTINGS, adversary=adversary, progress=False)


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
        fit_decoder(make_decoder(), Never(), make_pairs(100), SETTINGS, adversary=adversary(), progress=False)


def compiled(adversary: Adversary) -> Adversary:
    adversary.discriminator.compile()
    return adversary


def test_fp16_on_a_cpu_is_refused_before_any_training() -> None:
    settings = Training(pictures=480, batch_size=24, mixed_precision="fp16")
    with pytest.raises(BadInput, match="fp16 does nothing on a CPU"):
        fit_decoder(make_decoder(), Never(), make_pairs(100), settings, adversary=make_adversary(), progress=False)


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_what_refuses_two_models_is_refused_before_any_training(
    kind: DistributedType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", kind)
    with pytest.raises(BadInput, match=rf"{kind.value} was asked for; .*plain DDP only, because .* two models"):
        fit_decoder(make_decoder(), Never(), make_pairs(100), SETTINGS, adversary=make_adversary(), progress=False)


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
        start=0.1,
    )
    assert repr(adversary) == (
        "Adversary(Projection(TinyDiscriminator(norm='spectral'), [12]), loss=relativistic, weight=0.5, "
        "penalties=[R1(0.05, every=4)], augment=DiffAugment(policy='colour'))"
    )
    assert repr(Adversary(TinyDiscriminator())) == "Adversary(TinyDiscriminator())"
    assert Adversary(TinyDiscriminator()).fingerprints == frozenset()
