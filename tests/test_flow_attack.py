"""The conditional flow: its sampler against closed forms, its training, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import featinv as fi
from featinv import testing
from featinv.attacks.flow_sampling import draw, times
from featinv.decoders.flow_network import FlowNetwork
from featinv.errors import BadInput
from featinv.evaluation.checks import shares_network
from featinv.training import Checkpoints, Training
from featinv.training.flow_step import draw_times

SMALL = Training(images=96, batch_size=16, holdout=8, ema=0.9, lr=2e-3)


def flow(training: Training = SMALL, **options: Any) -> fi.attacks.FlowAttack:
    return fi.attacks.FlowAttack((8, 16), **{"blocks": 1, "steps": 2, "draws": 3, "training": training, **options})


def test_it_obeys_the_contract_of_samplers() -> None:
    testing.check_sampler(flow(patch=2))


class Gaussian(nn.Module):
    """E[x | x_t] where x is normal with mean 0.3 and deviation s."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, features: torch.Tensor, noised: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        t = time[:, None, None, None]
        gain = t * self.deviation**2 / (t**2 * self.deviation**2 + (1 - t) ** 2)
        return 0.3 + gain * (noised - t * 0.3)


def test_heun_carries_noise_to_a_known_gaussian() -> None:
    noise = torch.randn(4, 3, 8, 8)
    for deviation in (0.05, 0.1, 0.5, 1.0):
        # The flow of a Gaussian is monotone in each pixel: its image of the noise is exactly the quantile.
        widths = [
            (draw(Gaussian(deviation), torch.zeros(4, 2), noise, steps) - 0.3) / (deviation * noise)
            for steps in (12, 24)
        ]
        assert float(widths[0].std()) < 1e-3
        assert abs(float(widths[0].mean()) - 1) < 0.055
        assert abs(float(widths[1].mean()) - 1) < 0.45 * abs(float(widths[0].mean()) - 1)


def test_before_training_the_network_is_that_gaussian_around_the_regression() -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    network = flow()._fresh(pairs)
    features, images = pairs.batch(np.arange(8))
    predicted = 2 * fi.attacks.Ridge().fit(pairs).reconstruct(features) - 1
    t = torch.full((8,), 0.4)
    noised = torch.randn_like(images)
    s = network.deviation
    gain = 0.4 * s**2 / (0.4**2 * s**2 + 0.6**2)
    expected = predicted + gain * (noised - 0.4 * predicted)
    assert torch.allclose(network(features, noised, t), expected, atol=1e-5)
    assert torch.allclose(network(features), (predicted + 1) / 2, atol=1e-5)
    assert times(4)[0] == 0
    assert times(4)[-1] == 1


