"""The discriminator of DCGAN."""

from typing import final

from torch import nn

from featinv.types import Features, Images

from .convolutions import Norm, check_norm, convolution
from .discriminator import Discriminator, Hidden, Logits, check_count, check_image_size

WIDEST = 8
"""how many times `width` a layer may have at most"""


@final
class DCGAN(Discriminator):
    """images (B, 3, S, S) -> logits (B,): strided 4x4 convolutions and LeakyReLU 0.2, one logit an image.

    Each layer halves the image, down to 4x4, and doubles the channels, from `width` up to 8 * width; a last 4x4
    convolution makes the logit. `norm` is the paper's batch norm, but on the first and the last layer; or none; or
    torch's spectral norm on every layer (arXiv:1802.05957). Pixels are moved to [-1, 1] inside. `DCGAN(64)` has the
    paper's layers, 2,765,633 parameters. Raises BadInput for an S other than 32, 64, 128, 256.

    Source: arXiv:1511.06434, section 3; the kernel of 4 is that of its authors' code. We differ in stopping at
    8 * width channels, which the paper's 64 pixels do not exceed.
    """

    def __init__(self, image_size: int, *, width: int = 64, norm: Norm = "batch") -> None:
        check_image_size(image_size, "DCGAN")
        check_count(width, "width", "DCGAN")
        check_norm(norm, "DCGAN")
        halvings = image_size.bit_length() - 3
        widths = [width * min(2**k, WIDEST) for k in range(halvings)]
        super().__init__(image_size, widths[-1])
        self.width = width
        self.norm = norm
        layers: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            layers += [
                convolution(before, after, stride=2, padding=1, norm=norm, bare=before == 3),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers)
        self.last = convolution(widths[-1], 1, stride=1, padding=0, norm=norm, bare=True)

    def hidden(self, images: Images) -> Hidden:
        return self.layers(2 * images - 1)

    def head(self, hidden: Hidden, features: Features | None) -> Logits:
        del features
        return self.last(hidden).flatten()
