"""Encoders: frozen, cut at a layer, differentiable, fingerprinted, and strict about what they are given."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featinv as fi
from featinv.encoders.networks import CifarResNet, SmallResNet, SmallVGG


def small_encoder(seed: int = 0, *, layer: str | None = "avgpool", input_size: int = 16) -> "fi.encoders.Encoder":
    torch.manual_seed(seed)
    network = SmallResNet(5, widths=(4, 6), blocks=(1, 1))
    return fi.encoders.wrap(
        network,
        name="small",
        family="resnet",
        input_size=input_size,
        layer=layer,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.4),
    )


class Branching(nn.Module):
    """torch.fx cannot trace it: its path depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.second = nn.Linear(4, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        if float(y.sum()) > 0:
            y = y * 2
        return self.second(y.mean((2, 3)))


# ------------------------------------------------------------------------------------------------ what it computes


def test_it_normalises_and_cuts_as_a_forward_hook_sees_it() -> None:
    encoder = small_encoder(layer="stages.1.relu1")
    images = torch.rand(3, 3, 16, 16)
    seen: list[torch.Tensor] = []
    handle = encoder.network.stages[1].relu1.register_forward_hook(lambda _m, _i, output: seen.append(output))
    mean, std = torch.tensor((0.5, 0.4, 0.3))[:, None, None], torch.tensor((0.2, 0.3, 0.4))[:, None, None]
    encoder.network((images - mean) / std)
    handle.remove()
    torch.testing.assert_close(encoder(images), seen[0], rtol=0, atol=1e-6)
    assert encoder.feature_shape == (6, 8, 8)


def test_other_sizes_are_stretched_antialiased_and_equal_sizes_are_left_alone() -> None:
    identity = fi.encoders.wrap(nn.Identity(), name="identity", family="none", input_size=8)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(identity(images), images)
    large = torch.rand(2, 3, 40, 24)
    expected = F.interpolate(large, size=(8, 8), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(identity(large), expected)
    # A checkerboard of single pixels is grey when antialiased, and not when sampled.
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 3, 64, 64)
    torch.testing.assert_close(identity(checkerboard)[..., 1:-1, 1:-1], torch.full((1, 3, 6, 6), 0.5))


def test_pooled_outputs_lose_their_pixel_axes_and_maps_keep_them() -> None:
    assert small_encoder(layer="avgpool").feature_shape == (6,)
    assert small_encoder(layer="stages").feature_shape == (6, 8, 8)
    assert small_encoder(layer=None).feature_shape == (5,)


def test_tokens_are_flattened_without_loss() -> None:
    encoder = fi.encoders.wrap(lambda x: x.flatten(2).mT, name="tokens", family="none", input_size=4)
    images = torch.rand(2, 3, 4, 4)
    assert encoder.feature_shape == (48,)
    assert torch.equal(encoder(images).reshape(2, 16, 3).mT.reshape(2, 3, 4, 4), images)


def test_taps_give_several_layers_in_one_pass_also_beyond_the_cut() -> None:
    encoder = small_encoder(layer="stem")
    images = torch.rand(2, 3, 16, 16)
    taps = encoder.taps(images, ["stem", "linear", "stages.0"])
    assert list(taps) == ["stem", "linear", "stages.0"]
    torch.testing.assert_close(taps["stem"], encoder(images))
    torch.testing.assert_close(taps["linear"], small_encoder(layer="linear")(images))
    torch.testing.assert_close(encoder.taps(images, ["stem"])["stem"], encoder(images))


def test_layers_lists_names_that_can_be_cut_at() -> None:
    encoder = small_encoder()
    assert {"stem", "stages.1.conv2", "avgpool", "linear"} <= set(encoder.layers)
    for name in encoder.layers:
        small_encoder(layer=name)


def test_a_network_that_cannot_be_traced_is_cut_at_its_modules() -> None:
    torch.manual_seed(0)
    network = Branching()
    encoder = fi.encoders.wrap(network, name="branching", family="custom", input_size=9, layer="first")
    images = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(encoder(images), network.first(images))
    assert encoder.layers == ["first", "second"]
    with pytest.raises(fi.BadInput, match="top-level: first, second"):
        fi.encoders.wrap(network, name="branching", family="custom", input_size=9, layer="third")


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_features_do_not_depend_on_batch_mates(batch_size: int) -> None:
    encoder = small_encoder()
    images = torch.rand(7, 3, 16, 16)
    together = encoder(images)
    apart = torch.cat([encoder(part) for part in images.split(batch_size)])
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------- frozen, differentiable


@pytest.mark.parametrize("size", [16, 23])
def test_gradients_reach_the_pixels_and_equal_finite_differences(size: int) -> None:
    encoder = small_encoder(layer="stages.0.bn2", input_size=16).double()
    images = (0.25 + 0.5 * torch.rand(1, 3, size, size, dtype=torch.float64)).requires_grad_()
    direction = torch.randn(1, 3, size, size, dtype=torch.float64)
    direction /= direction.norm()
    weights = torch.randn(encoder.feature_shape)
    (gradient,) = torch.autograd.grad((encoder(images) * weights).sum(), images)
    # Features are float32, so a central difference is exact to about 1e-3 here.
    step = 1e-3
    high = (encoder((images + step * direction).detach()).double() * weights).sum()
    low = (encoder((images - step * direction).detach()).double() * weights).sum()
    torch.testing.assert_close((gradient * direction).sum(), (high - low) / (2 * step), rtol=2e-2, atol=2e-2)


def test_a_deep_copy_stays_in_eval_mode() -> None:
    """torch.fx drops the mode of a graph that it copies; a victim may be copied into a process or a wrapper."""
    import copy

    encoder, images = small_encoder(), torch.rand(4, 3, 16, 16)
    before = encoder(images)
    twin = copy.deepcopy(encoder)
    assert not any(module.training for module in twin.modules())
    torch.testing.assert_close(twin(images), before, rtol=0, atol=0)
    assert twin.fingerprint == encoder.fingerprint


def test_train_mode_never_reaches_it_and_its_statistics_never_move() -> None:
    encoder = small_encoder()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    around = nn.Sequential(encoder).train()
    images = torch.rand(4, 3, 16, 16)
    first = around(images)
    assert not any(module.training for module in encoder.modules())
    assert torch.equal(around(images), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_building_one_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    noisy = fi.encoders.wrap(lambda x: x.mean((2, 3)) + torch.rand(3), name="noisy", family="none", input_size=4)
    assert noisy.feature_shape == (3,)
    assert torch.equal(torch.rand(4), expected)


def test_autocast_does_not_change_its_precision() -> None:
    encoder = small_encoder()
    images = torch.rand(2, 3, 16, 16)
    expected = encoder(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = encoder(images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, expected)


# ------------------------------------------------------------------------------------------------ fingerprints


def test_equal_weights_have_equal_fingerprints_and_one_changed_weight_another() -> None:
    first, same = small_encoder(seed=1), small_encoder(seed=1)
    assert first.fingerprint == same.fingerprint
    assert len(first.fingerprint) == 64
    network = small_encoder(seed=1).network
    with torch.no_grad():
        network.linear.bias[2] += 1e-6
    changed = fi.encoders.wrap(network, name="small", family="resnet", input_size=16, layer="avgpool")
    plain = fi.encoders.wrap(
        small_encoder(seed=1).network, name="small", family="resnet", input_size=16, layer="avgpool"
    )
    assert len({first.fingerprint, changed.fingerprint, plain.fingerprint}) == 3


def test_layer_input_size_and_statistics_count_in_the_fingerprint() -> None:
    prints = {
        small_encoder().fingerprint,
        small_encoder(layer="stem").fingerprint,
        small_encoder(input_size=32).fingerprint,
        small_encoder(seed=2).fingerprint,
    }
    assert len(prints) == 4


def test_a_callable_without_weights_is_known_by_its_outputs() -> None:
    def build(power: float) -> str:
        return fi.encoders.wrap(
            lambda x: (x**power).mean((2, 3)), name="power", family="none", input_size=8
        ).fingerprint

    assert build(2.0) == build(2.0)
    assert build(2.0) == build(2.0 + 1e-7)
    assert build(2.0) != build(2.1)


def test_a_given_fingerprint_is_kept() -> None:
    given = fi.encoders.wrap(torch.sigmoid, name="s", family="none", input_size=8, fingerprint="abc")
    assert given.fingerprint == "abc"


def test_the_fingerprint_of_the_weights_does_not_ask_where_a_network_is_cut_or_what_it_is_fed() -> None:
    one = small_encoder(seed=1)
    judge = fi.encoders.Judge(
        small_encoder(seed=1).network,
        name="judge",
        family="resnet",
        trained_on="",
        classes=["a", "b"],
        input_size=32,
    )
    inside = fi.encoders.wrap(
        nn.Sequential(small_encoder(seed=1).network), name="inside", family="resnet", input_size=16
    )
    same = [small_encoder(seed=1, layer="stem"), small_encoder(seed=1, input_size=32), judge, inside]
    assert {other.weights_fingerprint for other in same} == {one.weights_fingerprint}
    assert len({other.fingerprint for other in [one, *same]}) == 5
    assert len(one.weights_fingerprint) == 64
    assert small_encoder(seed=2).weights_fingerprint != one.weights_fingerprint


def test_the_fingerprint_of_the_weights_ignores_batches_counted_but_no_other_number() -> None:
    networks = [small_encoder(seed=1).network for _ in range(3)]
    for name, tensor in networks[1].state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor += 7
    with torch.no_grad():
        networks[2].state_dict()["linear.bias"][2] += 1e-6
    first, counted, changed = (
        fi.encoders.wrap(network, name="n", family="resnet", input_size=16).weights_fingerprint for network in networks
    )
    assert first == counted != changed


def test_a_network_without_weights_has_one_fingerprint() -> None:
    one, other = (
        fi.encoders.wrap(lambda x, p=p: (x**p).mean((2, 3)), name="n", family="n", input_size=8) for p in (2, 3)
    )
    assert one.weights_fingerprint == one.fingerprint != other.weights_fingerprint


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 16, 16), 1.5), r"expected pixels in \[0, 1\], got 1.5 to 1.5"),
        (torch.full((1, 3, 16, 16), -0.5), r"got -0.5 to -0.5"),
        (torch.full((1, 3, 16, 16), torch.nan), "got nan to nan"),
        (torch.zeros(1, 1, 16, 16), r"expected float images \(B, 3, H, W\), got torch.float32 \(1, 1, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(0, 3, 16, 16), r"\(0, 3, 16, 16\)"),
    ],
)
def test_wrong_images_are_refused(images: torch.Tensor, message: str) -> None:
    from featinv.encoders.frozen import check_images

    with pytest.raises(fi.BadInput, match=message):
        check_images(images, name="small")


