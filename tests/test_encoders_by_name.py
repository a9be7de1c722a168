"""timm, open_clip and transformers: held against each library's own preprocessing and output, on tiny models."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import featinv as fi
from featinv.encoders.image_processors import read_processing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what other libraries warn of while they are imported
    import open_clip
    import timm
    import transformers

Encoder = fi.encoders.Encoder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def photograph(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth photograph: cubic filters do not overshoot, and what is cropped matters."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


PHOTOGRAPHS = [photograph(230, 310), photograph(310, 231, 1), photograph(200, 200, 2), photograph(60, 64, 3)]


def pixels_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def agrees(encoder: Encoder, preprocess: Callable[[Image.Image], Tensor], features: Callable[[Tensor], Tensor]) -> None:
    """The vectors of decoded files are the library's own to 1e-5 of the largest number; those of tensors nearly so."""
    for image in PHOTOGRAPHS:
        with torch.no_grad():
            expected = features(preprocess(image)[None])
        largest = float(expected.abs().max())
        assert largest > 0
        cropped = pixels_of(encoder.resize_crop.of_image(image))
        torch.testing.assert_close(encoder.of_cropped(cropped), expected, atol=1e-5 * max(1, largest), rtol=0)
        # Without rounding to 8 bits in between.
        torch.testing.assert_close(encoder(pixels_of(image)), expected, atol=0.02 * largest, rtol=0)


# ------------------------------------------------------------------------------------------------------------- timm


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_timm_is_its_own_transform_and_pooled_output(name: str) -> None:
    encoder = fi.encoders.timm(name, weights=None, seed=3)
    theirs = timm.create_model(name, num_classes=0).eval()
    theirs.load_state_dict(encoder.network.state_dict())
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs))
    agrees(encoder, transform, theirs)
    assert encoder.trained_on == "nothing"
    assert encoder.differentiable


def test_timm_reads_tokens_and_maps() -> None:
    theirs = timm.create_model("test_vit", num_classes=0).eval()
    file = dict(theirs.state_dict())
    expected = theirs.forward_features(torch.full((1, 3, 160, 160), 0.25))
    for readout, value in {
        "cls": expected[:, 0],
        "mean": expected[:, 1:].mean(1),
        "tokens": expected.flatten(1),
        "grid": expected[:, 1:].reshape(1, 10, 10, 64).permute(0, 3, 1, 2),
    }.items():
        encoder = fi.encoders.timm("test_vit", weights=None, readout=readout)  # type: ignore[arg-type]
        encoder.network.load_state_dict(file)
        gray = encoder.std.mul(0.25).add(encoder.mean).expand(1, 3, 160, 160)
        torch.testing.assert_close(encoder(gray), value.detach(), atol=1e-5, rtol=0)
        assert encoder.name == f"timm/test_vit/{readout}"
    maps = fi.encoders.timm("test_resnet", weights=None, readout="grid")
    assert maps.feature_shape == (96, 5, 5)
    assert fi.encoders.timm("test_resnet", weights=None, layer="layer2").feature_shape[1:] == (20, 20)
    assert fi.encoders.timm("test_resnet", weights=None, layer="fc").feature_shape == (1000,)


def test_timm_takes_a_file_with_or_without_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = timm.create_model("test_resnet", num_classes=7).eval()
    save_file(theirs.state_dict(), tmp_path / "all.safetensors")
    save_file({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}, tmp_path / "no.safetensors")
    images = torch.rand(2, 3, 160, 160)
    theirs.reset_classifier(0)
    for name in ("all", "no"):
        encoder = fi.encoders.timm("test_resnet", weights=tmp_path / f"{name}.safetensors")
        fed = (encoder.resize_crop.of_tensors(images) - encoder.mean) / encoder.std
        torch.testing.assert_close(encoder(images), theirs(fed).detach(), atol=1e-5, rtol=0)
        assert encoder.trained_on == f"unknown ({name}.safetensors)"


