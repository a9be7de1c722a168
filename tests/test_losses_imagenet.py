"""LPIPS and VGG features with random weights in the files that torchvision's have, against torchmetrics and by hand."""

from pathlib import Path

import pytest
import torch
from evaluation_parts import mean_image
from torch.nn import functional as F
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision import models

import featinv as fi
from featinv.losses import L1, LPIPS, VGGFeatures

FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
}
NETS = [
    pytest.param("squeeze", "squeezenet1_1"),
    pytest.param("alex", "alexnet", marks=pytest.mark.slow),
    pytest.param("vgg", "vgg16", marks=pytest.mark.slow),
]


def write(name: str, file: Path) -> None:
    """Write random weights as torchvision publishes them; those behind the convolutions are one number, repeated."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in models.get_model(name, weights=None).state_dict().items()}
    draw = torch.Generator().manual_seed(1)
    state = {}
    for key, shape in shapes.items():
        fan = torch.Size(shape[1:]).numel()
        if not key.startswith("features"):
            state[key] = torch.full((1,), 0.01).expand(shape)
        elif key.endswith("weight"):
            state[key] = torch.randn(shape, generator=draw) * (2 / fan) ** 0.5
        else:
            state[key] = 0.1 * torch.randn(shape, generator=draw)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("torch")
    for name, file in FILES.items():
        write(name, home / "hub" / "checkpoints" / file)
    return home


@pytest.fixture
def cache(full, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(full))
    return full / "hub" / "checkpoints"


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(*_args, **_kwargs):
        raise AssertionError("the network was tried")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    return tmp_path / "hub" / "checkpoints"


def pair(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    original = F.interpolate(torch.rand(2, 3, 8, 8, generator=draw), (size, size), mode="bilinear")
    return (original + 0.1 * torch.randn(original.shape, generator=draw)).clamp(0, 1), original


@pytest.mark.parametrize(("net", "name"), NETS)
def test_lpips_is_torchmetrics_own_with_the_same_weights(cache, net, name):
    theirs = LearnedPerceptualImagePatchSimilarity(net_type=net).net
    ours = LPIPS(net)
    for size in (64, 70):
        made, original = (images.requires_grad_() for images in pair(size))
        expected, values = theirs(made, original, normalize=True).flatten(), ours(made, original)
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6)
        wanted = torch.autograd.grad(expected.sum(), made)[0]
        torch.testing.assert_close(torch.autograd.grad(values.sum(), made)[0], wanted, rtol=1e-3, atol=1e-5)
    made, original = pair(32)
    larger = [F.interpolate(images, (64, 64), mode="bilinear") for images in (made, original)]
    torch.testing.assert_close(ours(made, original), theirs(*larger, normalize=True).flatten(), rtol=1e-4, atol=1e-6)
    whole = fi.encoders.torchvision(name, layer="features", weights="IMAGENET1K_V1", input_size=64)
    assert whole.weights_fingerprint in (L1() + ours).fingerprints
    assert repr(ours) == f"LPIPS({net}@{whole.weights_fingerprint[:8]})"


@pytest.mark.slow
@pytest.mark.parametrize(("net", "metric", "other"), [("alex", "lpips", "dists"), ("vgg", "dists", "lpips")])
def test_an_attack_that_was_loaded_is_not_judged_by_the_network_of_its_loss(cache, net, metric, other):
    """All that it has left of its loss are the fingerprints in `excluded_judges`."""
    from featinv.evaluation.extras import _trained_with

    loaded = mean_image()
    loaded.excluded_judges = (L1() + 0.5 * LPIPS(net)).fingerprints
    assert _trained_with(loaded, metric)
    assert not _trained_with(loaded, other)
    loaded.excluded_judges = frozenset({"the fingerprint of another network"})
    assert not _trained_with(loaded, metric)


def test_lpips_obeys_the_contract_and_reads_a_file(cache):
    ours = LPIPS("squeeze")
    fi.testing.check_loss(ours)
    again = LPIPS("squeeze", weights=cache / FILES["squeezenet1_1"])
    torch.testing.assert_close(again(*pair()), ours(*pair()), rtol=0, atol=0)
    assert again.fingerprints == ours.fingerprints
    expected = ours(pair()[0].bfloat16().float(), pair()[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = ours(pair()[0].bfloat16(), pair()[1])
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected)
    ours.to("meta")
    assert {head.device.type for head in ours._heads.values()} == {"meta"}


@pytest.mark.slow
@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_vgg_features_are_mean_squares_of_torchvision_s_own_maps(cache, network):
    layers = {"vgg16": {"relu2_1": 6, "relu3_3": 15, "conv4_1": 17}, "vgg19": {"relu3_4": 17, "relu5_4": 35}}[network]
    shares = [0.5, 2, 1][: len(layers)]
    ours = VGGFeatures(list(layers), network=network, shares=shares)
    full = models.get_model(network, weights=None)
    full.load_state_dict(torch.load(cache / FILES[network], weights_only=True))
    made, original = pair()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    expected = torch.zeros(2)
    with torch.no_grad():
        for share, place in zip(shares, layers.values(), strict=True):
            a, b = (full.features[: place + 1]((images - mean) / std) for images in (made, original))
            expected += share * (a - b).square().flatten(1).mean(1)
    torch.testing.assert_close(ours(made, original), expected, rtol=1e-4, atol=1e-6)
    fi.testing.check_loss(VGGFeatures(["relu1_2", "relu2_2"], network=network))
    assert repr(VGGFeatures(["relu1_2"], network=network)) == f"VGGFeatures({network}@{ours.whole[:8]}, 1*relu1_2)"
    judge = fi.encoders.torchvision(network, layer="features.5", weights=cache / FILES[network], input_size=32)
    assert judge.weights_fingerprint in ours.fingerprints
    with pytest.raises(fi.BadInput, match=r"no layer 'relu2_3' in .*conv1_1, relu1_1, conv1_2"):
        VGGFeatures(["relu2_3"], network=network)
    with pytest.raises(fi.BadInput, match="for each of the 1 layers"):
        VGGFeatures(["relu1_1"], network=network, shares=[-1])


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (LPIPS, FILES["vgg16"]),
        (lambda: LPIPS("alex"), FILES["alexnet"]),
        (VGGFeatures, FILES["vgg16"]),
        (lambda: VGGFeatures(network="vgg19"), FILES["vgg19"]),
    ],
)
def test_missing_weights_are_said_at_once_with_the_three_ways_to_get_them(empty, make, file):
    with pytest.raises(fi.BadInput) as refusal:
        make()
    words = str(refusal.value)
    assert "\n" not in words
    for part in ("download=True", str(empty / file), f"https://download.pytorch.org/models/{file}", "weights=PATH"):
        assert part in words
    assert "Perceptual(victim.encoder) needs none" in words


def test_a_file_that_is_not_there_or_of_another_network_is_refused(empty, full):
    with pytest.raises(fi.BadInput, match="are not at nowhere.pth; three ways"):
        LPIPS("squeeze", weights="nowhere.pth", download=True)
    with pytest.raises(fi.BadInput, match="expected the weights of SqueezeNet"):
        LPIPS("squeeze", weights=full / "hub" / "checkpoints" / FILES["alexnet"])


def test_another_network_is_refused():
    with pytest.raises(fi.BadInput, match="alex, vgg, squeeze"):
        LPIPS("resnet")
    with pytest.raises(fi.BadInput, match="vgg16 or vgg19"):
        VGGFeatures(network="vgg11")