def test_an_encoder_checks_its_images() -> None:
    with pytest.raises(fi.BadInput, match=r"small: expected pixels in \[0, 1\]"):
        small_encoder()(torch.full((1, 3, 16, 16), 2.0))


def test_an_unknown_layer_names_the_nearest_and_the_top_level_ones() -> None:
    with pytest.raises(
        fi.BadInput, match=r"got 'avgpol'; nearest: avgpool.*top-level: .*stem, stages, avgpool"
    ) as error:
        small_encoder(layer="avgpol")
    assert "\n" not in str(error.value)


def test_outputs_that_are_no_features_are_refused() -> None:
    with pytest.raises(fi.BadInput, match="expected one floating-point tensor"):
        fi.encoders.wrap(lambda x: (x, x), name="two", family="none", input_size=8)
    with pytest.raises(fi.BadInput, match=r"got torch.int64 of shape \(2,\)"):
        fi.encoders.wrap(lambda x: x.flatten(1).argmax(1), name="classes", family="none", input_size=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": 0}, "input_size: expected 1 to 4096"),
        ({"std": (1, 0, 1)}, "std above 0"),
        ({"mean": (1, 1)}, "three"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    settings = {"name": "x", "family": "none", "input_size": 8, **change}
    with pytest.raises(fi.BadInput, match=message):
        fi.encoders.wrap(nn.Identity(), **settings)


def test_wrap_refuses_what_cannot_be_called_or_cut() -> None:
    with pytest.raises(fi.BadInput, match="layer: expected None for a plain callable, got 'a'"):
        fi.encoders.wrap(torch.sigmoid, name="s", family="none", input_size=8, layer="a")


@pytest.mark.parametrize("depth", [0, 7, 21, 1208])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(fi.BadInput, match=rf"depth: expected 6n\+2 .*got {depth}"):
        CifarResNet(depth)


def test_networks_refuse_stages_and_heads_that_do_not_fit() -> None:
    with pytest.raises(fi.BadInput, match="blocks: expected"):
        SmallResNet(5, widths=(4, 6), blocks=(1,))
    with pytest.raises(fi.BadInput, match="convolutions: expected"):
        SmallVGG(5, widths=(4, 6), convolutions=(1, 0))
    with pytest.raises(fi.BadInput, match="heads: expected"):
        SmallVGG(1)


class _Unsteady(nn.Module):
    """An encoder that is no function of the image, in the way that its `fault` names."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.name, self.family, self.fingerprint = fault, "unsteady", "f", "f"
        self.feature_shape, self.image_size = (3,), 32

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        match self.fault:
            case "dropout":
                return nn.functional.dropout(means, 0.5, training=True)
            case "batch statistics":
                return means - means.mean(0)
            case "train mode":
                return 2 * means if self.training else means
            case "random crop":
                row = int(torch.randint(0, 16, ()))
                return images[:, :, row : row + 8].mean((2, 3))
        return means


@pytest.mark.parametrize("fault", ["dropout", "batch statistics", "train mode", "random crop"])
def test_an_encoder_that_is_no_function_of_the_image_is_refused_before_extraction(fault: str) -> None:
    images = fi.data.scenes(6, size=32)
    encoder = _Unsteady(fault).eval()
    torch.manual_seed(1)
    with pytest.raises(fi.BadInput, match=r"unsteady: gives .*must be a function of the image"):
        fi.encoders.check_function(encoder, images.batch(range(4)))
    assert not encoder.training
    steady = _Unsteady("none").train()
    fi.encoders.check_function(steady, images.batch(range(4)))
    assert steady.training


def test_extraction_refuses_batch_statistics() -> None:
    """A callable whose features depend on batch mates: nothing is encoded."""
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x.flatten(1)[:, :5] - x.flatten(1)[:, :5].mean(0)

    encoder = fi.encoders.wrap(network, name="wrapped", family="f", input_size=32)
    images, before = fi.data.scenes(40, size=32), len(seen)
    with pytest.raises(fi.BadInput, match="wrapped: gives an image other features alone than in a batch"):
        fi.extract(fi.Victim(encoder), images)
    assert max(seen[before:]) == 3
