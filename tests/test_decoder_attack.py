"""The trained decoder as an attack: fitting, reconstructing, saving, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from training_parts import SIZE, WIDTH, NoPairs, TinyDecoder, make_decoder, make_pairs

from featinv import BadInput, Training
from featinv.attacks import DecoderAttack, MeanImage
from featinv.features import Pairs
from featinv.losses import BCE, L1, MSE
from featinv.metrics import psnr
from featinv.training import Checkpoints

QUICK = Training(images=240, batch_size=24)


def _fitted(training: Training = QUICK, **more: Any) -> DecoderAttack:
    return DecoderAttack(make_decoder(0.2), MSE(), training).fit(make_pairs(100), progress=False, **more)


def test_it_learns_what_the_vectors_say() -> None:
    pairs, private = make_pairs(400), make_pairs(430).take(np.arange(400, 430))
    vectors, truth = private.batch(np.arange(30))
    training = Training(images=12_000, batch_size=40, lr=5e-3)
    attack = DecoderAttack(make_decoder(), MSE(), training).fit(pairs, progress=False)
    control = MeanImage().fit(pairs).reconstruct(vectors)
    gain = psnr(attack.reconstruct(vectors), truth) - psnr(control, truth)
    assert gain.mean() > 3, "dB over the mean image"
    assert attack.kind == "attack"
    assert attack.parameters == sum(p.numel() for p in make_decoder().parameters())
    assert attack.victim == pairs.metadata
    assert attack.seconds > 0
    assert attack.history[-1]["train/loss"] < attack.history[0]["train/loss"]


def test_fitting_leaves_the_decoder_alone_and_starts_anew_each_time() -> None:
    decoder = make_decoder(0.2)
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    attack = DecoderAttack(decoder, MSE(), QUICK)
    vectors = make_pairs(100).batch(np.arange(5))[0]
    first = attack.fit(make_pairs(100), progress=False).reconstruct(vectors)
    assert all(torch.equal(before[name], tensor) for name, tensor in decoder.state_dict().items())
    assert torch.equal(attack.fit(make_pairs(100), progress=False).reconstruct(vectors), first)


def test_the_features_are_standardised_with_public_statistics() -> None:
    pairs = make_pairs(100)
    features = pairs.features(np.arange(100)).astype(np.float64)
    attack = _fitted()
    mean, scale = attack.network.standardise.mean, attack.network.standardise.scale
    np.testing.assert_allclose(mean.numpy(), features.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scale.numpy(), features.std(0), rtol=1e-5)
    # So a change of units of the vectors changes nothing.
    scaled = Pairs(pairs.features(np.arange(100)) * 1024 + 512, pairs.images)
    other = DecoderAttack(make_decoder(0.2), MSE(), QUICK).fit(scaled, progress=False)
    one = attack.reconstruct(pairs.batch(np.arange(9))[0])
    torch.testing.assert_close(other.reconstruct(scaled.batch(np.arange(9))[0]), one, atol=1e-2, rtol=0)


def test_as_in_the_paper_the_vector_goes_in_as_it_is() -> None:
    attack = _fitted(Training.paper(images=240))
    assert [name for name, _ in attack.network.named_children()] == ["decoder"]
    assert not any("val/psnr" in row for row in attack.history)


def test_a_reconstruction_does_not_depend_on_its_batch_mates() -> None:
    attack = _fitted()
    vectors = make_pairs(600).batch(np.arange(600))[0]
    together = attack.reconstruct(vectors)
    assert together.shape == (600, 3, SIZE, SIZE)
    assert 0 <= float(together.min()) <= float(together.max()) <= 1
    for row in (0, 255, 256, 599):
        torch.testing.assert_close(
            attack.reconstruct(vectors[row : row + 1]), together[row : row + 1], atol=1e-5, rtol=0
        )
    assert not together.requires_grad
    assert attack.reconstruct(vectors[:0]).shape == (0, 3, SIZE, SIZE)


def test_saved_and_loaded_it_paints_the_same_and_refuses_to_be_fitted(tmp_path: Path) -> None:
    attack = _fitted()
    config, tensors = attack.state()
    save_file(tensors, tmp_path / "weights.safetensors")
    config = json.loads(json.dumps(config))
    loaded = DecoderAttack.from_state(config, load_file(tmp_path / "weights.safetensors"), allow=[TinyDecoder])
    vectors = make_pairs(100).batch(np.arange(10))[0]
    assert torch.equal(loaded.reconstruct(vectors), attack.reconstruct(vectors))
    assert (loaded.history, loaded.seconds, loaded.victim) == (attack.history, attack.seconds, attack.victim)
    assert (loaded.training, repr(loaded.objective)) == (QUICK, repr(MSE()))
    assert (loaded.feature_shape, loaded.image_size, loaded.parameters) == ((WIDTH,), SIZE, attack.parameters)
    with pytest.raises(BadInput, match="holds no objective"):
        loaded.fit(make_pairs(100))
    again, _ = loaded.state()
    assert again == config


def test_a_strangers_decoder_is_not_built_unless_allowed() -> None:
    config, tensors = _fitted().state()
    with pytest.raises(BadInput, match="TinyDecoder"):
        DecoderAttack.from_state(config, tensors)


def test_weights_of_another_decoder_are_refused_by_name() -> None:
    config, tensors = _fitted().state()
    bias = tensors["decoder.mix.bias"]
    for change, words in (
        ({"decoder.mix.bias": bias[:-1]}, "decoder.mix.bias of shape"),
        ({"decoder.extra": torch.zeros(1)}, r"'decoder\.extra' is in one"),
        ({"decoder.mix.bias": torch.full_like(bias, torch.nan)}, r"finite numbers in decoder\.mix"),
        ({"decoder.mix.bias": bias.double()}, "float64"),
    ):
        with pytest.raises(BadInput, match=words):
            DecoderAttack.from_state(config, {**tensors, **change}, allow=[TinyDecoder])


class Forgetful(nn.Module):
    """Does not keep its argument under its own name, so it could not be saved."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.feature_shape, self.image_size = (width,), SIZE


