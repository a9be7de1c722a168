"""The adaptive weight of VQGAN on a linear layer, where every gradient can be written down."""

import pytest
import torch
from torch import nn

from featinv.errors import BadInput
from featinv.losses import adaptive_weight


def parts() -> tuple[nn.Linear, torch.Tensor]:
    layer = nn.Linear(2, 1, bias=False)
    return layer, torch.tensor([[3.0, 4.0]])


def test_it_is_the_ratio_of_the_gradients_of_the_last_layer():
    layer, x = parts()
    # y = w x, so the gradient of 2 y is 2 x, of length 10, and that of -y / 2 of length 2.5.
    y = layer(x).sum()
    weight = adaptive_weight(2 * y, -y / 2, layer.weight, epsilon=0)
    assert weight.item() == pytest.approx(4)
    assert adaptive_weight(2 * y, -y / 2, layer.weight).item() == pytest.approx(10 / (2.5 + 1e-4))
    assert adaptive_weight(2 * y, -y / 2, layer.weight, epsilon=2.5).item() == pytest.approx(2)


def test_scaled_by_it_both_losses_pull_equally():
    layer, x = parts()
    y = layer(x).sum()
    one, other = (y - 7).square(), torch.sin(y)
    weight = adaptive_weight(one, other, layer.weight, epsilon=0)
    (first,) = torch.autograd.grad(one, layer.weight, retain_graph=True)
    (second,) = torch.autograd.grad(weight * other, layer.weight)
    torch.testing.assert_close(first.norm(), second.norm())


def test_it_is_a_constant_that_leaves_no_gradient_behind_and_keeps_the_graph():
    layer, x = parts()
    y = layer(x).sum()
    weight = adaptive_weight(y.square(), y, layer.weight)
    assert weight.ndim == 0
    assert not weight.requires_grad
    assert layer.weight.grad is None
    (y.square() + weight * y).backward()
    assert layer.weight.grad is not None


def test_it_has_an_upper_bound():
    layer, x = parts()
    y = layer(x).sum()
    assert adaptive_weight(1e9 * y, y, layer.weight).item() == pytest.approx(1e4)
    assert adaptive_weight(y, 0 * y, layer.weight).item() == pytest.approx(1e4)  # 5 / 1e-4 = 5e4
    assert adaptive_weight(y, 0 * y, layer.weight, clamp=3).item() == pytest.approx(3)
    assert adaptive_weight(0 * y, y, layer.weight).item() == 0


def test_what_is_not_a_number_stays_so_for_the_step_to_notice():
    layer, x = parts()
    y = layer(x).sum()
    assert adaptive_weight(y * torch.nan, y, layer.weight).isnan()


def test_a_weight_that_a_loss_does_not_depend_on_is_refused():
    layer, x = parts()
    y = layer(x).sum()
    with pytest.raises(
        BadInput, match=r"last_weight: expected a weight that adversarial_loss depends on, got \(1, 2\)"
    ):
        adaptive_weight(y, torch.ones(()), layer.weight)
    with pytest.raises(BadInput, match="that reconstruction_loss depends on"):
        adaptive_weight(nn.Linear(2, 1)(x).sum(), y, layer.weight)
    with pytest.raises(BadInput, match="that reconstruction_loss depends on"):
        adaptive_weight(y, y, layer.weight.detach())
