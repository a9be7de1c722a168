"""Another attack's images, changed until surrogates see what the vector says."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from test_refined import cells, encoder
from torch import Tensor

import featinv as fi
from featinv.encoders.networks import SmallVGG


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    """Images of 2 x 2 colours, whose vectors are these colours."""
    colours = np.random.default_rng(0).integers(40, 216, (300, 2, 2, 3), dtype=np.uint8)
    pixels = colours.repeat(4, axis=1).repeat(4, axis=2)
    images = fi.data.ImageSet(pixels, ids=[str(row) for row in range(300)])
    return fi.extract(fi.Victim(encoder("victim", torch.eye(12))), images)


def retouched(pairs: fi.Pairs, **options: Any) -> fi.attacks.Retouched:
    surrogate = encoder("surrogate", torch.eye(12))
    return fi.attacks.Retouched(fi.attacks.MeanImage(), [surrogate], **options).fit(pairs)


def identified(made: Tensor, truth: Tensor) -> float:
    """The share of the originals that are first by the cosine of their cells."""
    made, truth = cells(made) - cells(truth).mean(0), cells(truth) - cells(truth).mean(0)
    cosines = torch.nn.functional.normalize(made, dim=1) @ torch.nn.functional.normalize(truth, dim=1).T
    return float((cosines.argmax(1) == torch.arange(len(made))).float().mean())


def test_a_start_that_says_nothing_is_changed_until_the_originals_are_found(pairs: fi.Pairs) -> None:
    features, truth = pairs.batch(np.arange(60))
    attack = retouched(pairs, steps=60, lr=0.05)
    made = attack.reconstruct(features)
    assert identified(attack.attack.reconstruct(features), truth) < 0.1
    assert identified(made, truth) > 0.9


def test_nothing_finer_than_asked_for_is_added(pairs: fi.Pairs) -> None:
    features, _ = pairs.batch(np.arange(4))
    attack = retouched(pairs, steps=10, finest=2)
    change = attack.reconstruct(features) - attack.attack.reconstruct(features)
    small = torch.nn.functional.interpolate(change, size=8, mode="bilinear", align_corners=False)
    # Bilinear from 2 to 8 pixels: each row is a line between its two cells.
    inside = small[..., 2:6]
    torch.testing.assert_close(inside.diff(n=2, dim=3), torch.zeros(4, 3, 8, 2), atol=1e-5, rtol=0)
    assert float(change.abs().max()) > 0.01


def test_half_of_the_change_is_kept_where_it_is_asked_for(pairs: fi.Pairs) -> None:
    features, _ = pairs.batch(np.arange(4))
    whole, half = retouched(pairs, steps=10), retouched(pairs, steps=10, share=0.5)
    start, made = whole.attack.reconstruct(features), half.reconstruct(features)
    torch.testing.assert_close(2 * (made - start), whole.reconstruct(features) - start, atol=1e-5, rtol=0)
    assert float((made - start).abs().max()) > 0.01


def test_of_several_surrogates_each_step_may_look_through_some(pairs: fi.Pairs) -> None:
    """What 40 steps through both drawn in turn find is found by both; one that is never drawn changes nothing."""
    features, truth = pairs.batch(np.arange(60))
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))[0]
    both = [encoder("a", torch.eye(12)), encoder("b", turn)]
    drawn = fi.attacks.Retouched(fi.attacks.MeanImage(), both, steps=60, lr=0.05, drawn=1).fit(pairs)
    made = drawn.reconstruct(features)
    assert identified(made, truth) > 0.9
    assert not torch.equal(made, retouched(pairs, steps=60, lr=0.05).reconstruct(features))


def test_an_encoder_that_knows_aligned_images_only_needs_small_shifts(pairs: fi.Pairs) -> None:
    """A shift by 3 of 8 pixels shows an encoder of 2 x 2 cells other cells than the image has."""
    features, truth = pairs.batch(np.arange(60))
    errors = [
        float((cells(retouched(pairs, steps=60, lr=0.05, shift=shift).reconstruct(features)) - cells(truth)).std())
        for shift in (0, 0.375)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_a_large_penalty_leaves_the_start(pairs: fi.Pairs) -> None:
    features, _ = pairs.batch(np.arange(4))
    attack = retouched(pairs, steps=20, penalty=1e9, lr=1e-4)
    change = attack.reconstruct(features) - attack.attack.reconstruct(features)
    assert float(change.abs().max()) < 5e-4


def test_the_surprise_is_the_contrastive_loss_written_out(pairs: fi.Pairs) -> None:
    attack = retouched(pairs)
    features, images = pairs.batch(np.arange(5))
    (expected,) = attack._expected
    vectors = attack._standardised(features)
    got = expected.surprise(images, vectors, 0.2)
    public = cells(pairs.images.batch(np.arange(300))).double().numpy()
    centre = public.mean(0)
    wanted = vectors.double().numpy() @ expected.weight.double().numpy() + expected.bias.double().numpy() - centre
    made = cells(images).double().numpy() - centre
    for row in range(5):
        own = made[row] / np.linalg.norm(made[row])
        cosines = [own @ wanted[row] / np.linalg.norm(wanted[row])]
        cosines += [own @ (other - centre) / np.linalg.norm(other - centre) for other in public]
        exponents = np.exp(np.array(cosines) / 0.2)
        assert float(got[row]) == pytest.approx(-math.log(exponents[0] / exponents.sum()), abs=1e-4)


def test_bad_input_is_one_line(pairs: fi.Pairs) -> None:
    mean, surrogate = fi.attacks.MeanImage(), encoder("surrogate", torch.eye(12))
    with pytest.raises(fi.BadInput, match="at least one surrogate"):
        fi.attacks.Retouched(mean, [])
    for settings, named in (
        ({"tau": 0}, "tau"),
        ({"finest": 0}, "finest"),
        ({"steps": 0}, "steps"),
        ({"lr": -1}, "lr"),
        ({"shift": 1}, "shift"),
        ({"share": 0}, "share"),
    ):
        with pytest.raises(fi.BadInput, match=named):
            fi.attacks.Retouched(mean, [surrogate], **settings)  # type: ignore[arg-type]
    with pytest.raises(fi.BadInput, match=r"before fit\(pairs\)"):
        fi.attacks.Retouched(mean, [surrogate]).reconstruct(torch.zeros(1, 12))
    plain = fi.encoders.wrap(
        SmallVGG(3, widths=(4,), convolutions=(1,)), name="plain", family="vgg", layer="avgpool", input_size=8
    )
    with pytest.raises(fi.BadInput, match="'vgg', of which judges are made"):
        fi.attacks.Retouched(mean, [plain])
    assert fi.attacks.Retouched(mean, [surrogate]).excluded_judges == {surrogate.weights_fingerprint}
