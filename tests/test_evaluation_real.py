"""The figures of an independent evaluation on real CIFAR-10, to the last digit that it printed.

ResNet-20's 64-d pooled features, 50,000 training pairs, 5,000 test images, ResNet-56 as the (sibling) judge. The
other side was written apart from this library: PSNR, SSIM as torchmetrics averages it (border included), and ranks by
cosine.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

import featinv as fi
from featinv.evaluation import Scoreboard
from featinv.evaluation.judging import TREATMENTS
from featinv.types import Attack

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(3600)]

# PSNR, SSIM by torchmetrics, judge cosine, agreement, top-1, top-10.
EXPECTED = {
    "mean image": (12.718, 0.1874, 0.513, 0.100, 0.0002, 0.0020),
    "nearest neighbour": (11.201, 0.1426, 0.918, 0.916, 0.0742, 0.2142),
}


@pytest.fixture(scope="module")
def study(real_data: Path) -> tuple[Scoreboard, dict[str, Attack], fi.Release]:
    public = fi.data.folder(real_data / "train", size=32)
    private = fi.data.folder(real_data / "test", size=32)
    victim = fi.Victim(fi.encoders.cifar_resnet(real_data / "cifar10_resnet20.safetensors"))
    pairs = fi.extract(victim, public)
    attacks: dict[str, Attack] = {
        "mean image": fi.attacks.MeanImage().fit(pairs),
        "nearest neighbour": fi.attacks.NearestNeighbour().fit(pairs),
    }
    judge = fi.encoders.cifar_judge(real_data / "cifar10_resnet56.safetensors")
    release = fi.release(victim, private)
    with pytest.MonkeyPatch.context() as patch:
        for view in list(TREATMENTS):
            patch.delitem(TREATMENTS, view)
        board = fi.compare(attacks, release, [judge], allow_sibling=True, resamples=1000, progress=False)
    return board, attacks, release


@pytest.mark.parametrize("name", list(EXPECTED))
def test_figures_agree_with_the_independent_evaluation(
    study: tuple[Scoreboard, dict[str, Attack], fi.Release], name: str
) -> None:
    board, attacks, release = study
    psnr, similarity, cosine, agreement, top1, top10 = EXPECTED[name]
    metrics = board[name].metrics
    assert metrics["psnr"].mean == pytest.approx(psnr, abs=5.1e-4)
    assert metrics["judge_cosine"].mean == pytest.approx(cosine, abs=5.1e-4)
    assert metrics["judge_agreement"].mean == pytest.approx(agreement, abs=5.1e-4)
    # Float noise of another machine may move an image or two across the border of a rank.
    assert metrics["reid_top1"].mean == pytest.approx(top1, abs=4.1e-4)
    assert metrics["reid_top10"].mean == pytest.approx(top10, abs=4.1e-4)
    assert bordered_ssim(attacks[name], release) == pytest.approx(similarity, abs=5.1e-5)


def bordered_ssim(attack: Attack, release: fi.Release) -> float:
    """SSIM averaged over all pixels, windows at the border filled by reflection: not the one that we report."""
    assert release.truth is not None
    values = []
    for start in range(0, len(release), 500):
        rows = np.arange(start, start + 500)
        images = (attack.reconstruct(torch.from_numpy(release.features[rows])) * 255).round() / 255
        original = release.truth.batch(rows)
        values.append(structural_similarity_index_measure(images, original, data_range=1.0, reduction="none"))
    return float(torch.cat(values).mean())
