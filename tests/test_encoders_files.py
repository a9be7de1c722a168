"""Weights from files, torch's cache and the network; judges on disk; and what a bad one gets."""

import json
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import featinv as fi
from featinv.encoders.networks import CifarResNet, SmallVGG

SMALLEST = "squeezenet1_1"


class Evil:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was executed",))


@pytest.fixture
def cifar_file(tmp_path: Path) -> Path:
    """A random ResNet-8 as the published files are: no num_batches_tracked."""
    torch.manual_seed(0)
    state = {k: v for k, v in CifarResNet(8).state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "resnet8.safetensors")
    return tmp_path / "resnet8.safetensors"


@pytest.fixture
def small_judge() -> "fi.encoders.Judge":
    torch.manual_seed(0)
    return fi.encoders.Judge(
        SmallVGG({"label": 3, "hue": 4}, widths=(4, 6), convolutions=(1, 1)),
        name="small",
        family="vgg",
        trained_on="nothing",
        classes=("a", "b", "c"),
        input_size=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )


# ------------------------------------------------------------------------------------------------ CIFAR ResNets


def test_a_cifar_resnet_is_read_from_a_file(cifar_file: Path) -> None:
    encoder = fi.encoders.cifar_resnet(cifar_file, depth=8)
    assert (encoder.name, encoder.family, encoder.trained_on) == ("cifar-resnet8/avgpool", "resnet", "CIFAR-10")
    assert (encoder.feature_shape, encoder.image_size) == ((64,), 32)
    again = fi.encoders.cifar_resnet(cifar_file, depth=8)
    assert encoder.fingerprint == again.fingerprint
    network = CifarResNet(8)
    network.load_state_dict(load_file(cifar_file), strict=False)
    images = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network.eval()((images - mean[:, None, None]) / std[:, None, None])
    logits = fi.encoders.cifar_judge(cifar_file, depth=8)(images)[1]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fi.encoders.cifar_judge(cifar_file, depth=8)(images)[0], encoder(images))


def test_weights_of_another_depth_are_refused_by_name(cifar_file: Path) -> None:
    with pytest.raises(
        fi.BadInput, match=r"resnet8\.safetensors: expected the weights of CifarResNet.*missing.*same depth"
    ):
        fi.encoders.cifar_resnet(cifar_file, depth=14)


def test_weights_of_another_shape_or_not_finite_are_refused(cifar_file: Path, tmp_path: Path) -> None:
    state = load_file(cifar_file)
    save_file(state | {"linear.weight": torch.zeros(11, 64)}, tmp_path / "wide.safetensors")
    with pytest.raises(
        fi.BadInput, match=r"wide\.safetensors: expected linear.weight of shape \(10, 64\), got \(11, 64\)"
    ):
        fi.encoders.cifar_resnet(tmp_path / "wide.safetensors", depth=8)
    save_file(state | {"linear.bias": torch.full((10,), torch.nan)}, tmp_path / "nan.safetensors")
    with pytest.raises(fi.BadInput, match=r"nan\.safetensors: expected finite weights.*linear\.bias"):
        fi.encoders.cifar_resnet(tmp_path / "nan.safetensors", depth=8)


