"""LeCam against its formula, written out with averages kept by hand."""

import pytest
import torch
from torch import nn

from featinv.discriminators import DCGAN, Patch
from featinv.errors import BadInput
from featinv.losses import LeCam


class Level(nn.Module):
    """D(x) = a * mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(2.0))

    def forward(self, images, features=None):
        return self.a * images.mean((1, 2, 3))


def grey(*levels: float) -> torch.Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_it_is_the_formula_with_averages_that_start_at_the_first_batch():
    penalty, network = LeCam(0.3, decay=0.9, start=5), Level()
    # Logits 1 and 2 for originals, 0 and 1 for reconstructions: R = 1.5, F = 0.5.
    values = penalty(network, grey(0.5, 1.0), grey(0.0, 0.5))
    expected = 0.3 * torch.tensor([0.5**2 + 1.5**2, 1.5**2 + 0.5**2])
    torch.testing.assert_close(values, expected)
    # Next: originals 0, reconstructions 2: R = 0.9 * 1.5, F = 0.9 * 0.5 + 0.1 * 2, so both differences are negative.
    torch.testing.assert_close(penalty(network, grey(0.0), grey(1.0)), torch.zeros(1))
    assert penalty.real_average.item() == pytest.approx(1.35)
    assert penalty.fake_average.item() == pytest.approx(0.65)


def test_a_discriminator_that_grows_surer_is_pulled_back():
    penalty, network = LeCam(1.0, decay=0.9), Level()
    penalty(network, grey(1.0), grey(0.0)).sum().backward()
    # d/da relu(a - 0)^2 = 2 a = 4; R - f = 2 - 0 does not depend on a through f = 0.
    assert network.a.grad.item() == pytest.approx(4)


def test_it_is_due_from_its_start_on():
    assert [step for step in range(6) if LeCam(start=4).due(step)] == [4, 5]
    assert LeCam(start=0).due(0)


def test_its_memory_is_saved_and_goes_on_alike():
    one, other, network = LeCam(decay=0.5), LeCam(decay=0.5), Level()
    one(network, grey(0.2), grey(0.1))
    other.load_state_dict(one.state_dict())
    for real, fake in ((0.9, 0.3), (0.5, 0.6)):
        torch.testing.assert_close(other(network, grey(real), grey(fake)), one(network, grey(real), grey(fake)))
    torch.testing.assert_close(other.state_dict(), one.state_dict())


def test_two_micro_batches_may_share_one_backward():
    penalty, network = LeCam(), Level()
    total = sum(penalty(network, grey(level), grey(level / 2)).sum() for level in (0.2, 0.9, 0.4))
    total.backward()
    assert network.a.grad.isfinite()


def test_a_batch_norm_does_it_no_harm_and_patches_count_each():
    images = torch.rand(2, 3, 32, 32)
    for network in (DCGAN(32, width=2), Patch(32, layers=1, width=2)):
        penalty = LeCam()
        penalty.check(network)
        assert penalty(network, images, 1 - images).shape == (2,)


def test_it_prints_its_settings():
    assert repr(LeCam()) == "LeCam(weight=0.3, decay=0.99, start=1000)"


def test_settings_that_cannot_be_are_refused():
    for decay in (1.0, -0.1, float("nan")):
        with pytest.raises(BadInput, match="decay of at least 0 and below 1"):
            LeCam(decay=decay)
    with pytest.raises(BadInput, match="start to be a step"):
        LeCam(start=-1)
    with pytest.raises(BadInput, match="finite weight"):
        LeCam(-1.0)
