"""Images as a page holds them: shrunk to what is legible, as data URIs."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

LARGEST = 128
"""Pixels a side that an image is shown at, at most."""


def shrunk(images: UInt8[np.ndarray, "B S S 3"]) -> UInt8[np.ndarray, "B s s 3"]:
    """Return images of at most 128 pixels a side."""
    if images.shape[1] <= LARGEST:
        return images
    small = [Image.fromarray(image).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(image) for image in small])


def as_png(image: Image.Image) -> str:
    """Return an image as a data URI."""
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