def test_a_missing_truncated_or_pickled_file_is_refused_by_name(cifar_file: Path, tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput, match=r"gone\.safetensors: expected a file of weights, found nothing there"):
        fi.encoders.cifar_resnet(tmp_path / "gone.safetensors")
    with pytest.raises(fi.BadInput, match="found a folder"):
        fi.encoders.cifar_resnet(tmp_path)
    whole = cifar_file.read_bytes()
    pickled = pickle.dumps(Evil())
    for name, content in (("cut", whole[: len(whole) // 2]), ("stub", whole[:5]), ("pickle", pickled), ("empty", b"")):
        bad = tmp_path / f"{name}.safetensors"
        bad.write_bytes(content)
        with pytest.raises(fi.BadInput, match=rf"{name}\.safetensors: expected"):
            fi.encoders.cifar_resnet(bad, depth=8)


# ------------------------------------------------------------------------------------------------ torchvision


def small_torchvision(**settings) -> "fi.encoders.Encoder":
    return fi.encoders.torchvision(SMALLEST, input_size=64, **{"layer": "features.3", **settings})


def test_a_torchvision_network_with_random_weights_is_reproducible() -> None:
    first = small_torchvision()
    assert first.feature_shape == (128, 15, 15)
    assert (first.name, first.family, first.trained_on) == (f"{SMALLEST}/features.3", "squeezenet", "nothing")
    assert first.fingerprint == small_torchvision().fingerprint
    assert first.fingerprint != small_torchvision(seed=1).fingerprint


def test_published_weights_come_from_the_cache_and_equal_the_hand_made_pipeline(tmp_path, monkeypatch) -> None:
    from torchvision import models

    torch.manual_seed(0)
    reference = models.get_model(SMALLEST, weights=None).eval()
    entry = models.get_model_weights(SMALLEST)["IMAGENET1K_V1"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(reference.state_dict(), cache / Path(entry.url).name)
    encoder = fi.encoders.torchvision(SMALLEST, layer="classifier", weights="IMAGENET1K_V1", input_size=64)
    assert encoder.trained_on == "ImageNet-1k"
    images = torch.rand(2, 3, 64, 64)
    # torchvision's own preset: at 64 px it neither resizes nor crops, and normalises.
    expected = reference(entry.transforms(crop_size=64, resize_size=64)(images))
    torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [SMALLEST, "efficientnet_b0"])
def test_published_weights_see_a_photograph_as_their_own_transforms_do(name: str, monkeypatch) -> None:
    """256 and 224 px, bilinear and bicubic; of a file that is no square."""
    from torchvision import models

    random = models.get_model(name, weights=None).state_dict()
    monkeypatch.setattr("featinv.encoders.torchvision_models._published", lambda entry: random)
    entry = models.get_model_weights(name)["IMAGENET1K_V1"]
    encoder = fi.encoders.torchvision(name, weights=entry.name, layer="features.0")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    photograph = Image.fromarray(pixels).resize((410, 299), Image.Resampling.BICUBIC)
    seen = torch.from_numpy(np.array(encoder.resize_crop.of_image(photograph))).permute(2, 0, 1)[None] / 255
    network = models.get_model(name, weights=None).eval()
    network.load_state_dict(random)
    expected = network.features[0](entry.transforms()(photograph)[None])
    torch.testing.assert_close(encoder.of_cropped(seen), expected, rtol=1e-4, atol=1e-5)
    stretched = fi.encoders.torchvision(name, weights=entry.name, layer="features.0", input_size=64)
    assert stretched.resize_crop == fi.ResizeCrop(64)


def test_weights_that_cannot_be_had_are_an_error_that_says_all_three_ways(tmp_path, monkeypatch) -> None:
    def offline(*_args: object, **_kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(fi.BadInput, match="no route to host") as error:
        small_torchvision(weights="IMAGENET1K_V1")
    message = str(error.value)
    assert "weights=PATH" in message
    assert str(tmp_path / "hub" / "checkpoints" / "squeezenet1_1-") in message
    assert "network" in message
    assert "https://download.pytorch.org" in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_from_a_file_also_of_a_fine_tuned_network(tmp_path: Path, suffix: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    reference = models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=7).eval()
    file = tmp_path / f"fine{suffix}"
    state = reference.state_dict()
    save_file(state, file) if suffix == ".safetensors" else torch.save({"state_dict": state}, file)
    encoder = fi.encoders.torchvision("shufflenet_v2_x0_5", layer="fc", weights=file, input_size=32)
    assert encoder.feature_shape == (7,)
    assert encoder.trained_on == f"unknown (fine{suffix})"
    named = fi.encoders.torchvision(
        "shufflenet_v2_x0_5", layer="fc", weights=str(file), input_size=32, trained_on="birds"
    )
    assert (named.trained_on, named.fingerprint) == ("birds", encoder.fingerprint)


def test_a_torch_file_with_a_pickle_in_it_is_refused_and_not_executed(tmp_path: Path) -> None:
    file = tmp_path / "evil.pt"
    torch.save({"features.0.weight": Evil()}, file)
    with pytest.raises(fi.BadInput, match=r"evil\.pt: expected plain tensors"):
        small_torchvision(weights=file)
    file.write_bytes(b"nonsense")
    with pytest.raises(fi.BadInput, match=r"evil\.pt: expected plain tensors"):
        small_torchvision(weights=file)
    torch.save([torch.zeros(1)], file)
    with pytest.raises(fi.BadInput, match=r"evil\.pt: expected a state dict .*got list"):
        small_torchvision(weights=file)


def test_wrong_names_say_which_exist() -> None:
    with pytest.raises(fi.BadInput, match=r"model of torchvision, got 'resnet19'; nearest: .*resnet18"):
        fi.encoders.torchvision("resnet19")
    with pytest.raises(fi.BadInput, match="IMAGENET1K_V1, DEFAULT for squeezenet1_1, got 'IMAGENET'"):
        small_torchvision(weights="IMAGENET")
    with pytest.raises(fi.BadInput, match=r"gone\.pth: expected a file of weights, found nothing"):
        small_torchvision(weights="gone.pth")
    with pytest.raises(fi.BadInput, match=r"layer: expected a layer of SqueezeNet, got .*nearest: features"):
        small_torchvision(layer="feature")


# ------------------------------------------------------------------------------------------------ judges


def test_a_judge_gives_features_and_the_logits_of_its_classes(small_judge) -> None:
    images = torch.rand(3, 3, 24, 24)
    features, logits = small_judge(images)
    assert features.shape == (3, 6)
    assert logits.shape == (3, 3)
    every_head = fi.encoders.wrap(
        small_judge.network, name="all", family="vgg", input_size=16, mean=(0.5,) * 3, std=(0.25,) * 3
    )(images)
    torch.testing.assert_close(logits, every_head[:, :3])
    small_judge.train()
    assert not any(module.training for module in small_judge.modules())


@pytest.mark.parametrize("half", [False, True])
def test_a_saved_judge_is_the_same_judge(small_judge, tmp_path: Path, half: bool) -> None:
    file = tmp_path / "small.safetensors"
    fi.encoders.save_judge(small_judge, file, half=half)
    again = fi.encoders.judge(file)
    for name in ("name", "family", "trained_on", "classes", "image_size"):
        assert getattr(again, name) == getattr(small_judge, name)
    images = torch.rand(3, 3, 16, 16)
    for mine, theirs in zip(again(images), small_judge(images), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-3 if half else 0)
    assert (again.fingerprint == small_judge.fingerprint) is not half
    assert fi.encoders.judge(str(file)).fingerprint == again.fingerprint


def test_a_judge_is_saved_by_name_only_and_over_nothing_half_written(small_judge, tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput, match=r"judge\.pt: expected a name that ends in \.safetensors"):
        fi.encoders.save_judge(small_judge, tmp_path / "judge.pt")
    foreign = torch.nn.Sequential()
    foreign.avgpool, foreign.linear = torch.nn.Flatten(), torch.nn.Linear(48, 3)
    judge = fi.encoders.Judge(
        foreign, name="f", family="mlp", trained_on="nothing", classes=("a", "b", "c"), input_size=4
    )
    with pytest.raises(
        fi.BadInput,
        match=r"expected one of CifarResNet, CutCopy, SmallConvNeXt, .*SmallVGG, SmallViT to save, got Sequential",
    ):
        fi.encoders.save_judge(judge, tmp_path / "f.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_judge_needs_a_column_for_each_class(small_judge) -> None:
    with pytest.raises(fi.BadInput, match="classes: expected 2 to 7 names, as linear of x has, got 8"):
        fi.encoders.Judge(
            small_judge.network, name="x", family="vgg", trained_on="", classes=list("abcdefgh"), input_size=16
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "expected a judge of schema 1, got 2"),
        ({"schema": None}, "expected schema in its metadata, got None"),
        (
            {"network": "Evil"},
            "expected one of the networks CifarResNet, CutCopy, SmallConvNeXt, SmallMixer, SmallResNet, SmallVGG, "
            "SmallViT, got 'Evil'",
        ),
        ({"args": {"widths": [4, 6]}}, "expected arguments of SmallVGG"),
        ({"args": {"heads": 3, "widths": [4, "x"]}}, "expected arguments of SmallVGG"),
        ({"args": {"heads": 3, "widths": [4, 8], "convolutions": [1, 1]}}, r"linear\.bias of shape \(3,\), got \(7,\)"),
        ({"args": {"heads": 3, "widths": [10**7, 10**7], "convolutions": [1, 1]}}, "expected linear"),
        ({"classes": [1, 2, 3]}, "expected class names"),
        ({"mean": ["x", 0, 0]}, "expected numbers as mean and std"),
        ({"input_size": "large"}, "expected input_size in its metadata, got 'large'"),
    ],
)
def test_a_judge_file_of_another_kind_is_refused_by_name(small_judge, tmp_path, change: dict, message: str) -> None:
    file = tmp_path / "small.safetensors"
    fi.encoders.save_judge(small_judge, file)
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        metadata = json.loads(json.loads(opened.read(length))["__metadata__"]["featinv"])
    save_file(load_file(file), file, metadata={"featinv": json.dumps(metadata | change)})
    with pytest.raises(fi.BadInput, match=message) as error:
        fi.encoders.judge(file)
    assert str(file) in str(error.value)


def test_a_file_that_is_no_judge_is_refused(tmp_path: Path, cifar_file: Path) -> None:
    with pytest.raises(fi.BadInput, match="expected JSON under the metadata key 'featinv', got none"):
        fi.encoders.judge(cifar_file)
    with pytest.raises(fi.BadInput, match=r"expected .*or a \.safetensors file written by save_judge, got 'scene'"):
        fi.encoders.judge("scene")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(fi.BadInput, match=r"expected a complete \.safetensors file"):
        fi.encoders.judge(bad)
