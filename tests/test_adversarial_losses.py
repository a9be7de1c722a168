"""Adversarial losses against numbers worked out by hand, the signs of their gradients, and toys whose optimum is known.

The toys: (a) originals and reconstructions on a few places of a plane, with a free logit for each place, so that the
best discriminator is the one that the papers derive; (b) a generator that shifts one point of the plane, against a
linear discriminator (the Dirac-GAN of arXiv:1801.04406).
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featinv import losses
from featinv.errors import BadInput
from featinv.losses import R1, R2, AdversarialLoss, GradientPenalty

ADVERSARIAL_LOSSES = [
    losses.non_saturating,
    losses.least_squares,
    losses.hinge,
    losses.wasserstein,
    losses.relativistic,
]
each_loss = pytest.mark.parametrize("adversarial", ADVERSARIAL_LOSSES, ids=repr)
SATURATING = math.log1p(math.exp(-2))  # softplus(-2)
logit = st.floats(-50, 50, allow_nan=False)


@pytest.mark.parametrize(
    ("adversarial", "discriminator", "generator"),
    [
        # r = 2, f = -0.5: softplus(-2) + softplus(-0.5); softplus(0.5)
        (losses.non_saturating, SATURATING + math.log1p(math.exp(-0.5)), math.log1p(math.exp(0.5))),
        # (2 - 1)^2 + 0.5^2; (-0.5 - 1)^2
        (losses.least_squares, 1.25, 2.25),
        # relu(1 - 2) + relu(1 - 0.5); 0.5
        (losses.hinge, 0.5, 0.5),
        # -0.5 - 2; 0.5
        (losses.wasserstein, -2.5, 0.5),
        # softplus(-2.5); softplus(2.5)
        (losses.relativistic, math.log1p(math.exp(-2.5)), math.log1p(math.exp(2.5))),
    ],
    ids=lambda value: repr(value) if isinstance(value, AdversarialLoss) else "",
)
def test_numbers_worked_out_by_hand(adversarial, discriminator, generator):
    real, fake = torch.tensor([2.0]), torch.tensor([-0.5])
    assert adversarial.discriminator(real, fake).item() == pytest.approx(discriminator)
    assert adversarial.generator(real, fake).item() == pytest.approx(generator)


@each_loss
def test_every_loss_says_what_it_is_and_where_it_is_from(adversarial):
    assert getattr(losses, adversarial.name) is adversarial
    assert repr(adversarial) == adversarial.name
    assert "arXiv:" in adversarial.source
    assert adversarial.__doc__.startswith(adversarial.summary)
    assert adversarial.relativistic is (adversarial is losses.relativistic)


@each_loss
@settings(max_examples=50, deadline=None)
@given(r=logit, f=logit)
def test_the_discriminator_pulls_apart_what_the_decoder_pulls_together(adversarial, r, f):
    real = torch.tensor([r], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([f], dtype=torch.float64, requires_grad=True)
    up, down = torch.autograd.grad(adversarial.discriminator(real, fake).sum(), (real, fake))
    if adversarial is losses.least_squares:  # pulls towards its targets from both sides
        assert (up * (real - 1) >= 0).all()
        assert (down * fake >= 0).all()
    else:
        assert up <= 0 <= down
    (better,) = torch.autograd.grad(adversarial.generator(real, fake).sum(), fake)
    assert better * (fake - 1) >= 0 if adversarial is losses.least_squares else better < 0 or f > 30


@each_loss
def test_a_patch_logit_counts_after_the_function_and_not_before(adversarial):
    real, fake = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    for half in (adversarial.discriminator, adversarial.generator):
        flat = half(real.flatten(), fake.flatten())
        torch.testing.assert_close(half(real, fake), flat.view(2, 12).mean(1))
        torch.testing.assert_close(half(real.flatten(1), fake.flatten(1)), half(real, fake))
    # The hinge of a mean is not the mean of hinges: (-4 and 4) is 2.5 a patch, and 1 for their mean of 0.
    pair = torch.tensor([[-4.0, 4.0]])
    assert losses.hinge.discriminator(pair, torch.full_like(pair, -1)).item() == pytest.approx(2.5)


@each_loss
def test_a_confident_discriminator_gives_finite_numbers_and_gradients(adversarial):
    real = torch.tensor([1e4, -1e4], requires_grad=True)
    fake = torch.tensor([-1e4, 1e4], requires_grad=True)
    total = adversarial.discriminator(real, fake) + adversarial.generator(real, fake)
    total.sum().backward()
    for values in (total, real.grad, fake.grad):
        assert values.isfinite().all()


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_numbers_are_float32_or_better(adversarial, dtype):
    real, fake = torch.tensor([6.0]).to(dtype), torch.tensor([-6.0]).to(dtype)
    values = adversarial.discriminator(real, fake)
    assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(values.float(), adversarial.discriminator(real.float(), fake.float()))


# ------------------------------------------------------------------------------- (a) the best discriminator


REAL = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])  # places of eight originals: p = 4, 2, 2, 0 eighths ...
FAKE = torch.tensor([0, 1, 1, 1, 1, 2, 2, 3])  # ... and of eight reconstructions: q = 1, 4, 2, 1 eighths
P, Q = (torch.bincount(places, minlength=4).double() / 8 for places in (REAL, FAKE))


def best_logits(adversarial: AdversarialLoss, places: int) -> torch.Tensor:
    """The free logits at the first places that make the discriminator's half small, over all pairs of images."""
    real, fake = REAL[places > REAL], FAKE[places > FAKE]
    first, second = torch.cartesian_prod(real, fake).T
    # Pairs weigh what their places do: dropping a place renormalises p and q, which changes log p/q by a constant only.
    logits = torch.zeros(places, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], lr=1, max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = adversarial.discriminator(logits[first], logits[second]).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    return logits.detach()


