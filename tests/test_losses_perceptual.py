"""Losses through an encoder, against the same sums written out over forward hooks."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import featinv as fi
from featinv.encoders.networks import CifarResNet, SmallResNet
from featinv.losses import L1, FeatureConsistency, Perceptual


def encoder(seed: int = 0, *, layer: str | None = "avgpool", input_size: int = 16, depth: int = 1):
    torch.manual_seed(seed)
    network = SmallResNet(5, widths=(4, 6), blocks=(depth, 1))
    return fi.encoders.wrap(
        network, name="small", family="resnet", input_size=input_size, layer=layer, mean=(0.5, 0.4, 0.3), std=(0.2,) * 3
    )


def some_images(count: int = 3, size: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def hooked(network: nn.Module, names: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    kept: dict[str, torch.Tensor] = {}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, out, name=name: kept.update({name: out.clone()}))
        for name in names
    ]
    network(x)
    for handle in handles:
        handle.remove()
    return [kept[name] for name in names]


# ------------------------------------------------------------------------------------------------- Perceptual


@pytest.mark.parametrize("size", [16, 24])
def test_perceptual_is_the_sum_written_out_over_hooks(size):
    eyes, names, weights = encoder(), ["stem", "stages"], [0.3, 2]
    made, original = some_images(size=size, seed=1), some_images(size=size, seed=2)
    expected = torch.zeros(3)

    def normalised(x: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, (16, 16), mode="bilinear", antialias=True) if size != 16 else x
        return (x - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / 0.2

    maps = zip(weights, *(hooked(eyes.network, names, normalised(images)) for images in (made, original)), strict=True)
    for weight, ours, theirs in maps:
        for row in range(3):
            height, width = ours.shape[2:]
            for place in range(height * width):
                u = F.normalize(ours[row].flatten(1)[:, place], dim=0)
                v = F.normalize(theirs[row].flatten(1)[:, place], dim=0)
                expected[row] += weight * (u - v).square().sum() / (height * width)
    torch.testing.assert_close(Perceptual(eyes, names, weights)(made, original), expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences_and_reaches_the_reconstruction_only():
    eyes = encoder(input_size=8).double()
    made, original = some_images(1, 8, 1).double().requires_grad_(), some_images(1, 8, 2).double().requires_grad_()
    loss = Perceptual(eyes) + 0.5 * FeatureConsistency(eyes, views=0)
    assert loss(made, original).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: loss(x, original.detach()), (made,))
    loss(made, original).sum().backward()
    assert original.grad is None
    assert all(parameter.grad is None for parameter in eyes.parameters())


def test_layers_are_by_default_the_last_of_each_resolution_up_to_the_cut():
    torch.manual_seed(0)
    resnet = fi.encoders.Encoder(CifarResNet(8, 10), name="n", family="resnet", layer="avgpool", input_size=32)
    assert Perceptual(resnet).layers == ("layer1", "layer2", "layer3")
    assert Perceptual(resnet).weights == (1 / 3,) * 3
    early = fi.encoders.Encoder(CifarResNet(8, 10), name="n", family="resnet", layer="layer2", input_size=32)
    assert Perceptual(early).layers == ("layer1", "layer2")
    inside = fi.encoders.Encoder(CifarResNet(8, 10), name="n", family="resnet", layer="layer2.0.conv2", input_size=32)
    assert Perceptual(inside).layers == ("layer1", "layer2.0.conv2")
    whole = fi.encoders.Encoder(CifarResNet(8, 10), name="n", family="resnet", input_size=32)
    assert Perceptual(whole).layers == ("layer1", "layer2", "layer3")
    big = fi.encoders.torchvision("resnet18", input_size=64)
    assert big.stages == ["relu", "layer1", "layer2", "layer3", "layer4"]
    flat = fi.encoders.wrap(lambda x: x.mean((2, 3)), name="flat", family="none", input_size=8)
    assert flat.stages == []


def test_a_layer_that_a_relu_overwrites_is_what_the_layer_gave():
    class InPlace(nn.Module):
        def __init__(self, branches: bool) -> None:
            super().__init__()
            self.first, self.relu, self.branches = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), branches
            self.second = nn.Conv2d(4, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.first(x))
            if self.branches and float(x.detach().sum()) < 0:  # torch.fx cannot trace this
                x = x + 1
            return F.relu(self.second(x), inplace=True).mean((2, 3))

    for branches in (False, True):
        network = InPlace(branches)
        eyes = fi.encoders.wrap(network, name="n", family="n", input_size=8)
        taps = eyes.taps(some_images(size=8), ["first", "second", "relu"])
        torch.testing.assert_close(taps["first"], network.first(some_images(size=8)))
        assert (taps["second"] < 0).any()
        assert (taps["relu"] >= 0).all()
        torch.testing.assert_close(
            copy.deepcopy(eyes).taps(some_images(size=8), ["first", "relu"])["first"], taps["first"]
        )


@settings(max_examples=8, deadline=None)
@given(scale=st.floats(0.1, 3), seed=st.integers(0, 50))
def test_perceptual_is_symmetric_bounded_and_linear_in_its_weights(scale, seed):
    eyes, made, original = encoder(), some_images(seed=seed), some_images(seed=seed + 100)
    plain = Perceptual(eyes, ["stem", "stages"])(made, original)
    torch.testing.assert_close(plain, Perceptual(eyes, ["stem", "stages"])(original, made))
    assert ((plain > 0) & (plain <= 4)).all()
    scaled = Perceptual(eyes, ["stages", "stem"], [scale / 2, scale / 2])(made, original)
    torch.testing.assert_close(scaled, scale * plain)
    torch.testing.assert_close(Perceptual(eyes)(original, original), torch.zeros(3))


# ------------------------------------------------------------------------------------------------ consistency


def test_consistency_without_changes_is_the_relative_squared_distance_of_vectors():
    eyes, made, original = encoder(), some_images(seed=1), some_images(seed=2)
    got, wanted = eyes(made), eyes(original)
    expected = torch.stack([(g - w).norm() ** 2 / w.norm() ** 2 for g, w in zip(got, wanted, strict=True)])
    for loss in (FeatureConsistency(eyes, views=0), FeatureConsistency(eyes, shift=0, colour=0, noise=0)):
        torch.testing.assert_close(loss(made, original), expected)
        torch.testing.assert_close(loss(original, original), torch.zeros(3))


def test_consistency_is_the_mean_over_views_of_the_changed_images():
    """A view that only shifts is one of nine images, so each mean of two views is one of the means of two of them."""
    eyes, made, original = encoder(), some_images(1, seed=1), some_images(1, seed=2)
    padded = F.pad(made, (1, 1, 1, 1), mode="replicate")
    shifted = [padded[:, :, dy : dy + 16, dx : dx + 16] for dy in range(3) for dx in range(3)]
    wanted = eyes(original)
    errors = torch.cat([(eyes(x) - wanted).square().sum(1) / wanted.square().sum(1) for x in shifted])
    means = (errors[:, None] + errors[None, :]).flatten() / 2
    loss, seen = FeatureConsistency(eyes, views=2, shift=1, colour=0, noise=0), set()
    for _ in range(40):
        distance = (means - loss(made, original)).abs()
        assert distance.min() < 1e-5
        seen.add(int(distance.argmin()))
    assert len(seen) > 8


@pytest.mark.parametrize("strength", [{"shift": 2}, {"colour": 0.1}, {"noise": 0.05}])
def test_changes_are_drawn_anew_from_torch_s_generator_and_differ_between_images(strength):
    zero = {"shift": 0, "colour": 0, "noise": 0}
    loss = FeatureConsistency(encoder(), views=1, **{**zero, **strength})
    made, original = some_images(1, seed=1).expand(16, -1, -1, -1), some_images(1, seed=2).expand(16, -1, -1, -1)
    torch.manual_seed(3)
    first, second = loss(made, original), loss(made, original)
    torch.manual_seed(3)
    torch.testing.assert_close(loss(made, original), first, rtol=0, atol=0)
    assert not torch.equal(first, second)
    assert first.std() > 0
    # Small changes: near the number without them.
    plain = FeatureConsistency(encoder(), views=0)(made, original)
    assert ((first - plain).abs() < 0.5 * plain + 0.2).all()


def test_changed_images_stay_in_range_and_carry_gradients():
    made, original = some_images(seed=1).round().requires_grad_(), some_images(seed=2)
    eyes = encoder()
    FeatureConsistency(eyes, views=3, colour=0.5, noise=0.5)(made, original).sum().backward()
    assert made.grad.isfinite().all()
    assert (made.grad.flatten(1).norm(dim=1) > 0).all()


# --------------------------------------------------------------------------------------------- what they share


def make(eyes, kind):
    return Perceptual(eyes) if kind is Perceptual else FeatureConsistency(eyes, views=0)


@pytest.mark.parametrize("kind", [Perceptual, FeatureConsistency])
def test_a_nan_is_left_to_the_fit_loop_which_knows_the_step(kind):
    broken = some_images()
    broken[1, 0, 3, 3] = torch.nan
    assert make(encoder(), kind)(broken, some_images(seed=1)).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("kind", [Perceptual, FeatureConsistency])
def test_the_encoder_keeps_its_precision_and_is_not_a_part_that_trains(kind):
    eyes = encoder()
    loss = make(eyes, kind)
    expected = loss(some_images(seed=1), some_images())
    objective = (L1() + loss).to(torch.bfloat16).half()
    assert loss.encoder is eyes
    assert eyes.mean.dtype == torch.float32
    assert {parameter.dtype for parameter in eyes.parameters()} == {torch.float32}
    assert not list(objective.parameters())
    assert not objective.state_dict()
    assert copy.deepcopy(objective).terms[1].loss.encoder is eyes
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = objective.named(some_images(seed=1), some_images())[kind.__name__]
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected)
    # "meta" stands for another device.
    objective.to("meta")
    assert eyes.mean.device.type == "meta"


def test_networks_are_excluded_by_their_weights_and_printed():
    one, other, cut = encoder(1), encoder(2), encoder(1, layer="stem")
    objective = Perceptual(one, ["stem"]) + 0.5 * FeatureConsistency(other) + L1()
    assert objective.fingerprints == {one.weights_fingerprint, other.weights_fingerprint}
    assert Perceptual(cut).fingerprints == {one.weights_fingerprint}
    losses = [
        Perceptual(one),
        Perceptual(other),
        Perceptual(one, ["stem"]),
        Perceptual(one, ["stages"]),
        Perceptual(one, ["stem", "stages"], [1, 0.5]),
        FeatureConsistency(one),
        FeatureConsistency(one, views=3),
        FeatureConsistency(one, noise=0),
    ]
    assert len({repr(1 * loss) for loss in losses}) == len(losses)
    assert "0.5*FeatureConsistency(small@" in repr(objective)
    assert [term.name for term in (losses[0] + losses[1]).terms] == ["Perceptual", "Perceptual_2"]


# -------------------------------------------------------------------------------------------------- bad input


def test_a_layer_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(fi.BadInput, match=r"Perceptual: .*'layr1'.*top-level: x, stem, stages.*by resolution: "):
        Perceptual(encoder(), ["stem", "layr1"])
    for layers in ([], "stem", ["stem", "stem"]):
        with pytest.raises(fi.BadInput, match="one or more different layers"):
            Perceptual(encoder(), layers)
    flat = fi.encoders.wrap(lambda x: x.mean((2, 3)), name="flat", family="none", input_size=8)
    with pytest.raises(fi.BadInput, match="encoder with maps to compare"):
        Perceptual(flat)


@pytest.mark.parametrize("weights", [[1.0], [1, -0.1], [1, float("nan")], [1, float("inf")], [1, 1, 1], [True, 1]])
def test_weights_that_are_no_weights_are_refused(weights):
    with pytest.raises(fi.BadInput, match="weight of at least 0 for each of the 2 layers"):
        Perceptual(encoder(), ["stem", "stages"], weights)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"views": -1}, "views"),
        ({"shift": -2}, "shift"),
        ({"colour": -0.1}, "colour"),
        ({"noise": float("nan")}, "noise"),
        ({"noise": 2}, "noise"),
        ({"views": True}, "views"),
    ],
)
def test_strengths_that_are_none_are_refused(settings, word):
    with pytest.raises(fi.BadInput, match=f"expected {word} to be"):
        FeatureConsistency(encoder(), **settings)


@pytest.mark.parametrize("kind", [Perceptual, FeatureConsistency])
def test_only_an_encoder_will_do(kind):
    for wrong in (fi.Victim(encoder()), fi.encoders.judge("scenes-vgg"), nn.Identity()):
        with pytest.raises(fi.BadInput, match=r"expected an encoder, got .*victim\.encoder"):
            kind(wrong)
    with pytest.raises(fi.BadInput, match=r"pixels in \[0, 1\]"):
        make(encoder(), kind)(2 * some_images() - 1, some_images())
