"""Blocks on a CPU: as many rows as their activations allow, and the same results whatever the blocks."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import PoolJudge, some_images
from torch import Tensor, nn

import featinv as fi
from featinv.block_sizes import BUDGET, LEAST_ROWS, block_rows, rows_at_once
from featinv.evaluation.judging import run_judge


class Wide(nn.Module):
    """Makes an activation of `channels` times the pixels of an image, then 5 numbers; remembers its batches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, channels, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return self.pool(self.widen(images))[:, :5].flatten(1)


def test_a_block_keeps_to_the_budget() -> None:
    assert block_rows(BUDGET // 100, most=256) == 100
    assert block_rows(1, most=256) == 256
    assert block_rows(BUDGET, most=256) == LEAST_ROWS, "never fewer than a few"
    assert block_rows(BUDGET, most=1) == 1, "and never more than was asked for"


@pytest.mark.parametrize("channels", [8, 64])
def test_it_is_the_largest_activation_that_counts(channels: int) -> None:
    per_image = 4 * channels * 64 * 64  # float32, by hand
    network = Wide(channels).eval()
    assert rows_at_once(network, torch.zeros(2, 3, 64, 64), most=10_000) == BUDGET // per_image
    assert rows_at_once(network, torch.zeros(0, 3, 64, 64), most=10_000) == BUDGET // per_image
    assert network.batches == [1], "measured once"
    assert rows_at_once(network, torch.zeros(2, 3, 32, 32), most=10_000) == 4 * (BUDGET // per_image), "a shape each"
    assert not any(module._forward_hooks for module in network.modules())
    if torch.cuda.is_available():
        assert rows_at_once(network, torch.zeros(2, 3, 64, 64, device="cuda"), most=10_000) == 10_000


def test_small_rows_are_not_measured() -> None:
    network = Wide(64).eval()
    assert rows_at_once(network, torch.zeros(2, 3, 8, 8), most=16) == 16
    assert network.batches == []


def test_what_cannot_be_measured_is_estimated_from_its_input() -> None:
    images = torch.zeros(1, 3, 64, 64)
    estimate = BUDGET // (8 * images.numel() * 4)
    assert rows_at_once(lambda images: images, images, most=10_000) == estimate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would have us export; people still have such files
        scripted = torch.jit.trace(nn.Conv2d(3, 8, 1), images)
    assert rows_at_once(scripted, images, most=10_000) == estimate


def _encoder(network: nn.Module) -> Any:
    network.name, network.family, network.fingerprint, network.trained_on = "wide", "wide", "wide", "nothing"
    network.image_size, network.feature_shape = 64, (5,)
    return network


def test_a_victim_encodes_in_blocks_and_defends_at_once() -> None:
    network = Wide(64).eval()
    step = BUDGET // (4 * 64 * 64 * 64)
    victim = fi.Victim(_encoder(network), fi.defences.GaussianNoise(0.1))
    images = some_images(3 * step + 1, size=64)
    published = victim.publish(images, np.arange(len(images)), seed=0, block_number=0)
    assert max(network.batches) == step
    with torch.no_grad():
        whole = network(images.batch(np.arange(len(images))))
        with fi.processes.seeded(0, 0, 0):
            expected = victim.defence(whole)
        np.testing.assert_allclose(published, expected.numpy(), atol=1e-5)
        network.batches.clear()
        victim(images.batch(np.arange(len(images))))
        assert network.batches == [step, step, step, 1]
    network.batches.clear()
    victim(images.batch(np.arange(len(images))).requires_grad_())
    assert network.batches == [len(images)], "with gradients in one piece: they keep all activations anyway"


def test_a_judge_says_the_same_in_blocks() -> None:
    class WideJudge(PoolJudge):
        def __init__(self) -> None:
            super().__init__()
            self.widen = nn.Conv2d(3, 1024, 1)
            self.batches: list[int] = []

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            self.batches.append(len(images))
            return super().forward(images + 0 * self.widen(images)[:, :3])

    judge = WideJudge().eval()
    images = some_images(40, size=32).batch(np.arange(40))
    seen, plain = run_judge(judge, images), run_judge(PoolJudge(), images)
    assert max(judge.batches) == LEAST_ROWS
    assert sum(judge.batches) == 40 + 1
    np.testing.assert_allclose(seen.features, plain.features, atol=1e-6)
    np.testing.assert_array_equal(seen.labels, plain.labels)