def test_losses_look_at_the_tokens_of_a_transformer_one_by_one() -> None:
    encoder = fi.encoders.timm("test_vit", weights=None)
    assert encoder.perceptual_layers == ["patch_embed.proj", "blocks.0", "blocks.2", "blocks.3", "blocks.5"]
    one, other = torch.rand(2, 2, 3, 160, 160, generator=torch.Generator().manual_seed(8))

    def tokens(images: Tensor) -> Tensor:
        network: Any = encoder.network
        hidden = network._pos_embed(network.patch_embed((images - encoder.mean) / encoder.std))
        hidden = network.blocks[2](network.blocks[1](network.blocks[0](network.norm_pre(hidden))))
        return torch.nn.functional.normalize(hidden, dim=-1)

    images = [encoder.resize_crop.of_tensors(side) for side in (one, other)]
    expected = (tokens(images[0]) - tokens(images[1])).square().sum(-1).mean(1)
    torch.testing.assert_close(fi.losses.Perceptual(encoder, ["blocks.2"])(one, other), expected, atol=1e-4, rtol=0)


# -------------------------------------------------------------------------------------------------------- open_clip


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny-clip-of-tests.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield "tiny-clip-of-tests"
    (folder / "tiny-clip-of-tests.json").unlink()


def test_open_clip_is_its_own_transform_and_encode_image(tiny_clip: str, tmp_path: Path) -> None:
    torch.manual_seed(6)
    theirs, _, preprocess = open_clip.create_model_and_transforms(tiny_clip)
    theirs.eval()
    save_file(dict(theirs.state_dict()), tmp_path / "all.safetensors")
    encoder = fi.encoders.open_clip(tiny_clip, pretrained=tmp_path / "all.safetensors")
    agrees(encoder, preprocess, theirs.encode_image)
    assert (encoder.family, encoder.feature_shape) == ("vit", (24,))
    tokens = fi.encoders.open_clip(tiny_clip, pretrained=tmp_path / "all.safetensors", readout="grid")
    assert tokens.feature_shape == (32, 4, 4)


def test_open_clip_wants_the_weights_named(tiny_clip: str) -> None:
    assert fi.encoders.open_clip(tiny_clip, pretrained=None).trained_on == "nothing"
    with pytest.raises(fi.BadInput, match="pretrained= one of openai, .* or null for random weights; got none"):
        fi.encoders.open_clip("ViT-B-32")
    with pytest.raises(fi.BadInput, match="got 'laion3b'"):
        fi.encoders.open_clip("ViT-B-32", pretrained="laion3b")


# ----------------------------------------------------------------------------------------------------- transformers


def vit() -> tuple[Any, Any]:
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    return transformers.ViTModel(config), {"size": {"height": 32, "width": 32}, "resample": 2}


def dinov2() -> tuple[Any, Any]:
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}, "resample": 3}
    return transformers.Dinov2Model(config), crop | {"do_center_crop": True}


def clip() -> tuple[Any, Any]:
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 60}
    text |= {"intermediate_size": 32, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision |= {"intermediate_size": 64}
    config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=24)
    crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 3}
    return transformers.CLIPModel(config), crop | {"do_center_crop": True}


def resnet() -> tuple[Any, Any]:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return transformers.ResNetModel(config), {"size": {"shortest_edge": 28}, "crop_pct": 0.875, "resample": 3}


PROCESSORS = {
    "vit": "ViTImageProcessorPil",
    "dinov2": "BitImageProcessorPil",
    "clip": "CLIPImageProcessorPil",
    "resnet": "ConvNextImageProcessorPil",
}


def saved(kind: str, folder: Path) -> tuple[Any, Any]:
    torch.manual_seed(7)
    model, settings = {"vit": vit, "dinov2": dinov2, "clip": clip, "resnet": resnet}[kind]()
    processor = getattr(transformers, PROCESSORS[kind])(**settings, image_mean=[0.5, 0.4, 0.3], image_std=[0.2] * 3)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def pooled(model: Any, pixels: Tensor) -> Tensor:
    if hasattr(model, "get_image_features"):
        output = model.get_image_features(pixel_values=pixels)
        return output if isinstance(output, Tensor) else output.pooler_output
    return model(pixel_values=pixels).pooler_output.flatten(1)


