"""Refinement of a decoder's input, through surrogates."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import featinv as fi
from featinv.encoders.networks import SmallVGG


class Painter(nn.Module):
    """A decoder that paints each of 12 features on its own part of the image."""

    feature_shape, image_size = (12,), 8

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        cells = torch.sigmoid(self.unused - 0.5 * features).reshape(-1, 3, 2, 2)
        return nn.functional.interpolate(cells, scale_factor=4)


def cells(images: Tensor) -> Tensor:
    return nn.functional.interpolate(images, size=2, mode="area").flatten(1)


def encoder(name: str, weight: Tensor) -> fi.encoders.Encoder:
    """Linear functions of the 12 cells."""
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, len(weight), bias=False))
    network[2].weight.data.copy_(weight)
    return fi.encoders.wrap(network, name=name, family="linear", input_size=8)


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    """The vectors are the cells themselves; the decoder was trained on nothing and paints the opposite shade."""
    dice = np.random.default_rng(0)
    colours = dice.integers(40, 216, (200, 2, 2, 3), dtype=np.uint8)
    pixels = colours.repeat(4, axis=1).repeat(4, axis=2)
    images = fi.data.ImageSet(pixels, ids=[str(row) for row in range(200)])
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))[0]
    pairs = fi.extract(fi.Victim(encoder("victim", torch.eye(12))), images)
    training = fi.Training(images=1, batch_size=1, holdout=0, lr=1e-9, ema=None, mixed_precision="no")
    attack = fi.attacks.DecoderAttack(Painter(), fi.losses.MSE(), training).fit(pairs, progress=False)
    return {"pairs": pairs, "attack": attack, "same": encoder("same", torch.eye(12)), "turned": encoder("turned", turn)}


def errors(toy: dict[str, Any], attack: Any) -> Tensor:
    features, truth = toy["pairs"].batch(np.arange(40))
    return (cells(attack.reconstruct(features)) - cells(truth)).square().mean(1)


def test_it_comes_nearer_to_what_the_vectors_say(toy: dict[str, Any]) -> None:
    refined = fi.attacks.Refined(toy["attack"], [toy["same"]], toy["turned"], steps=80, lr=0.2, penalty=0)
    refined.fit(toy["pairs"])
    assert bool((errors(toy, refined) <= errors(toy, toy["attack"]) + 1e-6).all())
    assert float(errors(toy, refined).mean()) < 0.3 * float(errors(toy, toy["attack"]).mean())


def test_a_surrogate_held_out_stops_what_a_wrong_one_asks_for(toy: dict[str, Any]) -> None:
    """A surrogate that sees negatives leads away; the one held out sees that at once and keeps the start."""
    refined = fi.attacks.Refined(toy["attack"], [toy["same"]], toy["turned"], steps=20, lr=0.1, penalty=0)
    refined.fit(toy["pairs"])
    wrong, judge = refined._expected
    refined._expected = (wrong._replace(weight=-wrong.weight), judge)
    torch.testing.assert_close(errors(toy, refined), errors(toy, toy["attack"]))


def test_a_large_penalty_keeps_the_decoder_s_own_reconstruction(toy: dict[str, Any]) -> None:
    refined = fi.attacks.Refined(toy["attack"], [toy["same"]], toy["turned"], steps=20, lr=1e-6, penalty=1e6)
    features, _ = toy["pairs"].batch(np.arange(5))
    made = refined.fit(toy["pairs"]).reconstruct(features)
    torch.testing.assert_close(made, toy["attack"].reconstruct(features), atol=1e-3, rtol=0)


def test_no_surrogate_may_judge_it(toy: dict[str, Any]) -> None:
    refined = fi.attacks.Refined(toy["attack"], [toy["same"]], toy["turned"])
    assert refined.excluded_judges == {toy["same"].weights_fingerprint, toy["turned"].weights_fingerprint}


def test_bad_input_is_one_line(toy: dict[str, Any]) -> None:
    attack, same, turned = toy["attack"], toy["same"], toy["turned"]
    with pytest.raises(fi.BadInput, match="expected a DecoderAttack, whose decoder's input is refined, got Ridge"):
        fi.attacks.Refined(fi.attacks.Ridge(), [same], turned)
    with pytest.raises(fi.BadInput, match="at least one surrogate"):
        fi.attacks.Refined(attack, [], turned)
    with pytest.raises(fi.BadInput, match="none of those looked through"):
        fi.attacks.Refined(attack, [same, turned], turned)
    with pytest.raises(fi.BadInput, match=r"before fit\(pairs\)"):
        fi.attacks.Refined(attack, [same], turned).reconstruct(torch.zeros(1, 12))
    for settings, named in (({"steps": 0}, "steps"), ({"lr": 0}, "lr"), ({"penalty": math.nan}, "penalty")):
        with pytest.raises(fi.BadInput, match=named):
            fi.attacks.Refined(attack, [same], turned, **settings)  # type: ignore[arg-type]
    plain = fi.encoders.wrap(
        SmallVGG(3, widths=(4,), convolutions=(1,)), name="plain", family="vgg", layer="avgpool", input_size=8
    )
    with pytest.raises(fi.BadInput, match="'vgg', of which judges are made"):
        fi.attacks.Refined(attack, [plain], turned)
    other = fi.testing.synthetic_pairs(20, feature_shape=(12,), size=8)
    with pytest.raises(fi.BadInput, match="give the same pairs"):
        fi.attacks.Refined(attack, [same], turned).fit(other)
