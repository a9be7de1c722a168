"""Two optimisers and fp16's one scaler of gradients, on a CPU: the arithmetic is float32, the scaler is torch's."""

from typing import Any

import pytest
import torch
from adversarial_parts import TinyDiscriminator, make_adversary
from torch import Tensor
from training_parts import make_decoder, make_pairs

from featinv import Adversary, Training
from featinv.losses import (
    MSE,
    R1,
    relativistic,
    wasserstein,
)
from featinv.training import AdversarialStep
from featinv.training.batches import Batches
from featinv.training.fitting import accelerating
from featinv.training.progress import Progress

SETTINGS = Training(images=480, batch_size=24, holdout=10, ema=0.9, accumulation=2)


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
        return make_adversary(
            relativistic, adversarial_start=0, discriminator_warmup=0, adaptive=True, penalties=[R1(0.1)], clip=clip
        )

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
    adversary = Adversary(Overflowing(), wasserstein, adversarial_start=0, discriminator_warmup=0)
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