@pytest.mark.parametrize("kind", list(PROCESSORS))
def test_transformers_is_its_own_processor_and_pooled_output(kind: str, tmp_path: Path) -> None:
    model, processor = saved(kind, tmp_path)
    encoder = fi.encoders.transformers(str(tmp_path))
    agrees(encoder, lambda image: processor(image, return_tensors="pt")["pixel_values"][0], lambda x: pooled(model, x))
    assert encoder.family == ("resnet" if kind == "resnet" else "vit")
    assert str(tmp_path.parent) not in encoder.name


@pytest.mark.parametrize("readout", ["cls", "mean", "tokens", "grid"])
def test_transformers_reads_tokens(readout: str, tmp_path: Path) -> None:
    model, _ = saved("vit", tmp_path)
    encoder = fi.encoders.transformers(str(tmp_path), readout=readout)  # type: ignore[arg-type]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    hidden = model(pixel_values=(images - encoder.mean) / encoder.std).last_hidden_state.detach()
    patches = hidden[:, 1:]
    expected = {
        "cls": hidden[:, 0],
        "mean": patches.mean(1),
        "tokens": hidden.flatten(1),
        "grid": patches.reshape(2, 4, 4, 32).permute(0, 3, 1, 2),
    }[readout]
    torch.testing.assert_close(encoder(images), expected, atol=1e-5, rtol=0)
    layer = fi.encoders.transformers(str(tmp_path), readout=readout, layer="layers.0")  # type: ignore[arg-type]
    assert layer.feature_shape == encoder.feature_shape


def test_a_pooler_that_the_checkpoint_lacks_is_refused_and_not_drawn(tmp_path: Path) -> None:
    saved("vit", tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(fi.BadInput, match=r'lack 2 \(pooler.dense.bias\), .* use readout="cls" or "mean"'):
        fi.encoders.transformers(str(tmp_path))
    assert fi.encoders.transformers(str(tmp_path), readout="cls").feature_shape == (32,)


def test_a_processor_that_does_more_than_its_fields_say_is_refused(tmp_path: Path) -> None:
    saved("vit", tmp_path)
    flipping = transformers.MobileViTImageProcessor(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}, do_flip_channel_order=True
    )
    flipping.save_pretrained(tmp_path)
    with pytest.raises(fi.BadInput, match=r"does more to an image .*featinv\.encoders\.black_box"):
        fi.encoders.transformers(str(tmp_path))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(fi.BadInput, match=r"expected preprocessor_config\.json"):
        fi.encoders.transformers(str(tmp_path))


def test_a_rescaling_to_other_than_one_is_read() -> None:
    fields = {"size": 32, "resample": 2, "rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0}
    processing = read_processing(fields)
    # 255 p / 127.5 - 1 = (p - 0.5) / 0.5
    assert processing.mean == pytest.approx((0.5,) * 3)
    assert processing.std == pytest.approx((0.5,) * 3)


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fi.encoders.timm("resnet188"), "nearest: resnet18"),
        (lambda: fi.encoders.timm("resnet18.a4_in1k"), "it has a1_in1k"),
        (lambda: fi.encoders.timm("test_resnet"), "cannot be had"),
        (lambda: fi.encoders.timm("test_resnet", weights=None, layer="layer9"), "layer: expected a layer"),
        (lambda: fi.encoders.timm("test_resnet", weights=None, readout="cls"), "no class token"),
        (lambda: fi.encoders.open_clip("ViT-B-33"), "nearest: ViT-B-32"),
        (lambda: fi.encoders.open_clip("ViT-B-32", pretrained="laion2b_s34b_b79k"), "four ways"),
        (lambda: fi.encoders.transformers("facebook/dinov2-base"), "three ways"),
    ],
)
def test_a_name_or_weights_that_are_not_there(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(fi.BadInput) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("timm", lambda: fi.encoders.timm("resnet18")),
        ("open_clip", lambda: fi.encoders.open_clip("ViT-B-32")),
        ("transformers", lambda: fi.encoders.transformers("x")),
        ("onnx", lambda: fi.encoders.onnx(__file__)),
    ],
)
def test_an_extra_that_is_not_installed(module: str, call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(fi.BadInput, match=rf"needs {module}, .*pip install 'featinv\[{module}\]'"):
        call()
