"""Any vision model of transformers as an encoder, with the resize, crop and normalisation of its image processor."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from featinv.errors import BadInput
from featinv.extras import library
from featinv.processes import main_first, seeded

from .encoder import Encoder
from .image_processors import processing_of
from .named_models import LIBRARY_ERRORS, family_of, first_line, frozen, no_weights, quiet, short_name, titled
from .readouts import Kind, Readout

PRETRAINED = "pretrained"


def transformers(
    name: str,
    *,
    layer: str | None = None,
    readout: Kind = "pooled",
    weights: str | None = PRETRAINED,
    trained_on: str = "",
    seed: int = 0,
) -> Encoder:
    """Return a vision model of transformers (`facebook/dinov2-base`, or a folder of one) as an Encoder.

    `readout` is "pooled" (CLIP's image_embeds, else pooler_output), "cls" (the class token behind the last norm),
    "mean" (of the patch tokens, or of a map), "tokens" or "grid". Images are resized, cropped and normalised as
    preprocessor_config.json says, which has to be there. `layer` cuts it at a module. `weights` is "pretrained" (of the
    folder, the local cache, else downloaded) or None (random, by `seed`). No code of the model's repository is run.
    Raises BadInput where transformers is not installed, for a name, layer or processor that cannot be used, and where
    weights cannot be had.
    """
    if weights not in (PRETRAINED, None):
        raise BadInput(
            f"weights: expected {PRETRAINED!r} or null, got {weights!r}; name the folder that holds the file"
        )
    models = library("transformers", "encoder transformers")
    config = _config(models, name)
    processing = processing_of(models, name)
    with seeded(seed):
        network = _network(
            models, name, config, trained=weights is not None, pooled=layer is None and readout == "pooled"
        )
    described = getattr(config, "vision_config", config)
    return Encoder(
        frozen(network),
        name=titled("transformers", name, layer, readout),
        family=family_of(str(described.model_type)),
        trained_on="nothing" if weights is None else trained_on or short_name(name),
        layer=layer,
        input_size=processing.resize_crop,
        mean=processing.mean,
        std=processing.std,
        readout=None if layer is not None and readout == "pooled" else Readout(readout, _prefix(described)),
    )


def _config(models: Any, name: str) -> Any:
    try:
        with quiet(), main_first():
            return models.AutoConfig.from_pretrained(name)
    except LIBRARY_ERRORS as error:
        raise _not_there(name, error) from error


def _network(models: Any, name: str, config: Any, *, trained: bool, pooled: bool) -> nn.Module:
    # Of a model of images and texts only the part that sees images is an encoder; CLIP's ends in a projection.
    projected = config.model_type == "clip" or "CLIPVisionModelWithProjection" in (config.architectures or ())
    kind = models.CLIPVisionModelWithProjection if projected else models.AutoModel
    described = _vision_part(config) if config.model_type == "clip" else config
    try:
        with quiet(), main_first():
            if trained:
                whole, loading = kind.from_pretrained(name, config=described, output_loading_info=True)
            else:
                whole = kind(described) if projected else kind.from_config(described)
    except LIBRARY_ERRORS as error:
        if not trained:
            raise BadInput(f"encoder: transformers cannot build {name!r}: {first_line(error)}") from error
        raise _not_there(name, error) from error
    if trained:
        _must_be_complete(name, loading["missing_keys"], pooled=pooled)
    return _of_images(whole, config, name)


def _vision_part(config: Any) -> Any:
    vision = config.vision_config
    vision.projection_dim = config.projection_dim
    return vision


def _of_images(whole: nn.Module, config: Any, name: str) -> nn.Module:
    if config.model_type != "clip" and hasattr(config, "vision_config"):
        vision = getattr(whole, "vision_model", None)
        if not isinstance(vision, nn.Module):
            raise BadInput(
                f"encoder: expected a model of images in {name}, got {type(whole).__name__} without vision_model; wrap "
                "the part that sees images by featinv.encoders.wrap"
            )
        return vision
    takes = getattr(whole, "main_input_name", "pixel_values")
    if takes != "pixel_values":
        raise BadInput(f"encoder: expected a model of images, got {name}, which takes {takes}")
    return whole


def _must_be_complete(name: str, missing: Iterable[str], *, pooled: bool) -> None:
    """Refuse weights that transformers drew at random because the checkpoint lacks them, as many poolers are."""
    lost = sorted(key for key in missing if pooled or "pooler" not in key)
    if lost:
        instead = 'use readout="cls" or "mean"' if all("pooler" in key for key in lost) else "give the whole checkpoint"
        raise BadInput(
            f"weights: those of transformers {name!r} lack {len(lost)} ({lost[0]}), which would be random; {instead}"
        )


def _not_there(name: str, error: BaseException) -> BadInput:
    ways = (
        "three ways: name a folder that holds config.json, preprocessor_config.json and model.safetensors, fill the "
        "Hub's cache (HF_HOME) on a machine with a network, or have one here; weights=null is random, but needs the "
        "two .json files"
    )
    return no_weights("transformers", name, error, ways=ways)


def _prefix(config: Any) -> int | None:
    """Return how many tokens stand before those of the patches, where the configuration has register tokens."""
    registers = getattr(config, "num_register_tokens", None)
    return None if registers is None else 1 + int(registers)