def test_the_best_discriminator_of_cross_entropy_is_the_log_ratio_of_the_densities():
    # arXiv:1406.2661, proposition 1, as a logit; place 3 has p = 0 and is left out, so p and q are renormalised.
    expected = torch.log((P[:3] / P[:3].sum()) / (Q[:3] / Q[:3].sum()))
    torch.testing.assert_close(best_logits(losses.non_saturating, 3), expected, atol=1e-5, rtol=0)


def test_the_best_discriminator_of_least_squares_is_the_share_of_originals():
    torch.testing.assert_close(best_logits(losses.least_squares, 4), P / (P + Q), atol=1e-5, rtol=0)


def test_the_best_discriminator_of_the_hinge_stands_on_its_margins():
    # At 1 where p > q, at -1 where p < q, anywhere between where p = q (place 2), at most -1 where p = 0 (place 3).
    grid = torch.linspace(-2, 2, 41, dtype=torch.float64)
    best = []
    for place in range(4):
        values = []
        for value in grid:
            logits = torch.zeros(4, dtype=torch.float64).index_fill(0, torch.tensor([place]), value.item())
            values.append(losses.hinge.discriminator(logits[REAL], logits[FAKE]).mean())
        smallest = torch.stack(values) < min(values) + 1e-9
        best.append((round(grid[smallest].min().item(), 6), round(grid[smallest].max().item(), 6)))
    assert best == [(1, 1), (-1, -1), (-1, 1), (-2, -1)]


def test_the_best_discriminator_of_relativistic_pairs_is_the_log_ratio_up_to_a_constant():
    # With l = log p/q, swapping the two places of a pair leaves p(x) q(y) sigmoid(l(y) - l(x)) as it is: stationary.
    logits = best_logits(losses.relativistic, 3)
    expected = torch.log(P[:3] / Q[:3])
    torch.testing.assert_close(logits - logits.mean(), expected - expected.mean(), atol=1e-5, rtol=0)


def test_the_gradient_of_the_critic_is_the_difference_of_the_densities():
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    losses.wasserstein.discriminator(logits[REAL], logits[FAKE]).mean().backward()
    torch.testing.assert_close(logits.grad, Q - P)


# ------------------------------------------------------------------------------- (b) a point and a line


class Line(torch.nn.Module):
    """D(x) = w x + b, on images of one pixel: a plane and a half, of which the first two axes are used."""

    def __init__(self, slope: tuple[float, float], bias: float = 0.0) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([*slope, 0.0], dtype=torch.float64))
        self.bias = torch.nn.Parameter(torch.tensor(bias, dtype=torch.float64))

    def forward(self, images, features=None):
        return images[:, :, 0, 0] @ self.slope + self.bias