def test_a_decoder_that_could_not_be_saved_is_refused_before_training() -> None:
    with pytest.raises(BadInput, match=r"does not keep its argument 'width'"):
        DecoderAttack(Forgetful(3), MSE())


def test_a_network_that_does_not_say_its_shapes_is_refused() -> None:
    with pytest.raises(BadInput, match="feature_shape"):
        DecoderAttack(nn.Linear(3, 3), MSE())


def test_an_objective_that_is_no_loss_of_ours_is_refused() -> None:
    with pytest.raises(BadInput, match=r"objective: expected a featinv\.losses\.Loss.*got MSELoss"):
        DecoderAttack(make_decoder(), nn.MSELoss())


def test_pairs_that_do_not_fit_the_decoder_are_refused() -> None:
    with pytest.raises(BadInput, match=r"features of shape \(13,\).*got \(12,\).*feature_shape=\(12,\)"):
        DecoderAttack(TinyDecoder(13, SIZE), MSE()).fit(make_pairs(10))
    with pytest.raises(BadInput, match=r"images of 16 pixels.*got 8.*image_size=8"):
        DecoderAttack(TinyDecoder(WIDTH, 16), MSE()).fit(make_pairs(10))
    with pytest.raises(BadInput, match="at least one pair"):
        DecoderAttack(make_decoder(), MSE()).fit(NoPairs())


def test_vectors_that_cannot_be_are_refused() -> None:
    attack = _fitted()
    with pytest.raises(BadInput, match="before fit"):
        DecoderAttack(make_decoder(), MSE()).reconstruct(torch.zeros(1, WIDTH))
    with pytest.raises(BadInput, match="before fit"):
        DecoderAttack(make_decoder(), MSE()).state()
    with pytest.raises(BadInput, match="shape"):
        attack.reconstruct(torch.zeros(1, WIDTH + 1))
    bad = torch.zeros(3, WIDTH)
    bad[2, 1] = torch.nan
    with pytest.raises(BadInput, match="row 2"):
        attack.reconstruct(bad)


def test_infinite_public_features_are_refused_before_training() -> None:
    features = make_pairs(30).features(np.arange(30)).copy()
    features[7, 0] = np.inf
    with pytest.raises(BadInput, match="row 7"):
        DecoderAttack(make_decoder(), MSE(), QUICK).fit(Pairs(features, make_pairs(30).images))


def test_with_checkpoints_another_decoder_or_objective_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    first = _fitted(checkpoints=checkpoints)
    assert _fitted(checkpoints=checkpoints).history == first.history, "it was finished"
    with pytest.raises(BadInput, match=r"decoder\.args\.channels: 8 there, 4"):
        DecoderAttack(TinyDecoder(WIDTH, SIZE, dropout=0.2, channels=4), MSE(), QUICK).fit(
            make_pairs(100), checkpoints=checkpoints, progress=False
        )
    with pytest.raises(BadInput, match="objective"):
        DecoderAttack(make_decoder(0.2), BCE() + L1(), QUICK).fit(
            make_pairs(100), checkpoints=checkpoints, progress=False
        )


def test_it_prints_itself() -> None:
    assert (
        repr(DecoderAttack(make_decoder(), MSE() + 0.5 * L1(), QUICK))
        == "DecoderAttack(TinyDecoder, 1*MSE + 0.5*L1, adamw)"
    )


def test_of_many_pairs_a_seeded_sample_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.attacks.decoder_attack.PAIRS_TO_MEASURE", 60)
    one, other = _fitted(), _fitted()
    assert torch.equal(one.network.standardise.mean, other.network.standardise.mean)
    monkeypatch.undo()
    whole = _fitted()
    deviation = whole.network.standardise.scale
    apart = (one.network.standardise.mean - whole.network.standardise.mean) / deviation
    assert 0 < apart.abs().max() < 0.5  # 60 of 100: a deviation of 0.08 each
