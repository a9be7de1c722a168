"""Any model of timm as an encoder, with its own resize, crop and normalisation."""

import math
import os
from pathlib import Path
from typing import Any

from torch import nn

from featinv.errors import BadInput
from featinv.extras import library
from featinv.processes import main_first, seeded
from featinv.resize_crop import Interpolation, ResizeCrop

from .encoder import Encoder
from .named_models import LIBRARY_ERRORS, family_of, first_line, frozen, no_weights, titled, unknown_model
from .readouts import Kind, Readout
from .weight_files import load_weights, read_weights

PRETRAINED = "pretrained"


def timm(
    name: str,
    *,
    layer: str | None = None,
    readout: Kind = "pooled",
    weights: str | os.PathLike[str] | None = PRETRAINED,
    trained_on: str = "",
    seed: int = 0,
) -> Encoder:
    """Return a model of timm (`resnet50.a1_in1k`, `vit_small_patch14_dinov2`) as an Encoder of its pooled vector.

    Images are resized, cropped and normalised as the model's own data config says. `layer` cuts the network elsewhere,
    the classifier's logits included; `readout` is "pooled", or "cls", "mean", "tokens" or "grid" of its tokens or maps.
    `weights` is "pretrained" (those of the name's tag, from the local cache, else downloaded), None (random, by `seed`)
    or a .safetensors, .pt or .pth file; a file needs no classifier. Raises BadInput where timm is not installed, for an
    unknown model, layer or file, and where weights cannot be had.
    """
    models = library("timm", "encoder timm")
    _check_name(models, name)
    pretrained = weights is not None and os.fspath(weights) == PRETRAINED
    with seeded(seed):
        network = _created(models, name, pretrained=pretrained)
    published: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    config: dict[str, Any] = models.data.resolve_model_data_config(network)
    tag = str(published.get("tag") or "")
    classifier = published.get("classifier")
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    if layer is None or not any(layer == head or layer.startswith(f"{head}.") for head in heads):
        _without_classifier(network, name, tokens=layer is None and readout != "pooled")
    if weights is not None and not pretrained:
        _load_file(network, weights, heads)
        trained_on = trained_on or f"unknown ({Path(weights).name})"
    return Encoder(
        frozen(network),
        name=titled("timm", name, layer, readout),
        family=family_of(type(network).__module__.rpartition(".")[2]),
        trained_on="nothing" if weights is None else trained_on or tag or "as published by timm",
        layer=layer,
        input_size=_resize_crop(config, name),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        readout=_readout(network, layer, readout),
    )


def _check_name(models: Any, name: str) -> None:
    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        return
    if not models.is_model(name):
        raise unknown_model("timm", name, [*models.list_models(), *models.list_models(pretrained=True)])
    model, _, tag = name.partition(".")
    tags = [entry.partition(".")[2] for entry in models.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise BadInput(f"encoder: timm's {model} has no weights {tag!r}; it has {', '.join(tags) or 'none'}")


def _created(models: Any, name: str, *, pretrained: bool) -> nn.Module:
    try:
        with main_first():
            return models.create_model(name, pretrained=pretrained)
    except LIBRARY_ERRORS as error:
        if not pretrained:
            raise BadInput(f"encoder: timm cannot build {name!r}: {first_line(error)}") from error
        ways = (
            "four ways: give a file (weights=FILE), copy the model's folder from the Hub and name it "
            "(local-dir:FOLDER), fill the Hub's cache (HF_HOME) on a machine with a network, or have one here; "
            "weights=null is random"
        )
        raise no_weights("timm", name, error, ways=ways) from error


def _without_classifier(network: nn.Module, name: str, *, tokens: bool) -> None:
    """Make the network return its pooled vector, or all its tokens or maps."""
    reset: Any = network.reset_classifier
    try:
        reset(0, "") if tokens else reset(0)
    except LIBRARY_ERRORS as error:
        wanted = "tokens or maps" if tokens else "a pooled vector"
        raise BadInput(f"readout: timm's {name} gives no {wanted} ({first_line(error)}); name a layer of it") from error


def _load_file(network: nn.Module, path: str | os.PathLike[str], heads: tuple[str, ...]) -> None:
    """Load a file's weights; where the network has no classifier, that of the file is left out."""
    own = network.state_dict()
    tensors = read_weights(path)
    prefixes = tuple(f"{head}." for head in heads)
    kept = {key: value for key, value in tensors.items() if key in own or not key.startswith(prefixes)}
    load_weights(network, kept, source=path)


def _resize_crop(config: dict[str, Any], name: str) -> ResizeCrop:
    _, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if height != width or mode not in ("center", "squash"):
        raise BadInput(
            f"encoder: timm's {name} is fed {height} x {width} px by crop_mode {mode!r}; expected a square by 'center' "
            "or 'squash': call it in a function of your own, through featinv.encoders.wrap"
        )
    interpolation: Interpolation = config["interpolation"]
    return ResizeCrop(
        size=int(height),
        resize=math.floor(height / config["crop_pct"]),
        fit="stretch" if mode == "squash" else "crop",
        interpolation=interpolation,
    )


def _readout(network: nn.Module, layer: str | None, readout: Kind) -> Readout | None:
    if readout == "pooled":
        return None  # the network's own output, or the layer's
    prefix = getattr(network, "num_prefix_tokens", None)
    return Readout(readout, int(prefix) if isinstance(prefix, int) else None)
