"""The packaged weights: what docs/encoder_tiny.md says of them is true, on scenes that neither of them saw."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import featinv as fi

CARD = Path(__file__).parents[1] / "docs" / "encoder_tiny.md"
COUNT = 800


@pytest.fixture(scope="module")
def scenes() -> "fi.data.ImageSet":
    return fi.data.scenes(COUNT, size=32, seed=990)


def card_accuracies(column: int) -> dict[str, float]:
    """The card's table: factor | tiny | judge | chance."""
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", CARD.read_text(), flags=re.MULTILINE)
    return {row[0]: float(row[column]) for row in rows}


@pytest.mark.parametrize(("column", "source"), [(1, "tiny"), (2, "scenes-vgg")])
def test_the_accuracies_are_those_of_the_metadata(scenes, column: int, source: str) -> None:
    network = fi.encoders.tiny().network if source == "tiny" else fi.encoders.judge(source).network
    heads = [name if name != "label" else "shape" for name in network.heads]
    targets = dict(zip(network.heads, (scenes.factors[name] for name in heads), strict=True))
    measured = fi.training.head_accuracies(network, scenes, targets, input_size=32)
    claimed = card_accuracies(column)
    assert set(claimed) == set(heads) == set(scenes.factors)
    for head, name in zip(network.heads, heads, strict=True):
        deviation = (claimed[name] * (1 - claimed[name]) / COUNT) ** 0.5
        # Twenty comparisons: four deviations, and one image for rates near 1.
        assert abs(measured[head] - claimed[name]) < 4 * deviation + 2 / COUNT, name


def test_tiny_needs_at_least_twelve_dimensions_for_nine_tenths_of_its_variance(scenes) -> None:
    features = fi.encoders.tiny()(scenes.batch(np.arange(COUNT))).numpy().astype(np.float64)
    # Independently of the recipe's eigenvalues: singular values of the centred features.
    variances = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    needed = int(np.searchsorted(np.cumsum(variances) / variances.sum(), 0.9)) + 1
    assert needed >= 12
    stated = int(re.search(r"(\d+) of 64 principal components", CARD.read_text())[1])
    assert abs(needed - stated) <= 2


def test_tiny_is_small_and_the_judge_is_of_another_family_trained_apart() -> None:
    tiny, judge = fi.encoders.tiny(), fi.encoders.judge("scenes-vgg")
    assert tiny.feature_shape == (64,)
    assert tiny.image_size == judge.image_size == 32
    assert 100_000 <= sum(parameter.numel() for parameter in tiny.network.parameters()) <= 150_000
    assert tiny.family != judge.family
    assert tiny.trained_on != judge.trained_on
    assert judge.classes == fi.data.scenes(1).classes
    weights = Path(fi.encoders.__file__).parent / "weights"
    assert all(file.stat().st_size < 600_000 for file in weights.iterdir())
    assert {file.name for file in weights.iterdir()} == {"tiny.safetensors", "scenes-vgg.safetensors"}


def test_tiny_can_be_cut_elsewhere_and_is_differentiable() -> None:
    tiny = fi.encoders.tiny(layer="stages.0")
    assert tiny.feature_shape == (16, 32, 32)
    assert tiny.fingerprint != fi.encoders.tiny().fingerprint == fi.encoders.tiny().fingerprint
    images = torch.rand(1, 3, 48, 48, requires_grad=True)
    tiny(images).sum().backward()
    assert float(images.grad.abs().sum()) > 0
    with pytest.raises(fi.BadInput, match=r"layer: expected a layer of SmallResNet, got .*nearest: stages"):
        fi.encoders.tiny(layer="stage")
