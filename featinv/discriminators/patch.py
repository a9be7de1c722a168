"""The discriminator of pix2pix, which judges patches."""

from typing import final

from torch import nn

from featinv.errors import BadInput
from featinv.types import Features, Images

from .convolutions import Norm, check_norm, convolution
from .discriminator import Discriminator, Hidden, Logits, check_count, check_image_size

WIDEST = 8
"""how many times `width` a layer may have at most"""


@final
class Patch(Discriminator):
    """images (B, 3, S, S) -> logits (B, h, w), one a patch: "PatchGAN", which judges texture and no composition.

    `layers` strided 4x4 convolutions, then two of stride 1, with LeakyReLU 0.2 between; a logit sees `receptive_field`
    pixels square: 16, 34, 70, 142 for 1, 2, 3, 4 layers (at the borders part of it is padding), and there are
    S / 2**layers - 2 logits a side. `norm` as in `DCGAN`. Pixels are moved to [-1, 1] inside. With 3 layers it has
    2,765,633 parameters. Raises BadInput for an S other than 32, 64, 128, 256, and for more layers than S has room for.

    Source: arXiv:1611.07004, section 6.1.2 and its authors' code, without the image that their discriminator is
    conditioned on; `Projection` conditions it on a vector.
    """

    def __init__(self, image_size: int, *, layers: int = 3, width: int = 64, norm: Norm = "batch") -> None:
        check_image_size(image_size, "Patch")
        check_count(layers, "layers", "Patch")
        check_count(width, "width", "Patch")
        check_norm(norm, "Patch")
        if image_size // 2**layers < 3:
            room = (image_size // 3).bit_length() - 1
            raise BadInput(
                f"Patch: expected 1 to {room} layers for {image_size} px, got {layers}; larger ones see it all"
            )
        widths = [width * min(2**k, WIDEST) for k in range(layers + 1)]
        super().__init__(image_size, widths[-1])
        self.layers = layers
        self.width = width
        self.norm = norm
        stack: list[nn.Module] = []
        for place, (before, after) in enumerate(zip([3, *widths], widths, strict=False)):
            stride = 2 if place < layers else 1
            stack += [
                convolution(before, after, stride=stride, padding=1, norm=norm, bare=place == 0),
                nn.LeakyReLU(0.2),
            ]
        self.stack = nn.Sequential(*stack)
        self.last = convolution(widths[-1], 1, stride=1, padding=1, norm=norm, bare=True)

    @property
    def receptive_field(self) -> int:
        """Side of the square of pixels that one logit depends on."""
        return 9 * 2**self.layers - 2

    def hidden(self, images: Images) -> Hidden:
        return self.stack(2 * images - 1)

    def head(self, hidden: Hidden, features: Features | None) -> Logits:
        del features
        return self.last(hidden).squeeze(1)
