"""The mean of several attacks."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs

import featinv as fi


def fitted(pairs: fi.Pairs) -> fi.attacks.Ensemble:
    return fi.attacks.Ensemble([fi.attacks.NearestNeighbour(), fi.attacks.MeanImage(), fi.attacks.Ridge()]).fit(pairs)


def test_it_is_the_mean_of_what_its_members_make() -> None:
    pairs = make_pairs(60)
    ensemble = fitted(pairs)
    vectors = torch.from_numpy(make_pairs(9, seed=1).features(np.arange(9)))
    alone = [kind().fit(pairs) for kind in (fi.attacks.NearestNeighbour, fi.attacks.MeanImage, fi.attacks.Ridge)]
    expected = np.mean([attack.reconstruct(vectors).numpy() for attack in alone], axis=0)
    np.testing.assert_allclose(ensemble.reconstruct(vectors).numpy(), expected, atol=1e-6)
    assert ensemble.parameters == sum(attack.parameters for attack in alone)


def test_its_error_is_the_members_less_the_variance_among_them() -> None:
    """The decomposition of squared errors (Krogh and Vedelsby 1995): an identity, image by image."""
    pairs, asked = make_pairs(60), make_pairs(20, seed=1)
    ensemble = fitted(pairs)
    vectors, truth = asked.batch(np.arange(20))
    each = torch.stack([attack.reconstruct(vectors) for attack in ensemble.attacks]).double()
    error = (ensemble.reconstruct(vectors).double() - truth).square().mean((1, 2, 3))
    members = (each - truth).square().mean((0, 2, 3, 4))
    variance = each.var(0, correction=0).mean((1, 2, 3))
    torch.testing.assert_close(error, members - variance, rtol=1e-4, atol=1e-6)
    assert bool((variance > 1e-4).all())


def test_with_contrast_an_image_has_its_members_spread_and_the_mean_of_the_mean() -> None:
    pairs = make_pairs(60)
    plain = fitted(pairs)
    ensemble = fi.attacks.Ensemble(plain.attacks, contrast=True)
    vectors = torch.from_numpy(make_pairs(9, seed=1).features(np.arange(9)))
    images, pale = ensemble.reconstruct(vectors).numpy(), plain.reconstruct(vectors).numpy()
    each = [attack.reconstruct(vectors).numpy() for attack in plain.attacks]
    inside = ((images > 0) & (images < 1)).all((1, 2, 3))  # a clipped image has less
    assert inside.sum() >= 5
    spread = np.mean([image.std((1, 2, 3)) for image in each], axis=0)
    np.testing.assert_allclose(images.std((1, 2, 3))[inside], spread[inside], rtol=1e-4)
    np.testing.assert_allclose(images.mean((1, 2, 3))[inside], pale.mean((1, 2, 3))[inside], atol=1e-5)
    assert bool((images.std((1, 2, 3)) > 1.02 * pale.std((1, 2, 3)))[inside].all())


def test_no_network_of_a_member_may_judge_it() -> None:
    encoder = fi.encoders.tiny()
    decoder = fi.decoders.Upsampling(16, 32, width=16, channels=0)
    seeing = fi.attacks.DecoderAttack(decoder, fi.losses.Perceptual(encoder))
    blind = fi.attacks.DecoderAttack(decoder, fi.losses.MSE())
    assert fi.attacks.Ensemble([blind, seeing]).excluded_judges == {encoder.weights_fingerprint}


def test_bad_input_is_one_line() -> None:
    ridge = fi.attacks.Ridge()
    with pytest.raises(fi.BadInput, match="at least 2 attacks to average, got 1"):
        fi.attacks.Ensemble([ridge])
    with pytest.raises(fi.BadInput, match="got one of them twice"):
        fi.attacks.Ensemble([ridge, ridge])
    narrow, wide = (fi.attacks.Ridge().fit(make_pairs(20, width=width)) for width in (4, 6))
    with pytest.raises(fi.BadInput, match="one feature shape and image size"):
        fi.attacks.Ensemble([narrow, wide])
    with pytest.raises(fi.BadInput, match="fit"):
        fi.attacks.Ensemble([ridge, fi.attacks.MeanImage()]).reconstruct(torch.zeros(2, 6))
