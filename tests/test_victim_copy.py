"""A robust copy of the victim, which starts from the victim's own weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import featinv as fi
from featinv.encoders.networks import CutCopy, SmallVGG
from featinv.training import Ball, ClassifierTraining, check_bank, robust_copy
from featinv.training.robust import moved

STILL = ClassifierTraining(epochs=1, batch_size=4, mixed_precision="no")


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    return fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(96, size=32, seed=3))


def standardised(pairs: fi.Pairs, rows: range) -> Tensor:
    vectors = pairs.features(np.arange(len(pairs)))
    return torch.from_numpy((pairs.features(list(rows)) - vectors.mean(0)) / vectors.std(0))


def test_it_starts_as_the_victim_does_and_explains_its_vectors(pairs: fi.Pairs) -> None:
    """Without a change of weights, in the mode in which it is used, it gives the standardised vectors."""
    encoder = fi.encoders.tiny()
    flat = ClassifierTraining(epochs=0.01, batch_size=2, lr=1e-12, weight_decay=0, holdout=0, mixed_precision="no")
    copied, _ = robust_copy(encoder, pairs, flat, ball=None)
    # One step leaves the weights, but batch normalisation has seen one batch: its statistics are put back.
    own = dict(encoder.network.named_buffers())
    for name, buffer in copied.network.network.named_buffers():
        buffer.copy_(own[name])
    made = copied(pairs.images.batch(np.arange(6)))
    torch.testing.assert_close(made, standardised(pairs, range(6)), rtol=1e-3, atol=1e-3)


def test_the_victim_itself_is_left_as_it_is(pairs: fi.Pairs) -> None:
    encoder = fi.encoders.tiny()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    copied, history = robust_copy(encoder, pairs, ClassifierTraining(epochs=1, batch_size=16, mixed_precision="no"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert copied.weights_fingerprint != encoder.weights_fingerprint
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert "explained" in history[-1]
    assert copied.feature_shape == (64,)
    assert copied.stages, "a loss on maps needs layers"
    check_bank([copied], pairs)


def test_it_errs_less_than_the_victim_where_images_are_moved(pairs: fi.Pairs) -> None:
    encoder, rows = fi.encoders.tiny(), range(48)
    settings = ClassifierTraining(epochs=12, batch_size=24, lr=1e-3, holdout=0, mixed_precision="no")
    copied, _ = robust_copy(encoder, pairs, settings, ball=Ball(radius=0.5, steps=1, share=1))
    images, wanted = pairs.images.batch(list(rows)), standardised(pairs, rows)
    vectors = pairs.features(np.arange(len(pairs)))
    mean, deviation = torch.from_numpy(vectors.mean(0)), torch.from_numpy(vectors.std(0))

    def worst(predict: Callable[[Tensor], Tensor]) -> float:
        def errors(x: Tensor) -> Tensor:
            return (predict(x) - wanted).square().mean(1)

        dice = torch.Generator().manual_seed(0)
        return float(errors(moved(images, errors, Ball(radius=0.5, steps=5), dice)).mean())

    victim = worst(lambda x: (encoder.unchecked(x) - mean) / deviation)
    assert worst(copied.unchecked) < 0.75 * victim


def test_it_goes_on_from_an_earlier_copy(pairs: fi.Pairs) -> None:
    encoder = fi.encoders.tiny()
    still = ClassifierTraining(epochs=0.01, batch_size=2, lr=1e-12, weight_decay=0, mixed_precision="no")
    first, _ = robust_copy(encoder, pairs, ClassifierTraining(epochs=2, batch_size=16, mixed_precision="no"), ball=None)
    second, _ = robust_copy(encoder, pairs, still, ball=None, start=first)
    weights = zip(first.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in weights)
    with pytest.raises(fi.BadInput, match="expected an earlier copy of tiny"):
        robust_copy(encoder, pairs, still, start=encoder)


def test_attacks_that_look_through_copies_are_saved_and_give_the_same_images(pairs: fi.Pairs, tmp_path: Path) -> None:
    settings = ClassifierTraining(epochs=1, batch_size=16, mixed_precision="no")
    near, _ = robust_copy(fi.encoders.tiny(), pairs, settings, ball=None)
    far, _ = robust_copy(fi.encoders.tiny(), pairs, settings, ball=None, start=near)
    vectors = torch.from_numpy(pairs.features([3, 4]))
    retouched = fi.attacks.Retouched(fi.attacks.RecolouredNeighbour(), [near, far], steps=2)
    decoder = fi.attacks.DecoderAttack(
        fi.decoders.Upsampling((64,), 32, width=8, channels=2), fi.losses.MSE(), fi.training.Training(images=32)
    )
    refined = fi.attacks.Refined(decoder, [near], far, steps=2)
    both = fi.attacks.Ensemble([refined.fit(pairs), retouched.fit(pairs)])
    for number, attack in enumerate([refined, retouched, both]):
        expected = attack.reconstruct(vectors)
        fi.save_attack(attack, tmp_path / str(number))
        loaded = fi.load_attack(tmp_path / str(number))
        assert torch.equal(loaded.reconstruct(vectors), expected)
        assert loaded.excluded_judges == attack.excluded_judges


def test_a_copy_is_written_to_a_file_and_read_again(pairs: fi.Pairs, tmp_path: Path) -> None:
    settings = ClassifierTraining(epochs=1, batch_size=16, mixed_precision="no")
    copied, _ = robust_copy(fi.encoders.tiny(), pairs, settings, ball=None)
    fi.encoders.save_encoder(copied, tmp_path / "copy.safetensors")
    read = fi.encoders.saved(tmp_path / "copy.safetensors", layer="norm")
    images = pairs.images.batch(np.arange(3))
    assert torch.equal(read(images), copied(images))
    assert read.family == fi.encoders.tiny().family
    assert read.stages == copied.stages
    robust_copy(fi.encoders.tiny(), pairs, STILL, ball=None, start=read)


def test_the_copy_of_a_network_that_is_not_ours_cannot_be_saved(pairs: fi.Pairs, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    foreign = fi.encoders.wrap(network, name="foreign", family="cnn", input_size=32, layer="3")
    copied, _ = robust_copy(foreign, fi.extract(fi.Victim(foreign), pairs.images), STILL, ball=None)
    with pytest.raises(fi.BadInput, match=r"got a copy of foreign.*; make the copy again"):
        fi.encoders.save_encoder(copied, tmp_path / "copy.safetensors")


def test_bad_input_is_one_line(pairs: fi.Pairs) -> None:
    with pytest.raises(fi.BadInput, match=r"expected the encoder of the pairs' victim .*give victim\.encoder"):
        robust_copy(fi.encoders.tiny(layer="stages.2"), pairs, STILL)
    plain = fi.encoders.wrap(
        SmallVGG(3, widths=(4,), convolutions=(1,)), name="plain", family="vgg", layer="avgpool", input_size=32
    )
    with pytest.raises(fi.BadInput, match="of which judges are made"):
        robust_copy(plain, fi.extract(fi.Victim(plain), fi.data.scenes(8, size=32)), STILL)
    pooled = fi.encoders.wrap(nn.AdaptiveAvgPool2d(2), name="pooled", family="none", input_size=32)
    with pytest.raises(fi.BadInput, match="has no weights to start from"):
        robust_copy(pooled, fi.extract(fi.Victim(pooled), fi.data.scenes(8, size=32)), STILL)
    coded = fi.Victim(fi.encoders.tiny(), fi.defences.fit(fi.defences.PCA(5, coordinates=True), pairs))
    with pytest.raises(fi.BadInput, match=r"expected vectors of shape \(64,\)"):
        robust_copy(coded.encoder, fi.extract(coded, fi.data.scenes(8, size=32)), STILL)


def test_a_copy_is_made_of_a_known_network_only() -> None:
    for kind in ("CutCopy", "ResNet"):
        with pytest.raises(fi.BadInput, match=f"expected one of .*, got '{kind}'"):
            CutCopy(kind, {}, layer="avgpool", width=4, family="f")
