"""Samples of p(image | vector), and what is made of them."""

from typing import Any

import numpy as np
import pytest
import torch

import featinv as fi
from featinv import testing
from featinv.attacks import medoid, sample_blocks
from featinv.attacks.sampling import check_sampling, low_pass
from featinv.errors import BadInput


def fitted(k: int = 5) -> tuple[Any, torch.Tensor]:
    pairs = testing.synthetic_pairs(40, size=8)
    return fi.attacks.NeighbourAverage(k=k).fit(pairs), pairs.batch(np.arange(10))[0]


def test_neighbours_obey_the_contract_of_samplers() -> None:
    testing.check_sampler(fi.attacks.NeighbourAverage(k=3))


def test_an_attack_that_repeats_itself_is_no_sampler() -> None:
    class Repeats(fi.attacks.NeighbourAverage.__base__):  # type: ignore[name-defined, misc]
        neighbours = 2

        def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> Any:
            check_sampling(len(features), k, seed, 8)
            return self.reconstruct(features)[:, None].expand(-1, k, -1, -1, -1)

    with pytest.raises(AssertionError, match="must draw"):
        testing.check_sampler(Repeats())


def test_neighbours_are_drawn_with_equal_probability_and_average_to_the_reconstruction() -> None:
    attack, features = fitted(k=4)
    samples = attack.sample(features, 2000, 0)
    images, counts = torch.unique(samples[0].flatten(1), dim=0, return_counts=True)
    assert len(images) == 4
    assert (counts - 500).abs().max() < 5 * 500**0.5
    assert (samples.mean(1) - attack.reconstruct(features)).abs().max() < 5 * 0.3 / 2000**0.5


def test_blocks_of_any_size_give_the_same_samples() -> None:
    attack, features = fitted()
    whole = attack.sample(features, 6, 3)
    bytes_of_a_row = whole[0].numel() * 4
    for block_bytes in (1, 3 * bytes_of_a_row, 10**9):
        blocks = list(sample_blocks(attack, features, 6, 3, block_bytes=block_bytes))
        assert [start for start, _ in blocks] == np.cumsum([0, *(len(block) for _, block in blocks[:-1])]).tolist()
        assert torch.equal(torch.cat([block for _, block in blocks]), whole)


def test_a_saved_attack_draws_the_same(tmp_path: Any) -> None:
    attack, features = fitted()
    fi.attacks.save_attack(attack, tmp_path / "attack")
    again = fi.attacks.load_attack(tmp_path / "attack")
    assert torch.equal(again.sample(features, 3, 1), attack.sample(features, 3, 1))


def test_the_medoid_is_the_sample_with_the_least_summed_distance() -> None:
    samples = torch.rand(7, 9, 3, 16, 16)
    mapped = low_pass(samples.flatten(0, 1)).unflatten(0, (7, 9))
    best = torch.cdist(mapped, mapped).square().sum(2).argmin(1)
    assert torch.equal(medoid(samples), samples[torch.arange(7), best])
    brightest = medoid(samples, lambda images: images[:, :1].amax((1, 2, 3))[:, None])
    assert any(torch.equal(brightest[3], sample) for sample in samples[3])


def test_bad_input_gets_one_line() -> None:
    attack, features = fitted()
    with pytest.raises(BadInput, match="use featinv.attacks.sample_blocks"):
        attack.sample(features, 10**6, 0)
    with pytest.raises(BadInput, match="as seed, got -1"):
        attack.sample(features, 2, -1)
    with pytest.raises(BadInput, match="at least 2 neighbours"):
        fitted(k=1)[0].sample(features, 2, 0)
    with pytest.raises(BadInput, match="medoid: expected finite"):
        medoid(torch.full((1, 2, 3, 8, 8), torch.nan))
