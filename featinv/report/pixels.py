"""Images as a page holds them: shrunk to what is legible, as data URIs."""

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

LARGEST = 128
"""Pixels a side that an image is shown at, at most."""
MOST_PNG = 2**19
"""Bytes of a sheet without loss; sheets of photographs take several megabytes, too many for a file to send around."""


def shrunk(images: UInt8[np.ndarray, "B S S 3"]) -> UInt8[np.ndarray, "B s s 3"]:
    """Return images of at most 128 pixels a side."""
    if images.shape[1] <= LARGEST:
        return images
    small = [Image.fromarray(image).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(image) for image in small])


def as_uri(image: Image.Image) -> str:
    """Return an image as a data URI: PNG, or WebP of quality 90 where PNG takes more than `MOST_PNG` bytes."""
    kind, content = "png", _encoded(image, format="PNG")
    if len(content) > MOST_PNG:
        kind, content = "webp", _encoded(image, format="WEBP", quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()
