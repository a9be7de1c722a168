"""Laws that every defence keeps, and the strength of the noise."""

import pytest
import torch
from scipy import stats
from torch import nn

import featinv.defences
from featinv.defences import GaussianNoise, Identity
from featinv.errors import BadInput

AT_ZERO_STRENGTH = {"Identity": Identity(), "GaussianNoise": GaussianNoise(0)}
AT_WORK = {"Identity": Identity(), "GaussianNoise": GaussianNoise(0.5)}
SHAPES = [(7, 5), (3, 4, 2, 2)]


def test_every_export_is_held_to_the_contracts() -> None:
    assert set(AT_ZERO_STRENGTH) == set(AT_WORK) == set(featinv.defences.__all__)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", AT_ZERO_STRENGTH)
def test_zero_strength_is_exactly_the_identity(name: str, shape: tuple[int, ...]) -> None:
    features = torch.randn(shape)
    assert torch.equal(AT_ZERO_STRENGTH[name](features), features)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", AT_WORK)
def test_train_and_eval_mode_make_no_difference(name: str, shape: tuple[int, ...]) -> None:
    features, defence = torch.randn(shape), AT_WORK[name]
    made = []
    for mode in (True, False):
        torch.manual_seed(3)
        made.append(defence.train(mode)(features))
    assert torch.equal(made[0], made[1])
    assert made[0].shape == features.shape


@pytest.mark.parametrize("name", AT_WORK)
def test_defences_pass_gradients_and_leave_their_input_alone(name: str) -> None:
    features = torch.randn(4, 3, requires_grad=True)
    before = features.detach().clone()
    AT_WORK[name](features).sum().backward()
    assert torch.equal(features.grad, torch.ones(4, 3))
    assert torch.equal(features.detach(), before)


def test_noise_is_normal_with_the_standard_deviation_asked_for() -> None:
    features = torch.linspace(-5, 5, 200).repeat(500, 1)
    noise = (GaussianNoise(0.3)(features) - features).double().numpy()
    # Kolmogorov-Smirnov against N(0, 0.3²): independent of our arithmetic; a std off by 2 % fails at this count.
    assert stats.kstest(noise.ravel(), "norm", args=(0, 0.3)).pvalue > 1e-3
    between_rows = abs(stats.pearsonr(noise[0::2].ravel(), noise[1::2].ravel()).statistic)
    assert between_rows < 4 / (noise.size / 2) ** 0.5


def test_noise_follows_the_global_generator() -> None:
    features, defence = torch.zeros(6, 4), GaussianNoise(1)
    torch.manual_seed(1)
    first, second = defence(features), defence(features)
    torch.manual_seed(1)
    assert torch.equal(defence(features), first)
    assert not torch.equal(first, second)


def test_variances_add_in_a_sequence() -> None:
    both = nn.Sequential(GaussianNoise(0.3), GaussianNoise(0.4))
    assert both(torch.zeros(2000, 50)).std().item() == pytest.approx(0.5, rel=0.02)
    assert repr(GaussianNoise(0.25)) == "GaussianNoise(std=0.25)"


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), True])
def test_a_strength_that_is_none_is_refused(std: float) -> None:
    with pytest.raises(BadInput, match=r"^std: expected a finite number of at least 0.*got"):
        GaussianNoise(std)
