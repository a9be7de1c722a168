"""A user's generator as an attack, with stand-ins of the signatures that pipelines have."""

from typing import Any

import numpy as np
import pytest
import torch

import featinv as fi
from featinv import testing
from featinv.errors import BadInput


class Colours:
    """A pipeline conditioned on an image's mean colour, which draws flat images of it with noise, at 12 px."""

    guidance: float = 1.0
    licence = "Apache-2.0"
    noise = 0.02

    def condition(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))

    def sample(self, condition: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(n, 3, 12, 12, generator=generator)
        return (condition[None, :, None, None] + self.noise * noise).clamp(0, 1)


def test_it_obeys_the_contract_of_samplers() -> None:
    testing.check_sampler(fi.attacks.PriorAttack(Colours()))


def test_the_adapter_finds_the_condition_in_the_vector() -> None:
    pairs = testing.synthetic_pairs(120, feature_shape=(24,), size=8)
    colours = pairs.batch(np.arange(120))[1].mean((2, 3))
    vectors = (2 * colours @ torch.randn(3, 24) + 1).numpy()
    known = fi.Pairs(vectors, pairs.images)
    attack = fi.attacks.PriorAttack(Colours()).fit(known.take(np.arange(100)))
    features, images = known.batch(np.arange(100, 120))
    drawn = attack.reconstruct(features)
    assert drawn.shape == images.shape
    assert (drawn.mean((2, 3)) - images.mean((2, 3))).abs().max() < 0.03
    assert attack.parameters == 24 * 2 + 24 * 3 + 3
    assert attack.victim == known.metadata


def test_reconstructions_do_not_depend_on_the_batch() -> None:
    pairs = testing.synthetic_pairs(48, size=8)
    attack = fi.attacks.PriorAttack(Colours()).fit(pairs)
    features = pairs.batch(np.arange(6))[0]
    assert torch.allclose(attack.reconstruct(features[3:5]), attack.reconstruct(features)[3:5], atol=1e-6)


def changed(**methods: Any) -> Any:
    return type("Changed", (Colours,), methods)()


def test_bad_input_gets_one_line() -> None:
    pairs = testing.synthetic_pairs(60, size=8)
    features = pairs.batch(np.arange(2))[0]

    def drawn(prior: Any) -> Any:
        return fi.attacks.PriorAttack(prior).fit(pairs).sample(features, 2, 0)

    refusals = {
        "prior: expected one with 'licence'": lambda: fi.attacks.PriorAttack(type("Bare", (), {"guidance": 1})()),
        "draws of at least 1": lambda: fi.attacks.PriorAttack(Colours(), draws=0),
        r"prior.condition: expected \(60, C\) numbers": lambda: drawn(changed(condition=lambda _, images: images)),
        "prior.condition: expected finite numbers, got NaN or infinity for image 0": lambda: drawn(
            changed(condition=lambda _, images: images.mean((2, 3)) / 0 * 0)
        ),
        "prior.sample: expected images": lambda: drawn(changed(sample=lambda _, c, n, g: torch.zeros(n, 1, 8, 8))),
        r"prior.sample: expected numbers in \[0, 1\]": lambda: drawn(
            changed(sample=lambda _, c, n, g: torch.full((n, 3, 8, 8), 2.0))
        ),
    }
    for message, call in refusals.items():
        with pytest.raises(BadInput, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_a_guided_prior_is_not_calibrated() -> None:
    pairs = testing.synthetic_pairs(60, size=8)
    attack = fi.attacks.PriorAttack(changed(guidance=1.5)).fit(pairs)
    release = fi.Release(pairs.features(np.arange(60)), {}, pairs.images)
    with pytest.raises(BadInput, match="expected guidance 1 in a calibration, got 1.5"):
        fi.evaluation.calibrate(attack, release, pairs.images, k=16)
