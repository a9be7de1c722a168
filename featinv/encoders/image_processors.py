"""What an image processor of transformers does to an image, read from its configuration and tried on one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from featinv.errors import BadInput
from featinv.processes import main_first
from featinv.resize_crop import Interpolation, ResizeCrop

from .fingerprints import probe_images
from .named_models import LIBRARY_ERRORS, first_line, quiet

_FILTERS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, in which preprocessor_config.json names filters"""
TOLERANCE = 3 / 255
"""largest difference of a pixel: processors resize with torchvision or Pillow, which round differently"""


@dataclass(frozen=True)
class Processing:
    """How images are resized and cropped, and the mean and deviation of [0, 1] pixels that normalise them."""

    resize_crop: ResizeCrop
    mean: tuple[float, ...]
    std: tuple[float, ...]


def processing_of(models: Any, name: str) -> Processing:
    """Return what the image processor of a model does. Raises BadInput where there is none, or it does more."""
    try:
        with quiet(), main_first():
            processor = models.AutoImageProcessor.from_pretrained(name)
    except LIBRARY_ERRORS as error:
        raise BadInput(
            f"encoder: expected preprocessor_config.json of {name}, got none that can be read ({first_line(error)}); "
            "vectors depend on it: save the processor that made them beside the model (processor.save_pretrained)"
        ) from error
    config = processor.to_dict()
    try:
        processing = read_processing(config)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"encoder: cannot read the preprocessor_config.json of {name} ({error!r}); {_instead(processor)}"
        ) from error
    _must_agree(processing, processor, name)
    return processing


def read_processing(config: dict[str, Any]) -> Processing:
    """Return what the fields of a preprocessor_config.json say. Raises KeyError or ValueError for what is not there."""
    scale = 255 * float(config["rescale_factor"]) if config.get("do_rescale", True) else 255.0
    normalise = config.get("do_normalize", True)
    mean, std = (config["image_mean"], config["image_std"]) if normalise else ((0.0,) * 3, (1.0,) * 3)
    mean, std = _three(mean), _three(std)
    return Processing(_resize_crop(config), tuple(x / scale for x in mean), tuple(x / scale for x in std))


def _resize_crop(config: dict[str, Any]) -> ResizeCrop:
    interpolation = _FILTERS[int(config["resample"])]
    size = config["size"] if config.get("do_resize", True) else config["crop_size"]
    cropped = bool(config.get("do_center_crop"))
    if config.get("crop_pct") is not None:
        return _cropped_by_share(int(_short_side(size)), float(config["crop_pct"]), interpolation)
    keeps_ratio = cropped if isinstance(size, int) else "shortest_edge" in size and size["shortest_edge"] is not None
    if keeps_ratio and not cropped:
        raise ValueError("its images keep their ratio and are not cropped to a square")
    resize = _short_side(size) if keeps_ratio else _square(size)
    side = _square(config["crop_size"]) if cropped else resize
    return ResizeCrop(side, resize, "crop" if keeps_ratio else "stretch", interpolation, "floor")


def _short_side(size: Any) -> int:
    return int(size if isinstance(size, int) else size["shortest_edge"])


def _cropped_by_share(side: int, share: float, interpolation: Interpolation) -> ResizeCrop:
    """ConvNeXt's rule: below 384 px the short side is resized to side / share, from there on nothing is cropped."""
    if side >= 384:
        return ResizeCrop(side, 0, "stretch", interpolation, "floor")
    return ResizeCrop(side, int(side / share), "crop", interpolation, "floor")


def _square(size: Any) -> int:
    if isinstance(size, int):
        return size
    if size["height"] != size["width"]:
        raise ValueError(f"its images are {size['height']} x {size['width']} px, and not square")
    return int(size["height"])


def _three(numbers: Any) -> tuple[float, ...]:
    return (float(numbers),) * 3 if isinstance(numbers, int | float) else tuple(float(x) for x in numbers)


def _must_agree(processing: Processing, processor: Any, name: str) -> None:
    """Refuse a processor that does something else to an image than its fields say, by trying both on one."""
    side = 2 * processing.resize_crop.before_crop
    pixels = (probe_images(side)[0, :, : side - 2, : side // 4 * 3] * 255).round().to(torch.uint8)
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    ours = np.asarray(processing.resize_crop.of_image(image), np.float32).transpose(2, 0, 1) / 255
    try:
        given = processor(images=image, return_tensors="np")["pixel_values"][0]
    except LIBRARY_ERRORS as error:
        raise BadInput(
            f"encoder: the image processor of {name} fails on an RGB image ({first_line(error)}); {_instead(processor)}"
        ) from error
    std, mean = (np.asarray(x, np.float32)[:, None, None] for x in (processing.std, processing.mean))
    theirs = np.asarray(given, np.float32) * std + mean
    if theirs.shape != ours.shape or float(np.abs(theirs - ours).max()) > TOLERANCE:
        raise BadInput(
            f"encoder: the image processor of {name} does more to an image than resize, crop and normalise it as its "
            f"fields say; {_instead(processor)}"
        )


def _instead(processor: Any) -> str:
    kind = type(processor).__name__
    return f"call {kind} and the model in a function of yours, through featinv.encoders.black_box"
