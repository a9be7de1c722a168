"""Our networks against independent evaluations: section 4.2 of arXiv:1512.03385 written out, and a plain VGG."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import featinv as fi
from featinv.encoders.networks import CifarResNet, SmallMixer, SmallResNet, SmallVGG


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """Random batch-norm statistics, so that a forgotten or swapped one shows."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif "bn" in name and tensor.is_floating_point():
                tensor.uniform_(0.5, 1.2)
    return network.eval()


def normalised(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


def published_resnet(x: Tensor, state: dict[str, Tensor], depth: int) -> Tensor:
    x = normalised(F.conv2d(x, state["conv1.weight"], padding=1), state, "bn1").relu()
    for stage, width in ((1, 16), (2, 32), (3, 64)):
        for block in range((depth - 2) // 6):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = normalised(y, state, f"{name}.bn1").relu()
            y = normalised(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), state, f"{name}.bn2")
            shortcut = torch.zeros_like(y)
            before = (width - x.shape[1]) // 2
            shortcut[:, before : before + x.shape[1]] = x[:, :, ::stride, ::stride]
            x = (y + shortcut).relu()
    return x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]


@pytest.mark.parametrize("depth", [8, 20])
def test_the_cifar_resnet_equals_the_published_one(depth: int) -> None:
    network = shaken(CifarResNet(depth))
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(network(x), published_resnet(x, network.state_dict(), depth), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_the_cifar_resnets_have_the_parameters_of_table_6(depth: int, millions: float) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in CifarResNet(depth).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if depth == 110 else 0.006)


def test_the_vgg_is_convolutions_pools_and_one_linear_layer() -> None:
    network = shaken(SmallVGG({"label": 4, "hue": 3}, widths=(5, 7), convolutions=(2, 1)))
    state = {name.replace("stages.", "s"): tensor for name, tensor in network.state_dict().items()}
    x = images = torch.randn(2, 3, 12, 12)
    for convolution, norm, pool in (("s0", "s1", False), ("s3", "s4", True), ("s7", "s8", False)):
        x = normalised(F.conv2d(x, state[f"{convolution}.weight"], padding=1), state, norm).relu()
        x = F.max_pool2d(x, 2) if pool else x
    expected = x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
    assert network(images).shape == (2, 7)


def test_the_mixer_is_patches_then_places_and_channels_in_turn() -> None:
    network = shaken(SmallMixer({"label": 4, "hue": 3}, width=5, depth=2, kernel=3, patch=4))
    state = {name.replace("stages.", "s").replace("patches.", "p"): v for name, v in network.state_dict().items()}
    images = torch.randn(2, 3, 16, 16)
    # Every 4 x 4 patch becomes 5 numbers: a product of matrices.
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3)
    x = (patches @ state["p0.weight"].flatten(1).T + state["p0.bias"]).permute(0, 3, 1, 2)
    x = normalised(F.gelu(x), state, "p2")
    for start in (0, 6):
        # Places: each channel has a 3 x 3 filter of its own. Channels: one matrix for all places.
        filtered = [
            F.conv2d(
                x[:, c : c + 1], state[f"s{start}.weight"][c : c + 1], state[f"s{start}.bias"][c : c + 1], padding=1
            )
            for c in range(5)
        ]
        x = normalised(F.gelu(torch.cat(filtered, 1)), state, f"s{start + 2}")
        matrix = state[f"s{start + 3}.weight"].flatten(1)
        x = torch.einsum("oc,bchw->bohw", matrix, x) + state[f"s{start + 3}.bias"][:, None, None]
        x = normalised(F.gelu(x), state, f"s{start + 5}")
    expected = x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize("sizes", [{"width": 0}, {"depth": 0}, {"kernel": 4}, {"patch": 0}, {"patch": 64}])
def test_a_mixer_that_cannot_be_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(fi.BadInput, match="SmallMixer: expected width 1 to 8192"):
        SmallMixer(2, **sizes)


def test_no_network_of_ours_mixes_families() -> None:
    """A judge is of another family only if its network has no residual connection: no addition in its graph."""
    for judge in (SmallVGG(3, widths=(4,), convolutions=(1,)), SmallMixer(3, width=4, depth=2)):
        graph = torch.fx.symbolic_trace(judge).graph
        assert not [node for node in graph.nodes if "add" in node.name]
    residual = torch.fx.symbolic_trace(SmallResNet(3, widths=(4,), blocks=(1,))).graph
    assert [node for node in residual.nodes if "add" in node.name]


@pytest.mark.real
def test_the_real_weights_classify_cifar10_as_published(real_data) -> None:
    """91.73 % (ResNet-20) and 93.39 % (ResNet-56) on the whole test set; here 5,000 images, within 3.5 deviations."""
    from featinv.data import folder

    test = folder(real_data / "test", size=32)
    for depth, published in ((20, 0.9173), (56, 0.9339)):
        judge = fi.encoders.cifar_judge(real_data / f"cifar10_resnet{depth}.safetensors", depth=depth)
        accuracy = fi.training.label_accuracy(judge, test)
        deviation = (published * (1 - published) / len(test)) ** 0.5
        assert abs(accuracy - published) < 3.5 * deviation, (depth, accuracy)
