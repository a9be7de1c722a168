"""Losses against torch's own, against numbers worked out by hand, and against the contracts of a weighted sum."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from featinv.errors import BadInput
from featinv.losses import BCE, L1, MSE, Loss, Objective, bce_floor

ALL = [BCE(), MSE(), L1()]


def some_images(count: int = 3, size: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("loss", "reference"),
    [(BCE(), F.binary_cross_entropy), (MSE(), F.mse_loss), (L1(), F.l1_loss)],
    ids=["BCE", "MSE", "L1"],
)
def test_each_image_gets_torch_s_own_number(loss, reference):
    reconstruction, original = some_images(seed=1), some_images(seed=2)
    expected = torch.stack([reference(r, o) for r, o in zip(reconstruction, original, strict=True)])
    assert loss(reconstruction, original).dtype == torch.float32
    torch.testing.assert_close(loss(reconstruction, original), expected)


def test_numbers_worked_out_by_hand():
    reconstruction, original = torch.full((1, 3, 2, 2), 0.25), torch.full((1, 3, 2, 2), 0.75)
    assert MSE()(reconstruction, original).item() == pytest.approx(0.25)
    assert L1()(reconstruction, original).item() == pytest.approx(0.5)
    assert BCE()(reconstruction, original).item() == pytest.approx(-0.75 * math.log(0.25) - 0.25 * math.log(0.75))


def test_bce_of_a_perfect_copy_is_the_entropy_of_the_pixels_and_not_zero():
    half = torch.full((1, 3, 4, 4), 0.5)
    assert bce_floor(half).item() == pytest.approx(math.log(2))
    black_and_white = (some_images() > 0.5).float()
    torch.testing.assert_close(bce_floor(black_and_white), torch.zeros(3))
    torch.testing.assert_close(bce_floor(some_images()), BCE()(some_images(), some_images()), atol=2e-6, rtol=0)
    assert (BCE()(some_images(seed=1), some_images()) > bce_floor(some_images())).all()


def test_bce_is_keras_s_at_the_ends_and_its_gradient_is_finite():
    reconstruction = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2).clone().requires_grad_()
    wrong = 1 - reconstruction.detach()
    values = BCE()(reconstruction, wrong)
    # -log(1e-7); the nearest float32 under 1 - 1e-7 is 1 - 1.19e-7, hence the tolerance of 1.2 %.
    torch.testing.assert_close(values, torch.full((2,), -math.log(1e-7)), rtol=0.012, atol=0)
    values.sum().backward()
    assert reconstruction.grad.isfinite().all()
    inside = torch.full((1, 3, 1, 1), 1e-6, requires_grad=True)
    BCE()(inside, torch.ones_like(inside)).sum().backward()
    torch.testing.assert_close(inside.grad, torch.full((1, 3, 1, 1), -1e6 / 3), rtol=1e-3, atol=0)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_the_gradient_agrees_with_finite_differences(loss):
    original = some_images(1, 2, seed=3)
    reconstruction = (0.1 + 0.8 * some_images(1, 2, seed=4)).requires_grad_()
    loss(reconstruction, original).sum().backward()
    step = torch.zeros_like(reconstruction)
    step[0, 1, 0, 1] = 1e-3
    with torch.no_grad():
        slope = (loss(reconstruction + step, original) - loss(reconstruction - step, original)) / 2e-3
    assert slope.item() == pytest.approx(reconstruction.grad[0, 1, 0, 1].item(), rel=2e-2)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_half_precision_reconstructions_are_scored_in_float32(loss):
    reconstruction = some_images(seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = loss(reconstruction, some_images(seed=2))
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, loss(reconstruction.float(), some_images(seed=2)))


@pytest.mark.parametrize("loss", [*ALL, BCE() + 0.5 * MSE()], ids=repr)
def test_float64_images_are_scored_in_float64(loss):
    reconstruction, original = some_images(seed=1).double(), some_images(seed=2).double()
    values = loss(reconstruction, original)
    assert values.dtype == torch.float64
    # A change that float32 cannot hold moves the number.
    moved = loss(reconstruction.clamp(max=0.99) + 1e-10, original) - loss(reconstruction.clamp(max=0.99), original)
    assert (moved != 0).all()
    assert moved.abs().max() < 1e-8
    inside = (0.1 + 0.8 * reconstruction[:1, :, :2, :2]).requires_grad_()
    assert torch.autograd.gradcheck(lambda made: loss(made, original[:1, :, :2, :2]), (inside,))
    assert bce_floor(original).dtype == torch.float64


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 255.0), (0.0, 1.001)])
def test_pixels_outside_the_unit_range_are_refused(loss, low, high):
    wrong = low + (high - low) * some_images()
    wrong[0, 0, 0, 0], wrong[0, 0, 0, 1] = low, high
    with pytest.raises(BadInput, match=r"reconstruction pixels in \[0, 1\]"):
        loss(wrong, some_images())
    with pytest.raises(BadInput, match=r"original pixels in \[0, 1\]"):
        loss(some_images(), wrong)


def test_a_rounding_error_beyond_the_range_is_let_pass():
    for loss in ALL:
        assert loss(some_images().clamp(min=0) + 5e-7 * torch.ones(1), some_images()).isfinite().all()
        assert loss(torch.ones(1, 3, 2, 2) + 5e-7, torch.ones(1, 3, 2, 2)).isfinite().all()


def test_a_nan_is_left_to_the_fit_loop_which_knows_the_step():
    broken = some_images()
    broken[1, 0, 0, 0] = torch.nan
    for loss in ALL:
        assert loss(broken, some_images()).isnan().tolist() == [False, True, False]


def test_batches_that_would_broadcast_are_refused():
    for other in (some_images(1), some_images(3, 4), some_images()[:, :1], some_images()[0]):
        with pytest.raises(BadInput, match="its own original"):
            MSE().check_images(other, some_images())


@settings(max_examples=30, deadline=None)
@given(a=st.floats(0, 100), b=st.floats(0, 100))
def test_a_sum_is_the_weighted_sum(a, b):
    reconstruction, original = some_images(seed=5), some_images(seed=6)
    objective = a * BCE() + L1() * b
    assert isinstance(objective, Objective)
    expected = a * BCE()(reconstruction, original) + b * L1()(reconstruction, original)
    torch.testing.assert_close(objective(reconstruction, original), expected)
    named = objective.named(reconstruction, original)
    torch.testing.assert_close(named, {"BCE": BCE()(reconstruction, original), "L1": L1()(reconstruction, original)})
    torch.testing.assert_close(objective.weigh(named), expected)


def test_an_objective_prints_itself():
    assert repr(BCE() + 0.5 * L1()) == "1*BCE + 0.5*L1"
    assert repr(2 * (BCE() + 0.5 * L1()) + MSE()) == "2*BCE + 1*L1 + 1*MSE"
    assert [(term.name, term.weight) for term in (2 * (BCE() + L1())).terms] == [("BCE", 2.0), ("L1", 2.0)]


def test_a_loss_prints_its_settings_so_that_no_two_print_alike():
    class Power(Loss):
        def __init__(self, power: int, networks: frozenset[str] = frozenset()) -> None:
            super().__init__()
            self.power, self.networks = power, networks

        @property
        def fingerprints(self) -> frozenset[str]:
            return self.networks

        def extra_repr(self) -> str:
            return f"power={self.power}"

    objective = Power(2, frozenset({"a"})) + 0.5 * Power(3, frozenset({"a", "b"})) + BCE()
    assert repr(objective) == "1*Power(power=2) + 0.5*Power(power=3) + 1*BCE"
    assert repr(Power(2)) == "Power(power=2)"
    assert repr(BCE()) == "BCE"
    assert [term.name for term in objective.terms] == ["Power", "Power_2", "BCE"]
    assert objective.fingerprints == {"a", "b"}
    assert BCE().fingerprints == (BCE() + L1()).fingerprints == frozenset()


def test_two_terms_of_one_class_keep_apart():
    objective = L1() + 0.5 * L1()
    assert [term.name for term in objective.terms] == ["L1", "L1_2"]
    torch.testing.assert_close(
        objective(some_images(), some_images(seed=1)), 1.5 * L1()(some_images(), some_images(seed=1))
    )


def test_a_single_loss_answers_as_an_objective_does():
    loss, reconstruction, original = BCE(), some_images(seed=1), some_images(seed=2)
    assert [(term.name, term.weight) for term in loss.terms] == [("BCE", 1.0)]
    named = loss.named(reconstruction, original)
    torch.testing.assert_close(named["BCE"], loss(reconstruction, original))
    torch.testing.assert_close(loss.weigh(named), loss(reconstruction, original))


@pytest.mark.parametrize("weight", [-0.5, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(BadInput, match="finite weight of at least 0"):
        weight * BCE()
    with pytest.raises(BadInput, match="finite weight of at least 0"):
        (BCE() + L1()) * weight


@pytest.mark.parametrize("other", [1, "BCE", None, True])
def test_only_losses_add_and_only_numbers_multiply(other):
    with pytest.raises(TypeError):
        BCE() + other
    if other != 1 or other is True:
        with pytest.raises(TypeError):
            BCE() * other


def test_the_modules_of_every_term_travel_with_the_objective():
    class Learned(Loss):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, reconstruction, original):
            return self.scale * (reconstruction - original).abs().flatten(1).mean(1)

    objective = (BCE() + 0.5 * Learned()).to(torch.float64)
    assert [p.dtype for p in objective.parameters()] == [torch.float64]
    assert repr(objective) == "1*BCE + 0.5*Learned"


def test_a_loss_without_forward_says_what_it_must_define():
    with pytest.raises(NotImplementedError, match=r"forward\(reconstruction, original\)"):
        Loss()(some_images(), some_images())
