"""The discriminator on a frozen backbone: what learns, what does not, and what it owns up to."""

import copy

import pytest
import torch
from torch import nn

from featinv import encoders
from featinv.discriminators import FrozenFeatures, Patch, Projection
from featinv.errors import BadInput


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return self.pool(self.body(self.stem(x)))


def encoder(seed: int = 0) -> encoders.Encoder:
    torch.manual_seed(seed)
    return encoders.wrap(Backbone(), name="backbone", family="toy", input_size=32, layer="pool")


def some_images(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_every_position_of_every_layer_has_a_logit():
    # stem 16x16 -> 4x4, body 8x8 -> 4x4, pool 1x1
    assert FrozenFeatures(encoder(), 32, layers=("stem", "body", "pool"), width=4)(some_images()).shape == (
        2,
        16 + 16 + 1,
    )
    assert FrozenFeatures(encoder(), 64, layers=["pool"], width=4)(some_images(size=64)).shape == (2, 1)


def test_a_logit_is_the_head_of_the_layer_it_belongs_to():
    network = FrozenFeatures(encoder(), 32, layers=("body", "pool"), width=4).eval()
    taps = network.encoder.taps(some_images(), ["body", "pool"])
    body, pool = (head for head in network.heads)
    expected = torch.cat([body(taps["body"]).flatten(2), pool(taps["pool"][:, :, None, None]).flatten(2)], 2)
    torch.testing.assert_close(network(some_images()), network.last(expected)[:, 0])


def test_only_the_heads_learn_whatever_is_unfrozen_around_them():
    network = FrozenFeatures(encoder(), 32, layers=("stem", "body"), width=4)
    before = copy.deepcopy(network.encoder.state_dict())
    network.requires_grad_(False)
    network.requires_grad_(True).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    images = some_images().requires_grad_()
    network(images).square().sum().backward()
    optimiser.step()
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()
    torch.testing.assert_close(network.encoder.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert not any("encoder" in name for name in network.state_dict())
    assert not network.batch_statistics


def test_the_backbone_is_named_by_the_fingerprint_of_its_weights():
    one, other = encoder(0), encoder(1)
    assert FrozenFeatures(one, 32, layers=["stem"]).fingerprints == {one.weights_fingerprint}
    assert FrozenFeatures(other, 32, layers=["stem"]).fingerprints == {other.weights_fingerprint}
    assert one.weights_fingerprint != other.weights_fingerprint
    assert Projection(FrozenFeatures(one, 32, layers=["stem"]), 5).fingerprints == {one.weights_fingerprint}
    assert Patch(32, layers=2, width=4).fingerprints == frozenset()


def test_the_backbone_follows_to_another_device_but_to_no_other_precision():
    network = FrozenFeatures(encoder(), 32, layers=["stem"], width=4)
    moved = []
    network.encoder.to = moved.append  # what a machine with one device can see of it
    network.bfloat16()
    assert moved == [torch.device("cpu")]
    assert {p.dtype for p in network.encoder.parameters()} == {torch.float32}


def test_pixels_that_an_augmentation_moved_outside_are_clamped():
    network = FrozenFeatures(encoder(), 32, layers=["stem"], width=4).eval()
    wild = 2 * some_images() - 0.5
    torch.testing.assert_close(network(wild), network(wild.clamp(0, 1)))


def test_it_can_be_conditioned_on_the_vector():
    network = Projection(FrozenFeatures(encoder(), 32, layers=("stem", "pool"), width=4), 8)
    vectors = torch.randn(2, 8)
    assert network(some_images(), vectors).shape == (2, 17)
    with pytest.raises(BadInput, match="expected the vectors"):
        network(some_images())


def test_its_copy_looks_through_the_same_backbone():
    network = FrozenFeatures(encoder(), 32, layers=["body"], width=4).eval()
    again = copy.deepcopy(network)
    torch.testing.assert_close(again(some_images()), network(some_images()))
    assert again.encoder is network.encoder
    assert again.last.bias is not network.last.bias


def test_a_layer_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(BadInput, match=r"got 'bodi'; nearest: body.*top-level: .*stem"):
        FrozenFeatures(encoder(), 32, layers=["stem", "bodi"])
    for none in ([], "stem"):
        with pytest.raises(BadInput, match="names of one or more layers"):
            FrozenFeatures(encoder(), 32, layers=none)


def test_what_has_no_layers_to_look_at_is_refused():
    # Called as a user's Python would, without the annotations that are checked in tests.
    with pytest.raises(BadInput, match=r"encoder with layers to look at, got Linear; .*encoders\.wrap"):
        FrozenFeatures.__init__.__wrapped__(FrozenFeatures.__new__(FrozenFeatures), nn.Linear(2, 2), 32, layers=["x"])


def test_sizes_are_those_of_the_images_and_not_of_the_backbone():
    with pytest.raises(BadInput, match="FrozenFeatures: expected image_size"):
        FrozenFeatures(encoder(), 33, layers=["stem"])
    with pytest.raises(BadInput, match=r"expected images \(B, 3, 64, 64\)"):
        FrozenFeatures(encoder(), 64, layers=["stem"])(some_images())
