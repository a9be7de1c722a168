"""How an image is resized and cropped before a network sees it, on decoded files and, differentiably, on tensors."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from featinv.errors import BadInput

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
LARGEST = 4096
"""pixels a side of the largest input that is taken"""

_OF_TENSORS = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "bicubic"}
"""torch has no Lanczos filter"""


@final
@dataclass(frozen=True)
class ResizeCrop:
    """Resize, then take the central square of `size` pixels a side: what a network sees of an image.

    `fit="crop"` resizes the short side to `resize` pixels and keeps the ratio of the sides; `fit="stretch"` resizes
    both sides to `resize`. A `resize` of 0 means `size`: then a square image is not cropped. Where an odd number of
    pixels is cut off, `offset` says where the crop begins: "round" as in torchvision, "floor" as in transformers.
    Raises BadInput for sides outside 1 to 4096 and for a crop that is larger than the resized image.
    """

    size: int
    resize: int = 0
    fit: Literal["stretch", "crop"] = "stretch"
    interpolation: Interpolation = "bilinear"
    offset: Literal["round", "floor"] = "round"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST:
            raise BadInput(f"input_size: expected 1 to {LARGEST} pixels, got {self.size}")
        if self.resize and not self.size <= self.resize <= LARGEST:
            raise BadInput(f"resize: expected {self.size} (the input size) to {LARGEST} pixels, got {self.resize}")

    @property
    def before_crop(self) -> int:
        """Side in pixels to which a square image is resized before the central `size` pixels are taken."""
        return self.resize or self.size

    @property
    def is_plain(self) -> bool:
        """Whether this only stretches bilinearly, as encoders do that say nothing else."""
        return self == ResizeCrop(self.size)

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)

    def __str__(self) -> str:
        sides = "the short side" if self.fit == "crop" else "both sides"
        crop = f", then the central {self.size} px" if self.fit == "crop" or self.before_crop > self.size else ""
        return f"{sides} resized to {self.before_crop} px ({self.interpolation}){crop}"

    def of_image(self, image: Image.Image) -> Image.Image:
        """Return a PIL image of `size` x `size` pixels, resized by Pillow as torchvision, timm and open_clip do."""
        resized = self._resized_sides(image.height, image.width)
        if image.size != resized[::-1]:
            image = image.resize(resized[::-1], Image.Resampling[self.interpolation.upper()])
        top, left = (self._start(side) for side in resized)
        if resized == (self.size, self.size):
            return image
        return image.crop((left, top, left + self.size, top + self.size))

    def of_tensors(self, images: Tensor) -> Tensor:
        """Return (B, C, size, size) of images (B, C, H, W) in [0, 1]; differentiable, antialiased.

        Without the rounding to 8 bits of `of_image`, and with "bicubic" in the place of "lanczos". Cubic filters
        overshoot: their output is clamped to [0, 1], as 8 bits are.
        """
        resized = self._resized_sides(*images.shape[-2:])
        if tuple(images.shape[-2:]) != resized:
            images = resize_tensors(images, resized, self.interpolation)
        if resized == (self.size, self.size):
            return images
        top, left = (self._start(side) for side in resized)
        return images[..., top : top + self.size, left : left + self.size]

    def _resized_sides(self, height: int, width: int) -> tuple[int, int]:
        side = self.before_crop
        if self.fit == "stretch":
            return side, side
        # Rounded down, as by torchvision's Resize.
        return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)

    def _start(self, side: int) -> int:
        middle = (side - self.size) / 2
        return round(middle) if self.offset == "round" else int(middle)


def resize_tensors(images: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Return images (B, C, H, W) at (height, width), antialiased, differentiable, clamped to [0, 1] where cubic."""
    mode = _OF_TENSORS[interpolation]
    if mode == "nearest-exact":
        return F.interpolate(images, size=size, mode=mode)
    resized = F.interpolate(images, size=size, mode=mode, antialias=True, align_corners=False)
    return resized.clamp(0, 1) if mode == "bicubic" else resized
