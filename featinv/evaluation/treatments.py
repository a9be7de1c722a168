"""What identification must survive to count as leakage: texture that only one network sees does not (rule 1)."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from featinv.types import Images

QUALITY = 75


def low_pass(images: Images) -> Images:
    """Return the images at half their resolution: 2 x 2 means, then bilinear back to the old size."""
    height, width = images.shape[2:]
    small = functional.interpolate(images, size=(max(1, height // 2), max(1, width // 2)), mode="area")
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)


def jpeg_75(images: Images) -> Images:
    """Return the images after JPEG at quality 75 (Pillow's defaults: 4:2:0 colour), decoded again."""
    coded = [_through_jpeg(image) for image in as_uint8(images)]
    return torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2).float().div(255)


def shift(images: Images) -> Images:
    """Return the images moved right and down by 1/32 of their size (at least 1 pixel), the edges repeated."""
    height, width = images.shape[2:]
    down, right = max(1, round(height / 32)), max(1, round(width / 32))
    padded = functional.pad(images, (right, 0, down, 0), mode="replicate")
    return padded[:, :, :height, :width]


def as_uint8(images: Images) -> np.ndarray:
    """Return (B, H, W, 3) bytes of images in [0, 1]."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _through_jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


TREATMENTS: dict[str, Callable[[Images], Images]] = {
    "low-pass": low_pass,
    f"jpeg {QUALITY}": jpeg_75,
    "shift": shift,
}
