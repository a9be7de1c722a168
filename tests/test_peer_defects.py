"""Each wrong number that peers publish (PSNR +48 dB, MSE x 3, a lucky batch, BatchNorm at test, n = 10), here."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import PoolJudge, Stub, blurred, mean_image, perfect, published, some_images, unflat
from torch import Tensor, nn

from featinv import BadInput
from featinv.evaluation import compare, wilson
from featinv.metrics import lpips, mse, psnr, ssim
from featinv.testing.contracts import demand_independent

FAST: dict[str, Any] = {"resamples": 200, "progress": False}


def random_images(count: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_255_levels_against_a_peak_of_1_would_be_48_db_too_high() -> None:
    """SIMBA: errors in [0, 1] held against a peak of 255. 20 log10 255 = 48.13 dB; another range is refused here."""
    ours, theirs = random_images(), random_images(seed=1)
    wrong = 10 * math.log10(255**2 / mse(ours, theirs).mean().item())
    assert wrong - psnr(ours, theirs).mean().item() == pytest.approx(48.13, abs=0.5)
    for scaled in (255 * ours, 2 * ours - 1):
        for metric in (psnr, mse, ssim, lpips):
            with pytest.raises(BadInput, match=r"must lie in \[0, 1\]"):
                metric(scaled, theirs)


def test_mse_is_a_mean_over_channels_too() -> None:
    """GPZ: the sum over channels divided by the pixels of one, three times too much."""
    black = torch.zeros(1, 3, 16, 16)
    assert mse(black + 0.5, black).item() == pytest.approx(0.25)
    assert psnr(black + 51 / 255, black).item() == pytest.approx(-20 * math.log10(0.2), abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_all_images_count_whatever_the_batch(batch_size: int) -> None:
    """ResSFL and CEM: the best single batch of 128. Here N is asserted, and the batch changes nothing."""
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    known = compare(attacks, published(), [PoolJudge()], batch_size=batch_size, **FAST)
    whole = compare(attacks, published(), [PoolJudge()], **FAST)
    for key, values in whole.per_image.items():
        assert values.shape == (60,)
        assert known.per_image[key] == pytest.approx(values, abs=1e-5)
    assert {interval.n for row in known.attacks for interval in row.metrics.values()} == {60}


def test_the_order_of_the_images_changes_nothing() -> None:
    truth, order = some_images(), np.random.default_rng(0).permutation(60)
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    plain = compare(attacks, published(truth), [PoolJudge()], **FAST)
    moved = compare(attacks, published(truth.take(order)), [PoolJudge()], **FAST)
    for key in ("psnr", "ssim", "mse", "low_pass_psnr", "rank", "rank/shift", "judge_agreement", "rank/within class"):
        assert moved.per_image[f"blurred/{key}"] == pytest.approx(plain.per_image[f"blurred/{key}"][order], abs=1e-6)


def test_images_moved_or_given_to_others_score_as_they_should() -> None:
    """Shifted by a pixel: pixels suffer, the judge does not. Permuted: worth what mismatched features are."""
    shifted = Stub(lambda features: torch.roll(unflat(features), 1, dims=3))
    permuted = Stub(lambda features: torch.roll(unflat(features), 1, dims=0))
    attacks = {"mean image": mean_image(), "shifted": shifted, "permuted": permuted, "perfect": perfect()}
    known = compare(attacks, published(), [PoolJudge()], **FAST)
    assert known["shifted"].metrics["psnr"].high < 40 < known["perfect"].metrics["psnr"].mean
    assert known["shifted"].metrics["reid_top1"].low > 0.8
    assert known["permuted"].metrics["reid_top1"].mean < 0.1
    assert known["permuted"].metrics["reid_auc"].mean == pytest.approx(0.5, abs=0.1)


def test_random_reconstructions_stand_at_chance() -> None:
    noise = Stub(lambda features: torch.rand(len(features), 3, 16, 16, generator=torch.Generator().manual_seed(3)))
    known = compare({"mean image": mean_image(), "noise": noise}, published(some_images(400)), [PoolJudge()], **FAST)
    for view in (known["noise"].metrics, *known["noise"].metrics_by.values()):
        for name, interval in view.items():
            if name.startswith("reid_"):
                slack = 2 * (interval.high - interval.low)
                assert interval.chance is not None
                assert abs(interval.mean - interval.chance) <= max(slack, 1e-9)
    assert known.leak_level is not None
    assert known.leak_level.level == "not shown"


def test_an_attack_that_normalises_by_its_batch_is_found_out() -> None:
    """AFTI: BatchNorm in train mode at test, so that an image depends on its batch mates."""

    def batchy(features: Tensor) -> Tensor:
        grown = features[:, :3, None, None].expand(-1, 3, 16, 16).contiguous()
        return torch.sigmoid(nn.functional.batch_norm(grown, None, None, training=True))

    vectors = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match="other rows of the batch"):
        demand_independent(batchy, vectors, "batchy")
    demand_independent(lambda features: torch.sigmoid(features), vectors, "plain")


def test_ten_images_say_little_and_the_interval_says_so() -> None:
    """DRAG: n = 10. Ten of ten found still allows a rate of 72 %; and no level beyond the class can be shown."""
    assert wilson(10, 10).low == pytest.approx(0.722, abs=1e-3)
    known = compare(
        {"mean image": mean_image(), "perfect": perfect()}, published(some_images(10)), [PoolJudge()], **FAST
    )
    assert known["perfect"].metrics["reid_top1"].low == pytest.approx(0.722, abs=1e-3)
    assert known.leak_level is not None
    assert {one.level for one in known.leak_level.evidence} == {"L1", "L2"}
    with pytest.raises(BadInput, match="at least 2 private images"):
        compare({"mean image": mean_image()}, published(some_images(1)), [PoolJudge()], **FAST)


def test_scoring_sees_private_images_only_after_fitting() -> None:
    """yziqi: the model is chosen on the victim's data. Here compare() takes fitted attacks and changes none."""
    attack = perfect()
    before = dict(vars(attack))
    compare({"mean image": mean_image(), "perfect": attack}, published(), [PoolJudge()], **FAST)
    assert vars(attack) == before
