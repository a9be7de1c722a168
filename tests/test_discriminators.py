"""Discriminators against published counts, hand-made convolutions, receptive fields, and their contracts."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from featinv import discriminators
from featinv.discriminators import DCGAN, Discriminator, Patch, Projection
from featinv.errors import BadInput


def some_images(count: int = 3, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def vectors(count: int = 3, shape: tuple[int, ...] = (5,), seed: int = 1) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def small(norm: str = "none", conditional: bool = False) -> list[Discriminator]:
    made: list[Discriminator] = [DCGAN(32, width=4, norm=norm), Patch(32, layers=2, width=4, norm=norm)]
    return [Projection(one, 5) for one in made] if conditional else made


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("norm", ["batch", "none", "spectral"])
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_every_size_and_norm_gives_a_logit_a_image(size, norm):
    images = some_images(2, size)
    assert DCGAN(size, width=2, norm=norm)(images).shape == (2,)
    assert Patch(size, layers=2, width=2, norm=norm)(images).shape == (2, size // 4 - 2, size // 4 - 2)


def test_the_sizes_are_those_of_the_published_networks():
    # The DCGAN discriminator of PyTorch's tutorial has 2,765,568 parameters and no bias; ours has 64 + 1 biases more.
    assert count(DCGAN(64)) == 2_765_568 + 64 + 1
    # pix2pix reports 2.769 M (2,768,705) for images of 3 + 3 channels; ours lacks the 3 channels of the condition.
    assert count(Patch(256)) == 2_768_705 - 3 * 64 * 4 * 4


def test_dcgan_is_a_chain_of_strided_convolutions():
    network = DCGAN(32, width=4, norm="none")
    weights = network.state_dict()
    images = some_images()
    x = 2 * images - 1
    for place in (0, 2, 4):
        x = F.conv2d(x, weights[f"layers.{place}.weight"], weights[f"layers.{place}.bias"], stride=2, padding=1)
        x = torch.where(x > 0, x, 0.2 * x)
    assert x.shape == (3, 16, 4, 4)
    # The last convolution covers its whole input: a scalar product.
    expected = (x * weights["last.weight"]).sum((1, 2, 3)) + weights["last.bias"]
    torch.testing.assert_close(network(images), expected)


def test_batch_norm_stands_on_all_but_the_first_and_the_last_layer():
    for network, norms in ((DCGAN(64, width=2), 3), (Patch(64, width=2), 3), (DCGAN(64, width=2, norm="none"), 0)):
        assert sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) == norms
        assert network.batch_statistics is (norms > 0)
    assert Projection(DCGAN(32, width=2), 5).batch_statistics
    assert not Projection(DCGAN(32, width=2, norm="spectral"), 5).batch_statistics


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_weights_start_as_the_paper_says(norm):
    network = DCGAN(64, width=32, norm=norm)
    kernels = torch.cat([p.flatten() for name, p in network.named_parameters() if p.ndim == 4])
    # 700,000 draws: five standard errors of mean and deviation are 1.2e-4 and 0.4 %.
    assert kernels.mean().abs().item() < 1.2e-4
    assert kernels.std().item() == pytest.approx(0.02, rel=5e-3)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))


def test_spectral_norm_gives_every_layer_a_largest_singular_value_of_one():
    for network in small("spectral"):
        with torch.no_grad():
            for _ in range(200):
                network(some_images(1))
        layers = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
        assert len(layers) == 4
        for layer in layers:
            norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2).item()
            assert norm == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_sees_as_many_pixels_as_it_says(layers, field):
    network = Patch(128, layers=layers, width=2, norm="none").double()
    assert network.receptive_field == field
    images = some_images(1, 128).double().requires_grad_()
    logits = network(images)
    middle = logits.shape[1] // 2
    logits[0, middle, middle].backward()
    seen = images.grad[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert (rows.max() - rows.min() + 1).item() == (columns.max() - columns.min() + 1).item() == field


def test_the_projection_is_the_formula_of_the_paper():
    for inner in small():
        network = Projection(inner, (2, 3, 1))
        features = vectors(3, (2, 3, 1))
        mean, deviation = torch.full((2, 3, 1), 0.5), torch.full((2, 3, 1), 2.0)
        network.set_statistics(mean, deviation)
        phi = inner.hidden(some_images()).mean((2, 3))
        product = torch.einsum("bc,cd,bd->b", phi, network.embedding.weight, (features.flatten(1) - 0.5) / 2)
        alone = inner(some_images())
        torch.testing.assert_close(
            network(some_images(), features), alone + product.reshape(-1, *[1] * (alone.ndim - 1))
        )


def test_an_embedded_vector_starts_near_unit_length():
    embedding = Projection(DCGAN(32, width=32, norm="none"), 64).embedding
    lengths = embedding(vectors(500, (64,))).norm(dim=1)
    assert lengths.mean().item() == pytest.approx(1, abs=0.1)


def test_a_conditional_discriminator_tells_the_vectors_apart_and_another_ignores_them():
    for plain, conditional in zip(small(), small(conditional=True), strict=True):
        one, other = vectors(seed=1), vectors(seed=2)
        assert not plain.conditional
        assert conditional.conditional
        torch.testing.assert_close(plain(some_images(), one), plain(some_images()), rtol=0, atol=0)
        assert not torch.allclose(conditional(some_images(), one), conditional(some_images(), other))
        conditional(some_images(), one).sum().backward()
        assert conditional.embedding.weight.grad.abs().sum() > 0


def test_the_statistics_are_saved_and_learn_nothing():
    network, again = small(conditional=True)[0], small(conditional=True)[0]
    network.set_statistics(torch.ones(5), 3 * torch.ones(5))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(some_images(), vectors()), network(some_images(), vectors()), rtol=0, atol=0)
    assert not any("standardise" in name for name, _ in network.named_parameters())


@pytest.mark.parametrize("norm", ["none", "spectral", "batch"])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_logit_depends_on_its_batch_mates_only_where_it_says_so(norm, conditional):
    for network in small(norm, conditional):
        network.train()
        if norm == "spectral":
            network(some_images(), vectors())  # every pass moves the power iteration a little ...
            network.eval()  # ... so that two passes are compared in eval mode
        together = network(some_images(), vectors())
        alone = torch.cat([network(some_images()[[k]], vectors()[[k]]) for k in range(3)])
        assert torch.allclose(together, alone, atol=1e-6) is not network.batch_statistics


def test_gradients_reach_the_images_and_every_weight():
    for network in (*small("batch"), *small("spectral", conditional=True)):
        images = some_images().requires_grad_()
        network(images, vectors()).square().sum().backward()
        assert (images.grad.flatten(1).norm(dim=1) > 0).all()
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_float64_and_bfloat16_work_without_being_asked_for():
    for network in small("spectral", conditional=True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert network(some_images(), vectors()).isfinite().all()
        assert network.double()(some_images().double(), vectors().double()).dtype == torch.float64


@pytest.mark.parametrize("size", [0, -32, 16, 48, 512, True])
@pytest.mark.parametrize("kind", [DCGAN, Patch])
def test_a_size_that_is_no_power_of_two_from_32_to_256_is_refused(kind, size):
    with pytest.raises(BadInput, match=rf"{kind.__name__}: expected image_size.*from 32 to 256, got {size}"):
        kind(size)


@pytest.mark.parametrize("kind", [DCGAN, Patch])
def test_a_width_or_norm_that_cannot_be_is_refused(kind):
    with pytest.raises(BadInput, match="width to be a whole number of at least 1, got 0"):
        kind(32, width=0)
    # The annotations refuse it first in tests; a user's Python has no such check.
    with pytest.raises(BadInput, match="batch, none, spectral, got 'layer'"):
        discriminators.convolutional.check_norm("layer", kind.__name__)


def test_more_layers_than_there_is_room_for_are_refused():
    assert Patch(32, layers=3, width=2)(some_images()).shape == (3, 2, 2)
    for size, layers, most in ((32, 4, 3), (256, 7, 6)):
        with pytest.raises(BadInput, match=f"1 to {most} layers for {size} px, got {layers}"):
            Patch(size, layers=layers)
        Patch(size, layers=most, width=1)
    with pytest.raises(BadInput, match="layers to be a whole number of at least 1, got 0"):
        Patch(32, layers=0)


def test_images_of_another_size_are_refused():
    for network in (*small(), *small(conditional=True)):
        with pytest.raises(BadInput, match=r"expected images \(B, 3, 32, 32\), got \(3, 3, 64, 64\).*image_size"):
            network(some_images(size=64), vectors())


def test_a_conditional_discriminator_without_its_vectors_is_refused():
    network = small(conditional=True)[0]
    with pytest.raises(BadInput, match="Projection: expected the vectors of the images, got none"):
        network(some_images())
    with pytest.raises(BadInput, match=r"expected features of shape \(3, 5\), got \(3, 6\)"):
        network(some_images(), vectors(shape=(6,)))


def test_only_an_unconditional_discriminator_can_be_conditioned():
    with pytest.raises(BadInput, match=r"unconditional discriminator.*got Projection"):
        Projection(small(conditional=True)[0], 5)
    for shape in (0, (), (3, -1), (True,)):
        with pytest.raises(BadInput, match="feature_shape of positive integers"):
            Projection(small()[0], shape)


def test_a_discriminator_of_one_s_own_can_be_conditioned_too():
    class Mean(Discriminator):
        def __init__(self) -> None:
            super().__init__(32, 3)

        def hidden(self, images):
            return images

        def head(self, hidden, features):
            return hidden.mean((1, 2, 3))

    assert not Mean().batch_statistics
    assert Projection(Mean(), 5)(some_images(), vectors()).shape == (3,)
    assert math.isclose(Mean()(torch.full((1, 3, 32, 32), 0.25)).item(), 0.25)
