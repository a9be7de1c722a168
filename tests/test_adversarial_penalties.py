"""Penalties against gradients worked out by hand and against torch.autograd.functional; and whom they refuse."""

import pytest
import torch
from torch import nn

from featinv.discriminators import DCGAN, Discriminator, FrozenFeatures, Patch, Projection
from featinv.errors import BadInput
from featinv.losses import R1, R2, GradientPenalty, Penalty

ALL = [GradientPenalty, R1, R2]
each_penalty = pytest.mark.parametrize("kind", ALL)


class Linear(nn.Module):
    """D(x) = w x: its slope is w everywhere."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, size, size, dtype=torch.float64))

    def forward(self, images, features=None):
        return (images * self.w).sum((1, 2, 3))


class Square(nn.Module):
    """D(x) = a |x|^2 / 2: its slope is a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, images, features=None):
        return self.a * images.square().sum((1, 2, 3)) / 2


def some_images(count: int = 3, size: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("every", [1, 4])
def test_of_a_linear_discriminator_it_is_the_length_of_the_weights(every):
    network, real, fake = Linear(), some_images(seed=1), some_images(seed=2)
    square = network.w.detach().square().sum()
    for kind in (R1, R2):
        values = kind(0.3, every)(network, real, fake)
        torch.testing.assert_close(values, (0.15 * every * square).expand(3))
        # ... and its gradient in w is gamma w, as that of gamma/2 |w|^2.
        (slope,) = torch.autograd.grad(values.mean(), network.w)
        torch.testing.assert_close(slope, 0.3 * every * network.w.detach())
    values = GradientPenalty(10, every)(network, real, fake)
    torch.testing.assert_close(values, (10 * every * (square.sqrt() - 1) ** 2).expand(3))
    (slope,) = torch.autograd.grad(values.mean(), network.w)
    torch.testing.assert_close(slope, 20 * every * (1 - 1 / square.sqrt()) * network.w.detach())


def test_r1_is_taken_at_the_originals_and_r2_at_the_reconstructions():
    network, real, fake = Square(0.5), some_images(seed=1), some_images(seed=2)
    for penalty, images in ((R1(2), real), (R2(2), fake)):
        torch.testing.assert_close(penalty(network, real, fake), 0.25 * images.square().sum((1, 2, 3)))


def test_the_gradient_penalty_is_taken_between_the_two_with_a_draw_a_image():
    network, real, fake = (
        Square(1.0),
        some_images(1, seed=1).expand(400, -1, -1, -1),
        torch.zeros(400, 3, 4, 4).double(),
    )
    # At u * real the slope is u |real|: solve (u |real| - 1)^2 for u, given |real| > 2 so that both signs occur.
    length = real[0].norm()
    assert length > 2
    values = GradientPenalty(1)(network, real, fake)
    u = torch.where(values > 1, (1 + values.sqrt()) / length, torch.nan)
    assert u.nan_to_num(0.5).clamp(0, 1).equal(u.nan_to_num(0.5))
    # (u L - 1)^2 for uniform u: mean L^2/3 - L + 1
    assert values.mean().item() == pytest.approx((length**2 / 3 - length + 1).item(), rel=0.15)
    assert values.unique().numel() == 400
    # Original and reconstruction equal: nothing to draw between.
    same = GradientPenalty(1)(network, real[:1], real[:1])
    torch.testing.assert_close(same, ((length - 1) ** 2)[None])


@pytest.mark.parametrize(
    "make", [lambda: DCGAN(32, width=2, norm="none"), lambda: Patch(32, layers=1, width=2, norm="none")]
)
def test_values_and_their_gradients_agree_with_autograd_functional(make):
    network = Projection(make(), 5).double()
    real, fake, vectors = some_images(2, 32, 1), some_images(2, 32, 2), torch.randn(2, 5, dtype=torch.float64)

    def slope(one: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        def logit(x: torch.Tensor) -> torch.Tensor:
            return network(x[None], vector[None]).mean()

        return torch.autograd.functional.jacobian(logit, one, create_graph=True)

    for penalty, images in ((R1(0.7), real), (R2(0.7), fake)):
        expected = torch.stack([0.35 * slope(x, v).square().sum() for x, v in zip(images, vectors, strict=True)])
        values = penalty(network, real, fake, vectors)
        torch.testing.assert_close(values, expected)
        weights = list(network.parameters())
        ours = torch.autograd.grad(values.sum(), weights, allow_unused=True, materialize_grads=True)
        theirs = torch.autograd.grad(expected.sum(), weights, allow_unused=True, materialize_grads=True)
        torch.testing.assert_close(ours, theirs)
        assert sum(one.abs().sum() for one in ours) > 0


@each_penalty
def test_it_teaches_the_discriminator_and_nobody_else(kind):
    network, real, fake = Linear(), some_images(seed=1).requires_grad_(), some_images(seed=2).requires_grad_()
    kind(1.0)(network, real, fake).sum().backward()
    assert network.w.grad is not None
    assert real.grad is None
    assert fake.grad is None


@each_penalty
def test_a_image_s_penalty_does_not_depend_on_its_batch_mates(kind):
    network, real, fake = Square(0.5), some_images(seed=1), some_images(seed=2)
    torch.manual_seed(1)
    together = kind(1.0)(network, real, fake)
    torch.manual_seed(1)
    first = kind(1.0)(network, real[:1], fake[:1])
    torch.testing.assert_close(together[:1], first)


def test_a_frozen_backbone_can_be_differentiated_twice():
    from featinv import encoders

    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Tanh())
    encoder = encoders.wrap(backbone, name="toy", family="toy", input_size=24)
    network = FrozenFeatures(encoder, 32, layers=["2"], width=4)
    for kind in ALL:  # its batch norm is frozen, and so no batch norm in this sense
        network.zero_grad()
        kind(1.0)(network, some_images(2, 32, 1).float(), some_images(2, 32, 2).float()).sum().backward()
        assert network.last.parametrizations.weight.original.grad.abs().sum() > 0


@each_penalty
def test_a_lazy_penalty_is_due_in_every_kth_step_and_as_strong_on_average(kind):
    lazy, eager = kind(0.5, every=16), kind(0.5)
    assert [step for step in range(40) if lazy.due(step)] == [0, 16, 32]
    assert all(eager.due(step) for step in range(5))
    network, real = Square(0.5), some_images(seed=1)
    torch.testing.assert_close(lazy(network, real, real), 16 * eager(network, real, real))


def test_they_print_their_settings():
    assert repr(R1(0.25, every=16)) == "R1(weight=0.25, every=16)"
    assert repr(GradientPenalty()) == "GradientPenalty(weight=10, every=1)"


@each_penalty
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_a_batch_norm_is_refused_and_no_other(kind, norm):
    for network in (DCGAN(32, width=2, norm=norm), Projection(Patch(32, layers=2, width=2, norm=norm), 5)):
        wrapped = nn.Sequential(network)  # as DistributedDataParallel does
        if norm != "batch":
            kind(1.0).check(wrapped)
            continue
        with pytest.raises(
            BadInput, match=rf"{kind.__name__}: expected a discriminator without batch norm.*norm='none'"
        ):
            kind(1.0).check(wrapped)
        with pytest.raises(BadInput, match="without batch norm"):
            kind(1.0)(network, some_images(2, 32).float(), some_images(2, 32).float(), torch.zeros(2, 5))


def test_a_discriminator_of_one_s_own_that_mixes_its_batch_is_refused_by_its_word():
    class Mixed(Discriminator):
        batch_statistics = True

        def hidden(self, images):
            return images - images.mean(0, keepdim=True)

        def head(self, hidden, features):
            return hidden.mean((1, 2, 3))

    with pytest.raises(BadInput, match="got Mixed in Mixed"):
        R1(1.0).check(Mixed(32, 3))


@each_penalty
def test_a_compiled_discriminator_is_refused(kind):
    in_place = DCGAN(32, width=2, norm="none")
    in_place.compile(backend="eager")
    wrapping = torch.compile(DCGAN(32, width=2, norm="none"), backend="eager")
    for network in (in_place, wrapping, nn.Sequential(wrapping)):
        with pytest.raises(BadInput, match=r"not compiled.*no second derivatives; compile the decoder alone"):
            kind(1.0).check(network)


@each_penalty
@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_weight_is_refused(kind, weight):
    with pytest.raises(BadInput, match=f"{kind.__name__}: expected a finite weight of at least 0, got {weight}"):
        kind(weight)


@each_penalty
@pytest.mark.parametrize("every", [0, -2, True])
def test_a_number_of_steps_below_one_is_refused(kind, every):
    with pytest.raises(BadInput, match="every to be a whole number of steps of at least 1"):
        kind(1.0, every)


def test_a_penalty_must_say_what_it_measures():
    with pytest.raises(TypeError, match="abstract"):
        Penalty(1.0)
