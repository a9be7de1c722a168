"""White-box optimisation of pixels."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import featinv as fi
from featinv.attacks.optimisation import _Statistics, total_variation


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    return fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(40, size=32, seed=4))


def linear(size: int, width: int) -> fi.encoders.Encoder:
    """An encoder whose features are orthogonal projections of the pixels."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, width, bias=False))
    nn.init.orthogonal_(network[1].weight)
    return fi.encoders.wrap(network, name="linear", family="linear", input_size=size)


def test_an_invertible_linear_encoder_is_inverted() -> None:
    """With as many features as pixels and no prior, the image is the only one that has the vector."""
    encoder = linear(4, 48)
    images = fi.data.scenes(16, size=32, seed=1).batch(np.arange(16))
    small = torch.nn.functional.interpolate(images, size=4, mode="area")
    pixels = (small * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    truth = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    public = fi.extract(fi.Victim(encoder), fi.data.ImageSet(pixels, ids=[str(i) for i in range(16)]))
    attack = fi.attacks.OptimisationAttack(encoder, steps=400, total_variation=0, statistics=0).fit(public)
    made = attack.reconstruct(encoder(truth[:5]))
    start = float((truth[:5] - truth.mean(0)).square().mean())
    assert float((made - truth[:5]).square().mean()) < 0.02 * start


def test_the_vector_is_reached_and_the_priors_cost_some_of_it(pairs: fi.Pairs) -> None:
    encoder = fi.encoders.tiny()
    wanted = torch.from_numpy(pairs.features(np.arange(4)))

    def error(**settings: Any) -> float:
        attack = fi.attacks.OptimisationAttack(encoder, steps=25, **settings).fit(pairs)
        features = encoder(attack.reconstruct(wanted))
        return float(((features - wanted).square().sum(1) / wanted.square().sum(1)).mean())

    mean = pairs.images.batch(np.arange(40)).mean(0, keepdim=True)
    start = float(((encoder(mean) - wanted).square().sum(1) / wanted.square().sum(1)).mean())
    free = error(total_variation=0, statistics=0)
    assert free < 0.2 * start
    assert free < error(total_variation=100, statistics=0)


def test_total_variation_written_out() -> None:
    images = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    x = images.numpy()
    expected = [
        sum(float(np.square(np.diff(x[k, c], axis=axis)).sum()) for c in range(3) for axis in (0, 1)) / 60
        for k in range(2)
    ]
    torch.testing.assert_close(total_variation(images), torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert float(total_variation(torch.full((1, 3, 6, 6), 0.3))) == 0


def test_the_distance_of_statistics_is_zero_where_an_image_has_the_running_ones() -> None:
    norm = nn.BatchNorm2d(2).eval()
    maps = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    norm.running_mean.copy_(maps[1].mean((1, 2)))
    norm.running_var.copy_(maps[1].var((1, 2), correction=0) - norm.eps)
    with _Statistics(nn.Sequential(norm)) as statistics:
        norm(maps)
        distances = statistics.distance(torch.zeros(3))
    assert float(distances[1]) < 1e-10
    assert bool((distances[[0, 2]] > 1e-4).all())
    assert not norm._forward_hooks


def test_bad_input_is_one_line(pairs: fi.Pairs) -> None:
    encoder = fi.encoders.tiny()
    with pytest.raises(fi.BadInput, match=r"expected the victim's encoder, got ndarray.*vectors alone do not do"):
        fi.attacks.OptimisationAttack(pairs.features([0]))
    for settings, named in (
        ({"steps": 0}, "steps"),
        ({"lr": 0}, "lr"),
        ({"total_variation": -1}, "total_variation"),
        ({"statistics": math.nan}, "statistics"),
        ({"prior": "deep"}, "prior: expected 'pixels' or 'network'"),
    ):
        with pytest.raises(fi.BadInput, match=named):
            fi.attacks.OptimisationAttack(encoder, **settings)  # type: ignore[arg-type]
    with pytest.raises(fi.BadInput, match="give victim.encoder of the same victim"):
        fi.attacks.OptimisationAttack(linear(32, 64)).fit(pairs)
    unsaved = fi.attacks.OptimisationAttack(linear(32, 16), steps=1)
    shown = fi.extract(fi.Victim(unsaved.encoder), fi.data.scenes(4, size=32))
    with pytest.raises(fi.BadInput, match=r"expected one of .* to save, got Sequential"):
        unsaved.fit(shown).state()


def test_the_encoder_may_not_judge_it() -> None:
    encoder = fi.encoders.tiny()
    assert fi.attacks.OptimisationAttack(encoder).excluded_judges == {encoder.weights_fingerprint}


@pytest.mark.slow
def test_an_untrained_network_draws_smoother_images_that_reach_the_vector_too(pairs: fi.Pairs) -> None:
    """Deep image prior: before texture is learned, neighbouring pixels differ less than where pixels are free."""
    encoder = fi.encoders.tiny()
    wanted = torch.from_numpy(pairs.features(np.arange(3)))

    def made(prior: str, steps: int) -> torch.Tensor:
        settings = {"steps": steps, "prior": prior, "total_variation": 0, "statistics": 0}
        return fi.attacks.OptimisationAttack(encoder, **settings).fit(pairs).reconstruct(wanted)  # type: ignore[arg-type]

    def far(images: torch.Tensor) -> float:
        return float((encoder(images) - wanted).square().sum())

    drawn = made("network", 12)
    assert far(drawn) < 0.7 * far(made("network", 1))
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    torch.testing.assert_close(made("network", 12)[:1], drawn[:1])
    # Deviations from the mean image, so that its own edges do not count.
    mean = pairs.images.batch(np.arange(40)).mean(0)
    assert float(total_variation(drawn).mean()) < float(total_variation(made("pixels", 12) - mean).mean())
