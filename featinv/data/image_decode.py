"""One image file -> (size, size, 3) uint8, or the reason why not."""

import io
import struct
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from featinv.data.image_formats import formats_of, head_of, unread_start
from featinv.resize_crop import ResizeCrop

LEAST_SIDE = 8
"""Pixels: an image with a shorter side shows nothing worth reconstructing."""

# What Pillow's decoders raise on broken files; a programming error of ours is not among them.
BROKEN_FILE = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    EOFError,
    TypeError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
)

_NEW_SUBFILE_TYPE = 254
"""TIFF tag whose first bit says that an image is a reduced version of another one in the file"""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Fit = Literal["crop", "stretch"]


class Unusable(Exception):
    """This file gives no image; the message is the reason, in words."""


class TooSmall(Exception):
    """This image is smaller than asked; `width` and `height` are what it has."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"{width} x {height} px")
        self.width, self.height = width, height


class Decoded(NamedTuple):
    """What is drawn of a file, (size, size, 3), and what an encoder sees of it, (E, E, 3) or None; both uint8."""

    pixels: np.ndarray
    encoder_pixels: np.ndarray | None


def decode_image(
    path: Path,
    *,
    size: int,
    fit: Fit,
    upscale: bool,
    limit_pixels: int,
    content: bytes | None = None,
    encoder: ResizeCrop | None = None,
) -> Decoded:
    """Decode one file, or the bytes that a file of this name had (`content`).

    That is its first frame, upright (EXIF), RGB on white, cropped to its central square or stretched, resized. Resizing
    is bicubic and antialiased; an image that already has the size asked for is not resampled. With `encoder`, the whole
    upright image is also resized and cropped as that says. Raises Unusable with the reason, or TooSmall unless
    `upscale`.
    """
    try:
        if (path.stat().st_size if content is None else len(content)) == 0:
            raise Unusable("zero bytes")
        file = path if content is None else io.BytesIO(content)
        with Image.open(file, formats=formats_of(path.suffix.lower())) as image:
            _check_sides(image, size=size, upscale=upscale, limit_pixels=limit_pixels)
            return _decoded(image, size=size, fit=fit, encoder=encoder)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unusable(f"too large for Pillow's own limit of {Image.MAX_IMAGE_PIXELS} px") from error
    except UnidentifiedImageError as error:
        raise Unusable(_why_unidentified(path, content)) from error
    except BROKEN_FILE as error:
        raise Unusable(f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from error


def _why_unidentified(path: Path, content: bytes | None) -> str:
    try:
        return unread_start(head_of(path) if content is None else content) or "no image in a format that Pillow reads"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _check_sides(image: Image.Image, *, size: int, upscale: bool, limit_pixels: int) -> None:
    width, height = image.size
    if width * height > limit_pixels:
        raise Unusable(f"too large: {width} x {height} px, the limit is {limit_pixels} px")
    if min(width, height) < LEAST_SIDE:
        raise Unusable(f"too small: {width} x {height} px: a side is shorter than {LEAST_SIDE} px")
    if min(width, height) < size and not upscale:
        raise TooSmall(width, height)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and int(image.tag_v2.get(_NEW_SUBFILE_TYPE, 0)) & 1:
        raise Unusable("raw camera file: only its preview could be read, convert it to PNG or JPEG")


def _decoded(image: Image.Image, *, size: int, fit: Fit, encoder: ResizeCrop | None) -> Decoded:
    if encoder is None:
        # A JPEG decodes several times faster at 1/2, 1/4 or 1/8 of its size; twice the target keeps detail. Not for an
        # encoder: the libraries that made the publisher's vectors decode it whole.
        image.draft(None, (2 * size, 2 * size))
    image.load()
    whole = _upright(to_rgb(image), image)
    square = whole
    if fit == "crop":
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        square = whole.crop((left, top, left + side, top + side))
    if square.size != (size, size):
        square = square.resize((size, size), Image.Resampling.BICUBIC)
    view = None if encoder is None else np.array(encoder.of_image(whole), dtype=np.uint8)
    return Decoded(np.array(square, dtype=np.uint8), view)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: transparency is laid on white, 16-bit greys keep their upper 8 bits.

    Raises Unusable for floating-point and 32-bit images, whose range of values is not known.
    """
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise Unusable("floating-point or 32-bit values of unknown range")
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip everything above 255 to white.
        levels = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(levels).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _upright(square: Image.Image, image: Image.Image) -> Image.Image:
    """Turn the pixels as the file's EXIF orientation says; damaged EXIF is no reason to lose an image."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN_FILE:
        return square
    return square if turn is None else square.transpose(turn)
