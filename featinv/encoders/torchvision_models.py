"""Any torchvision classifier as an encoder."""

import os
import urllib.error
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from featinv.errors import BadInput
from featinv.processes import main_first, seeded
from featinv.resize_crop import ResizeCrop

from .encoder import Encoder
from .named_models import unknown_model
from .weight_files import load_weights, read_weights

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# torchvision's own builders set these by themselves, but only when they load the weights themselves.
_INCEPTIONS = ("googlenet", "inception_v3")
_FAMILIES = {"vision_transformer": "vit", "swin_transformer": "swin"}


def torchvision(
    name: str,
    *,
    layer: str = "avgpool",
    weights: str | os.PathLike[str] | None = None,
    input_size: int | None = None,
    trained_on: str = "",
    seed: int = 0,
) -> Encoder:
    """Return a torchvision classifier, cut at a layer, as an Encoder.

    `weights` is None (random, by `seed`), an entry of the model's weights enum such as "IMAGENET1K_V1" (from torch's
    cache, else downloaded) or a .safetensors, .pt or .pth file. Pixels are resized, cropped and normalised as the
    weights' own transforms say. With an `input_size`, and for a file or random weights (then 224), images are stretched
    to it; a file has ImageNet's mean and deviation. `trained_on` says what a file was trained on. Raises BadInput for
    an unknown model (with the nearest), layer or weights, with what exists, and when weights cannot be had.
    """
    available = models.list_models(module=models)
    if name not in available:
        raise unknown_model("torchvision", name, available)
    mean, std = _IMAGENET
    resize_crop: int | ResizeCrop = 224 if input_size is None else input_size
    if weights is None:
        with seeded(seed):
            network = _build(name, random=True)
        trained_on = "nothing"
    elif os.fspath(weights) in (entries := models.get_model_weights(name)).__members__:
        entry = entries[os.fspath(weights)]
        network = _build(name)
        load_weights(network, _published(entry), source=f"{name} {entry.name}")
        transforms = entry.transforms()
        mean, std = tuple(transforms.mean), tuple(transforms.std)
        resize_crop = _resize_crop(transforms) if input_size is None else input_size
        trained_on = "ImageNet-1k" if entry.name.startswith("IMAGENET1K") else entry.name
    elif Path(weights).suffix or Path(weights).exists():
        network = _from_file(name, weights)
        trained_on = trained_on or f"unknown ({Path(weights).name})"
    else:
        raise BadInput(
            f"weights: expected None, a file or one of {', '.join(entries.__members__)} for {name}, "
            f"got {os.fspath(weights)!r}; for a file give its suffix"
        )
    module = models.get_model_builder(name).__module__.rpartition(".")[2]
    return Encoder(
        network,
        name=f"{name}/{layer}",
        family=_FAMILIES.get(module, module),
        trained_on=trained_on,
        layer=layer,
        input_size=resize_crop,
        mean=mean,
        std=std,
    )


def _resize_crop(transforms: Any) -> ResizeCrop:
    """Return what the transforms of published weights do: the short side resized, then the central square."""
    (size,), (resize,) = transforms.crop_size, transforms.resize_size
    return ResizeCrop(size, resize, "crop", transforms.interpolation.value)


def _build(name: str, *, classes: int = 1000, random: bool = False) -> nn.Module:
    extra: dict[str, Any] = {}
    if name in _INCEPTIONS:
        extra = {"aux_logits": True, "init_weights": random, "transform_input": not random}
    return models.get_model(name, weights=None, num_classes=classes, **extra)


def _published(entry: Any) -> dict[str, Tensor]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        with main_first():
            state: dict[str, Tensor] = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise BadInput(
            f"weights: {entry} cannot be had ({error}); three ways: give a file (weights=PATH), or put it in torch's "
            f"cache as {file}, or have a network, so that torchvision downloads {entry.url}"
        ) from error
    return state


def _from_file(name: str, path: str | os.PathLike[str]) -> nn.Module:
    tensors = read_weights(path)
    with torch.device("meta"):
        last = list(_build(name).state_dict())[-1]
    # A fine-tuned network has another number of classes; its last tensor is the bias of the classes.
    classes = tensors[last].shape[0] if last in tensors and tensors[last].ndim == 1 else 1000
    network = _build(name, classes=max(1, classes))
    load_weights(network, tensors, source=path)
    return network