def test_the_vector_and_the_time_reach_the_output_of_a_trained_network() -> None:
    network = FlowNetwork((5,), 8, widths=(8, 16), blocks=1, patch=1, dropout=0.0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    features = torch.randn(2, 5, requires_grad=True)
    network(features, torch.randn(2, 3, 8, 8), torch.rand(2)).square().sum().backward()
    assert bool((features.grad.abs().amax(1) > 0).all())  # the regression is 0 here: only the modulation is left
    x = torch.randn(1, 3, 8, 8)
    outputs = [network.unet(torch.cat([x, x], 1), network.time(torch.randn(1, 256))) for _ in range(2)]
    assert not torch.allclose(*outputs)


def test_times_have_more_mass_at_the_noisy_end_and_reach_both() -> None:
    drawn = draw_times(20_000, torch.device("cpu"))
    assert 0 < drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1
    # Logistic-normal of mean -.4: half of 90 % lies below sigmoid(-.4) = .401; of the rest, .401.
    assert float((drawn < 0.4013).float().mean()) == pytest.approx(0.9 * 0.5 + 0.1 * 0.4013, abs=0.015)


@pytest.mark.slow
def test_it_learns_the_width_of_a_posterior() -> None:
    # Vectors say the mean colour; what they leave open is a common shift of all pixels, which no pixel noise imitates.
    draw_numbers = np.random.default_rng(0)
    known, shift = draw_numbers.normal(size=(3000, 1)), draw_numbers.normal(size=(3000, 1))
    pixels = np.clip(127 + 25 * known + 25 * shift, 0, 255).round().astype(np.uint8)
    images = fi.data.ImageSet(
        np.broadcast_to(pixels[:, None, None], (3000, 8, 8, 3)).copy(), ids=[str(row) for row in range(3000)]
    )
    pairs = fi.Pairs(known.astype(np.float32), images)
    training = Training(images=60_000, batch_size=64, holdout=0, lr=2e-3, ema=0.99)
    attack = flow(training, steps=12).fit(pairs.take(np.arange(2700)), progress=False)
    samples = attack.sample(pairs.batch(np.arange(2700, 3000))[0], 16, 0)
    within = samples.flatten(2).std(2).mean()
    between = samples.mean((2, 3, 4)).std(1).mean()
    assert float(between) == pytest.approx(25 / 255, rel=0.15)
    assert float(within) < 0.3 * float(between)


def test_a_killed_training_goes_on_to_the_same_weights_and_another_schedule_is_refused(tmp_path: Path) -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    features = pairs.batch(np.arange(4))[0]
    whole = flow().fit(pairs, progress=False).sample(features, 2, 0)

    class Killed(Exception):
        pass

    rows: list[dict[str, float]] = []

    def kill(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == 3:  # after the third of six steps
            raise Killed

    checkpoints = Checkpoints(tmp_path / "state", every_images=32)
    with pytest.raises(Killed):
        flow().fit(pairs, checkpoints=checkpoints, progress=False, listener=kill)
    assert list((tmp_path / "state").glob("step_*"))
    for changed in (flow(replace(SMALL, warmup=0.3)), flow(dropout=0.2)):
        with pytest.raises(BadInput, match="belongs to another training"):
            changed.fit(pairs, checkpoints=checkpoints, progress=False)
    assert torch.equal(flow().fit(pairs, checkpoints=checkpoints, progress=False).sample(features, 2, 0), whole)


def test_accumulation_changes_nothing_but_rounding() -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    features = pairs.batch(np.arange(4))[0]
    one, three = (
        flow(replace(SMALL, accumulation=count), dropout=0.0).fit(pairs, progress=False).sample(features, 2, 0)
        for count in (1, 3)
    )
    assert torch.allclose(one, three, atol=1e-4)


def test_the_mean_has_a_smaller_error_than_the_medoid_which_is_a_sample() -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    features, images = pairs.batch(np.arange(20))
    attack = flow(draws=8).fit(pairs, progress=False)
    medoid = attack.reconstruct(features)
    attack.centre = "mean"
    assert (attack.reconstruct(features) - images).square().mean() < (medoid - images).square().mean()


def test_a_surrogates_space_chooses_among_the_same_samples_and_is_not_saved(tmp_path: Path) -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    features = pairs.batch(np.arange(6))[0]
    attack = flow(draws=9).fit(pairs, progress=False)
    samples = attack.sample(features[:1], 9, 0)[0]  # row 0 of a release starts from the noise of `reconstruct`

    def corner(images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, :1]

    values = samples[:, 0, 0, 0]
    attack.space = corner
    expected = samples[(values - values.mean()).abs().argmin()]
    assert torch.allclose(attack.reconstruct(features)[0], expected, atol=1e-6)
    with pytest.raises(BadInput, match="set attack.space = None"):
        fi.attacks.save_attack(attack, tmp_path / "attack")
    attack.space = None
    fi.attacks.save_attack(attack, tmp_path / "attack")
    assert torch.equal(fi.load_attack(tmp_path / "attack").reconstruct(features), attack.reconstruct(features))


def test_a_judge_may_not_choose_the_samples() -> None:
    judge = nn.Linear(3 * 8 * 8, 7)
    attack = flow(space=judge)
    assert shares_network(judge, attack)
    assert not shares_network(nn.Linear(3 * 8 * 8, 7), attack)


def test_bad_input_gets_one_line() -> None:
    pairs = testing.synthetic_pairs(24, size=12)
    refusals = {
        "whose side is a multiple of 8 and at least 16 px": lambda: flow(patch=4).fit(pairs),
        "expected 'last' or null for a flow": lambda: flow(replace(SMALL, keep="best")),
        "expected steps of at least 1": lambda: flow(steps=0),
        "a dropout in": lambda: flow(dropout=1.0),
        "widths of at least 1": lambda: fi.attacks.FlowAttack(()),
        "before fit": lambda: flow().sample(torch.zeros(1, 16), 1, 0),
        "after step 1 of 2": lambda: draw(Gaussian(torch.nan), torch.zeros(1, 2), torch.zeros(1, 3, 4, 4), 2),
    }
    for message, call in refusals.items():
        with pytest.raises(BadInput, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("size", "side", "millions"), [("small", 32, (2.5, 3)), ("small", 16, (2.5, 3)), ("large", 64, (6, 6.5))]
)
def test_presets_have_the_sizes_that_they_say(size: Any, side: int, millions: tuple[float, float]) -> None:
    pairs = testing.synthetic_pairs(12, feature_shape=(64,), size=side)
    attack = fi.presets.flow(pairs, size=size)
    network = attack._network((64,), side)
    assert millions[0] < sum(weights.numel() for weights in network.parameters()) / 1e6 < millions[1]
    assert side // attack.patch == {"small": 16, "large": 32}[size]
    with pytest.raises(BadInput, match="a multiple of 4 px for a small flow, got 18"):
        fi.presets.flow(testing.synthetic_pairs(12, size=18))
