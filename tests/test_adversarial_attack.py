"""A decoder attack with an adversary: what it copies, keeps, saves and refuses; and one that really trains."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adversarial_parts import TinyDiscriminator, make_adversary
from torch import Tensor
from training_parts import TinyDecoder, make_decoder, make_pairs

import featinv as fi
from featinv import Adversary, BadInput, Training
from featinv.attacks import DecoderAttack
from featinv.discriminators import Projection
from featinv.losses import L1, MSE, R1, R2, LeCam, hinge, relativistic, wasserstein
from featinv.metrics import psnr
from featinv.training.batches import hold_out

QUICK = Training(images=480, batch_size=24, ema=0.9)


def fitted(adversary: Adversary | None = None, training: Training = QUICK, **more: Any) -> DecoderAttack:
    adversary = make_adversary(conditional=True, penalties=[LeCam(start=0)]) if adversary is None else adversary
    return DecoderAttack(make_decoder(0.2), MSE(), training, adversary=adversary).fit(
        make_pairs(100), progress=False, **more
    )


def test_it_trains_a_copy_of_the_adversary_and_a_second_fit_starts_anew() -> None:
    adversary = make_adversary(conditional=True, penalties=[LeCam(start=0)])
    before = {name: tensor.clone() for name, tensor in adversary.discriminator.state_dict().items()}
    attack = fitted(adversary)
    first = {name: tensor.clone() for name, tensor in attack.network.state_dict().items()}
    history = [row["train/loss/discriminator"] for row in attack.history if "train/loss/discriminator" in row]
    assert all(torch.equal(before[name], tensor) for name, tensor in adversary.discriminator.state_dict().items())
    assert not bool(adversary.penalties[0].started), "nor do its penalties remember anything"
    attack.fit(make_pairs(100), progress=False)
    assert all(torch.equal(first[name], tensor) for name, tensor in attack.network.state_dict().items())
    assert history == [row["train/loss/discriminator"] for row in attack.history if "train/loss/discriminator" in row]
    alone = DecoderAttack(make_decoder(0.2), MSE(), QUICK).fit(make_pairs(100), progress=False)
    assert not torch.equal(first["decoder.mix.weight"], alone.network.decoder.mix.weight), "and the adversary was heard"


@pytest.mark.parametrize("standardise", [True, False])
def test_a_conditional_discriminator_is_given_the_public_statistics(standardise: bool) -> None:
    told: list[tuple[Tensor, Tensor]] = []

    class Listening(TinyDiscriminator):
        conditional = True

        def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
            told.append((mean, deviation))

    fitted(Adversary(Listening()), Training(**{**vars(QUICK), "standardise": standardise}))
    features = make_pairs(100).features(np.arange(100)).astype(np.float64)
    ((mean, deviation),) = told
    np.testing.assert_allclose(mean.numpy(), features.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(deviation.numpy(), features.std(0), rtol=1e-5)


def test_the_last_average_is_kept_and_not_the_best_by_psnr() -> None:
    training = Training(images=1440, batch_size=24, ema=0.5, lr=1e-2, schedule="constant", holdout=20)
    attack = fitted(make_adversary(adversarial_start=0.5, discriminator_warmup=0.2, weight=30.0, lr=1e-2), training)
    scores = [row["val/psnr"] for row in attack.history if "val/psnr" in row]
    assert max(scores) > scores[-1] + 0.1, "the last is the best: this tests nothing"
    features, images = hold_out(make_pairs(100), 20, training.seed)[1].batch(range(20))
    assert float(psnr(attack.reconstruct(features), images).mean()) == pytest.approx(scores[-1], abs=1e-3)


def test_the_best_by_psnr_is_refused_before_any_training() -> None:
    with pytest.raises(BadInput, match=r"training\.keep: expected 'last' or null with an adversary, got 'best'"):
        DecoderAttack(make_decoder(), MSE(), Training(keep="best"), adversary=make_adversary())


@pytest.mark.parametrize(
    ("adversary", "words"),
    [
        (lambda: Adversary(TinyDiscriminator(16)), r"images of 8 pixels, .* got TinyDiscriminator for 16"),
        (
            lambda: Adversary(Projection(TinyDiscriminator(), 3)),
            r"vectors of shape \(12,\), .* got Projection for \(3,\)",
        ),
        (lambda: make_adversary(norm="batch", penalties=[R2(1.0)]), r"R2: expected a discriminator without batch norm"),
    ],
)
def test_an_adversary_that_does_not_fit_the_decoder_is_refused_at_once(adversary: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        DecoderAttack(make_decoder(), MSE(), QUICK, adversary=adversary())


def test_what_is_no_adversary_is_refused() -> None:
    attack = object.__new__(DecoderAttack)
    unchecked = getattr(DecoderAttack.__init__, "__wrapped__", DecoderAttack.__init__)
    with pytest.raises(BadInput, match=r"adversary: expected a featinv\.Adversary or None, got TinyDiscriminator"):
        unchecked(attack, make_decoder(), MSE(), QUICK, adversary=TinyDiscriminator())


class Barring(TinyDiscriminator):
    fingerprints = frozenset({"sha of a backbone"})


class Looking(L1):
    fingerprints = frozenset({"sha of a loss"})  # type: ignore[assignment]


def test_saved_and_loaded_the_adversary_is_words_and_what_it_excludes_stays_excluded(tmp_path: Path) -> None:
    adversary = Adversary(Barring(), hinge, adversarial_start=0.2, discriminator_warmup=0.1)
    attack = DecoderAttack(make_decoder(), Looking(), QUICK, adversary=adversary).fit(make_pairs(100), progress=False)
    attack.notices = ["The discriminator has won"]
    assert attack.excluded_judges == {"sha of a backbone", "sha of a loss"}
    fi.save_attack(attack, tmp_path / "saved")
    loaded = fi.load_attack(tmp_path / "saved", allow=[TinyDecoder])
    vectors = make_pairs(10).batch(np.arange(10))[0]
    assert torch.equal(loaded.reconstruct(vectors), attack.reconstruct(vectors))
    assert (loaded.excluded_judges, loaded.notices) == (attack.excluded_judges, attack.notices)
    assert repr(loaded) == repr(attack)
    assert "Adversary(Barring(), adversarial_start=0.2, discriminator_warmup=0.1)" in repr(loaded)
    assert json.dumps(loaded.state()[0]) == json.dumps(attack.state()[0])
    with pytest.raises(BadInput, match="holds no objective"):
        loaded.fit(make_pairs(100))


def test_attacks_saved_before_there_were_adversaries_are_still_read() -> None:
    config, tensors = DecoderAttack(make_decoder(), MSE(), QUICK).fit(make_pairs(100), progress=False).state()
    for name in ("adversary", "excluded_judges", "notices"):
        del config[name]
    config["training"]["keep"] = "best"
    loaded = DecoderAttack.from_state(config, tensors, allow=[TinyDecoder])
    assert (loaded.adversary, loaded.excluded_judges, loaded.notices) == (None, frozenset(), [])


# ------------------------------------------------------------------------------------------- a real training


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", ["hinge", "relativistic"])
def test_a_small_decoder_and_a_dcgan_play_some_hundred_steps_on_scenes(adversarial: str) -> None:
    victim = fi.Victim(fi.encoders.tiny())
    pairs = fi.extract(victim, fi.data.scenes(512, size=32, seed=3))
    decoder = fi.decoders.Upsampling(victim.feature_shape, 32, width=64, channels=8)
    norm = "none" if adversarial == "relativistic" else "spectral"
    discriminator: Any = fi.discriminators.DCGAN(32, width=16, norm=norm)
    penalties = [R1(0.1), R2(0.1)] if adversarial == "relativistic" else []
    loss = relativistic if adversarial == "relativistic" else hinge
    discriminator = Projection(discriminator, victim.feature_shape)
    adversary = Adversary(discriminator, loss, penalties=penalties, augment=fi.discriminators.DiffAugment())
    attack = DecoderAttack(decoder, MSE(), Training(images=300 * 32, batch_size=32), adversary=adversary)
    attack.fit(pairs, progress=False)
    playing = [row for row in attack.history if "train/loss/adversarial" in row]
    assert all(np.isfinite(list(row.values())).all() for row in attack.history)
    accuracies = [row["train/discriminator/accuracy"] for row in playing]
    assert 0.5 < np.mean(accuracies) < 1, "it learns to tell them apart, and does not always"
    assert min(row["train/diversity"] for row in playing) > 0.1
    assert attack.history[-1]["train/loss/MSE"] < attack.history[0]["train/loss/MSE"]


# ------------------------------------------------------------------------------------------- on an accelerator

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA accelerator; not run without one")


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu_every_precision_plays_as_float32_does(precision: str, penalised: bool, tmp_path: Path) -> None:
    def play(precision: str, checkpoints: fi.training.Checkpoints | None = None) -> DecoderAttack:
        training = Training(images=4800, batch_size=24, accumulation=2, mixed_precision=precision, lr=3e-3, clip=0.1)
        adversary = make_adversary(
            relativistic,
            conditional=True,
            penalties=[R1(0.1, every=4), R2(0.1, every=4)] if penalised else [],
            clip=1.0,
        )
        attack = DecoderAttack(make_decoder(), MSE(), training, adversary=adversary)
        return attack.fit(make_pairs(100), checkpoints=checkpoints, progress=False)

    ours, exact = play(precision, fi.training.Checkpoints(tmp_path)), play("no")
    for name in ("train/loss/MSE", "train/loss/discriminator"):
        assert ours.history[-1][name] == pytest.approx(exact.history[-1][name], rel=0.1)
    assert ours.history[-1]["train/loss/MSE"] < 0.5 * ours.history[0]["train/loss/MSE"]
    assert all(weight.dtype == torch.float32 for weight in ours.network.state_dict().values())
    assert (tmp_path / "step_00000200" / "scaler.pt").exists() == (precision == "fp16")


class Overflowing(TinyDiscriminator):
    """Its gradients overflow fp16 at the scaler's first scale, while those of the decoder are as small as ever."""

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        return super().forward(images, features) * (1.0 if images.requires_grad else 3e4)


@pytest.mark.gpu
@GPU
def test_on_a_gpu_an_overflow_of_one_optimiser_costs_a_step_and_no_weights() -> None:
    training = Training(images=4800, batch_size=24, mixed_precision="fp16", clip=0.1)
    # A critic's gradient never vanishes; it hardly learns, so that its logits themselves stay in range.
    adversary = Adversary(Overflowing(), wasserstein, adversarial_start=0, discriminator_warmup=0, lr=1e-6)
    attack = DecoderAttack(make_decoder(), MSE(), training, adversary=adversary).fit(make_pairs(100), progress=False)
    assert all(np.isfinite(list(row.values())).all() for row in attack.history)
    assert attack.history[0]["train/gradient/discriminator"] == 0, "0 stands for a step that was left out"
    assert attack.history[-1]["train/gradient/discriminator"] > 0, "until the one scaler of both has found a scale"
    assert attack.history[-1]["train/loss/MSE"] < attack.history[0]["train/loss/MSE"]