def point(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y, 0.0], dtype=torch.float64).view(1, 3, 1, 1)


@each_loss
def test_where_both_are_equal_and_the_line_is_flat_nobody_moves(adversarial):
    bias = 0.5 if adversarial is losses.least_squares else 0.0
    line, theta = Line((0, 0), bias=bias), point(0.3, 0.6).requires_grad_()
    real = theta.detach().clone()
    adversarial.discriminator(line(real), line(theta.detach())).sum().backward()
    torch.testing.assert_close(line.slope.grad, torch.zeros(3, dtype=torch.float64))
    adversarial.generator(line(real), line(theta)).sum().backward()
    torch.testing.assert_close(theta.grad, torch.zeros_like(theta))


def play(adversarial: AdversarialLoss, penalties: list, steps: int = 300, rate: float = 0.1) -> list[float]:
    """Alternating gradient descent; the distance of the shifted point from its original, by step."""
    line, real, theta = Line((0.2, -0.1)), point(0.5, 0.5), point(0.9, 0.3).requires_grad_()
    distances = []
    for _ in range(steps):
        loss = adversarial.discriminator(line(real), line(theta.detach()))
        for penalty in penalties:
            loss = loss + penalty(line, real, theta)
        slopes = torch.autograd.grad(loss.sum(), list(line.parameters()), allow_unused=True)
        with torch.no_grad():
            for parameter, slope in zip(line.parameters(), slopes, strict=True):
                if slope is not None:
                    parameter -= rate * slope
        (slope,) = torch.autograd.grad(adversarial.generator(line(real), line(theta)).sum(), theta)
        with torch.no_grad():
            theta -= rate * slope
        distances.append((theta - real).norm().item())
    return distances


@each_loss
def test_with_a_zero_centred_penalty_the_point_finds_its_original(adversarial):
    penalties = [R1(0.5), R2(0.5)] if adversarial.relativistic else [R1(1.0)]
    distances = play(adversarial, penalties)
    assert distances[0] > 0.4
    assert distances[-1] < 1e-3


def test_without_one_it_circles_round_it():
    # arXiv:1801.04406, section 2: the eigenvalues are imaginary, so it neither comes nearer nor leaves.
    for adversarial in (losses.non_saturating, losses.wasserstein):
        late = play(adversarial, [])[-150:]
        assert max(late) > 0.3


def test_the_best_critic_under_a_gradient_penalty_points_from_fake_to_real():
    # min over w of -|w| d + 10 (|w| - 1)^2, d the distance: |w| = 1 + d / 20, along the difference.
    real, fake, line = point(0.8, 0.9), point(0.2, 0.1), Line((0.3, -0.5))
    optimiser = torch.optim.SGD(line.parameters(), lr=0.04)
    for _ in range(600):
        optimiser.zero_grad()
        loss = losses.wasserstein.discriminator(line(real), line(fake)) + GradientPenalty()(line, real, fake)
        loss.sum().backward()
        optimiser.step()
    direction = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)  # of length 1, and d = 1
    torch.testing.assert_close(line.slope.detach(), (1 + 1 / 20) * direction, atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------- bad input


def test_only_a_relativistic_loss_needs_the_originals_in_the_decoder_s_half():
    fake = torch.randn(3, 2, 2)
    for adversarial in ADVERSARIAL_LOSSES[:-1]:
        torch.testing.assert_close(adversarial.generator(None, fake), adversarial.generator(torch.randn(3, 2, 2), fake))
    with pytest.raises(BadInput, match="relativistic: expected the logits of the originals"):
        losses.relativistic.generator(None, fake)


@each_loss
def test_logits_that_would_broadcast_are_refused(adversarial):
    for half in (adversarial.discriminator, adversarial.generator):
        with pytest.raises(BadInput, match=r"as many logits for originals.*\(3, 2\).*\(3, 1\)"):
            half.__wrapped__(adversarial, torch.zeros(3, 2), torch.zeros(3, 1))
