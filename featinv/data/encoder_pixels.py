"""The same images once more, at the side and crop that an encoder sees: vectors are made of these."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from featinv.errors import BadInput
from featinv.resize_crop import ResizeCrop

if TYPE_CHECKING:
    from featinv.data.imageset import ImageSet

SAW = "encoder_saw_px"
"""key of the metadata of vectors whose encoder was fed less than it takes: the side in pixels that it saw"""


@final
@dataclass(frozen=True, eq=False)
class EncoderPixels:
    """(N, E, E, 3) uint8 beside the N images of an `ImageSet`, row by row, wherever they lie.

    `resize_crop` says how they were made of the decoded files. None: they are whole square images, larger than those
    that are drawn, which the encoder itself resizes and crops.
    """

    pixels: np.ndarray
    resize_crop: ResizeCrop | None = None

    @property
    def side(self) -> int:
        """Pixels a side."""
        return int(self.pixels.shape[1])

    def record(self) -> dict[str, Any]:
        """Return a JSON-able description: the side, and how files were resized and cropped."""
        return {"side": self.side, "resize_crop": None if self.resize_crop is None else self.resize_crop.record()}

    def features(self, encoder: Any) -> Callable[[Any], Any]:
        """Return the encoder's function of these images, whole or cropped already.

        Raises BadInput for an encoder that resizes and crops in another way than these were.
        """
        if self.resize_crop is None:
            return encoder
        expected = how_files_are_read(encoder)
        if self.resize_crop != expected:
            raise BadInput(
                f"images: were read for an encoder that sees {self.resize_crop}, but {encoder.name} sees {expected}; "
                "read them again with encoder= this one"
            )
        return getattr(encoder, "of_cropped", encoder)


def how_files_are_read(encoder: Any) -> ResizeCrop:
    """Return how a decoded file becomes what an encoder sees.

    One that says no more than its input size stretches square images: of a file it sees the central square, which is
    what is drawn as well.
    """
    resize_crop: ResizeCrop = getattr(encoder, "resize_crop", None) or ResizeCrop(int(encoder.image_size))
    return ResizeCrop(resize_crop.size, fit="crop") if resize_crop.is_plain else resize_crop


def pixels_to_keep(encoder: Any, size: int) -> ResizeCrop | None:
    """Return what has to be kept of each file beside its `size` pixels a side, None where these hold all of it.

    That is so where the encoder stretches whatever it is given to no more than that side.
    """
    if encoder is None:
        return None
    resize_crop = getattr(encoder, "resize_crop", None)
    plain = resize_crop is None or resize_crop.is_plain
    return None if plain and encoder.image_size <= size else how_files_are_read(encoder)


def side_needed(encoder: Any) -> int:
    """Return the side in pixels to which an encoder resizes a square image, before it crops."""
    resize_crop: ResizeCrop | None = getattr(encoder, "resize_crop", None)
    return int(encoder.image_size) if resize_crop is None else resize_crop.before_crop


def what_it_saw(images: "ImageSet", encoder: Any) -> dict[str, int]:
    """Return {SAW: side in pixels} where an encoder sees less of these images than it takes, else nothing.

    Files are resized for it from their own size, however small that is, as their publisher does.
    """
    kept = images.encoder_pixels
    if encoder is None or (kept is not None and kept.resize_crop is not None):
        return {}
    return {SAW: images.encoder_side} if images.encoder_side < side_needed(encoder) else {}
