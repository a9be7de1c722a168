"""The image tower of any open_clip model as an encoder, with its own resize, crop and normalisation."""

import os
from pathlib import Path
from typing import Any

from torch import nn

from featinv.errors import BadInput
from featinv.extras import library
from featinv.processes import main_first, seeded
from featinv.resize_crop import Interpolation, ResizeCrop

from .encoder import Encoder
from .named_models import LIBRARY_ERRORS, family_of, first_line, frozen, no_weights, quiet, titled, unknown_model
from .readouts import Kind, Readout
from .weight_files import load_weights, read_weights

_SCHEMAS = ("hf-hub:", "local-dir:")
_UNSTATED = "unstated"


def open_clip(
    name: str,
    *,
    pretrained: str | os.PathLike[str] | None = _UNSTATED,
    layer: str | None = None,
    readout: Kind = "pooled",
    trained_on: str = "",
    seed: int = 0,
) -> Encoder:
    """Return the image tower of an open_clip model (`ViT-B-32`) as an Encoder of what `encode_image` returns.

    Not divided by its length: for unit vectors name a defence or do so before release. Images are resized, cropped and
    normalised as the model's own preprocess config says. `pretrained` is a tag ("laion2b_s34b_b79k", from the local
    cache, else downloaded), a .safetensors, .pt or .bin file, or None (random, by `seed`). `layer` cuts the tower
    elsewhere; "cls", "mean", "tokens" and "grid" read the tokens of a vision transformer behind its last norm. Raises
    BadInput where open_clip is not installed, for an unknown model, tag or layer, and where weights cannot be had.
    """
    library_module = library("open_clip", "encoder open_clip")
    _check_name(library_module, name, pretrained)
    from_file = pretrained is not None and Path(pretrained).suffix in (".safetensors", ".pt", ".pth", ".bin")
    tag = None if from_file or pretrained is None or name.startswith(_SCHEMAS) else os.fspath(pretrained)
    with seeded(seed):
        network = _tower(library_module, name, tag, wanted=pretrained is not None and not from_file)
    if from_file and pretrained is not None:
        _load_file(network, pretrained)
        trained_on = trained_on or f"unknown ({Path(pretrained).name})"
    if layer is None and readout != "pooled":
        layer = _token_layer(network, name)
    config: dict[str, Any] = dict(network.preprocess_cfg)  # type: ignore[arg-type]
    return Encoder(
        network,
        name=titled("open_clip", name, layer, readout),
        family=_family(network),
        trained_on="nothing" if pretrained is None else trained_on or tag or "as published by open_clip",
        layer=layer,
        input_size=_resize_crop(config, name),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        readout=None if readout == "pooled" else Readout(readout),
    )


def _check_name(models: Any, name: str, pretrained: str | os.PathLike[str] | None) -> None:
    if name.startswith(_SCHEMAS):
        return
    if name not in models.list_models():
        raise unknown_model("open_clip", name, models.list_models())
    tags = models.list_pretrained_tags_by_model(name)
    if pretrained is None or os.fspath(pretrained) in tags:
        return
    if not (Path(pretrained).suffix and Path(pretrained).is_file()):
        got = "none" if pretrained == _UNSTATED else repr(os.fspath(pretrained))
        raise BadInput(
            f"weights: expected pretrained= one of {', '.join(tags) or '(no tags)'} for open_clip's {name}, a file, or "
            f"null for random weights; got {got}"
        )


def _tower(models: Any, name: str, tag: str | None, *, wanted: bool) -> nn.Module:
    try:
        with quiet(), main_first():
            whole = models.create_model(
                name, pretrained=tag, load_weights=wanted, pretrained_text=False, require_pretrained=wanted
            )
    except LIBRARY_ERRORS as error:
        if not wanted:
            raise BadInput(f"encoder: open_clip cannot build {name!r}: {first_line(error)}") from error
        ways = (
            "four ways: give a file (pretrained=FILE), copy the model's folder from the Hub and name it "
            "(local-dir:FOLDER), fill the Hub's cache (HF_HOME) on a machine with a network, or have one here; "
            "pretrained=null is random"
        )
        raise no_weights("open_clip", name, error, ways=ways) from error
    return frozen(whole.visual)


def _load_file(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load the image tower of a checkpoint of the whole model, or of the tower alone."""
    tensors = {key.removeprefix("module."): value for key, value in read_weights(path).items()}
    towers = {key.removeprefix("visual."): value for key, value in tensors.items() if key.startswith("visual.")}
    load_weights(network, {key: value.float() for key, value in (towers or tensors).items()}, source=path)


def _family(network: nn.Module) -> str:
    trunk = getattr(network, "trunk", None)  # a tower of timm's
    if trunk is not None:
        return family_of(type(trunk).__module__.rpartition(".")[2])
    return family_of(type(network).__name__)


def _token_layer(network: nn.Module, name: str) -> str:
    if hasattr(network, "ln_post") and not getattr(network, "final_ln_after_pool", False):
        return "ln_post"
    raise BadInput(f"readout: the tower of {name} has no last norm over its tokens; name a layer= that returns tokens")


def _resize_crop(config: dict[str, Any], name: str) -> ResizeCrop:
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    mode = config.get("resize_mode") or "shortest"
    if height != width or mode not in ("shortest", "squash"):
        raise BadInput(
            f"encoder: open_clip's {name} is fed {height} x {width} px by resize_mode {mode!r}; expected a square by "
            "'shortest' or 'squash': call it in a function of your own, through featinv.encoders.wrap"
        )
    # "random" is for training; open_clip itself then infers with bicubic.
    interpolation: Interpolation = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
    return ResizeCrop(int(height), fit="stretch" if mode == "squash" else "crop", interpolation=interpolation)
