"""Discriminators that are stacks of strided convolutions: DCGAN and PatchGAN."""

from typing import Literal, TypeAlias, final, get_args

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from featinv.errors import BadInput
from featinv.types import Features, Images

from .discriminator import Discriminator, Hidden, Logits, check_count, check_image_size

Norm: TypeAlias = Literal["batch", "none", "spectral"]

WIDEST = 8
"""how many times `width` a layer may have at most"""
DEVIATION = 0.02
"""standard deviation of every initial weight: arXiv:1511.06434, section 4"""


def check_norm(norm: str, discriminator: str) -> None:
    """Raise BadInput unless the name is one of the three."""
    if norm not in get_args(Norm):
        raise BadInput(f"{discriminator}: expected norm to be {', '.join(get_args(Norm))}, got {norm!r}")


def convolution(inside: int, outside: int, *, stride: int, padding: int, norm: Norm, bare: bool = False) -> nn.Module:
    """Return a 4x4 convolution; `bare` ones (first and last layers) have no batch norm, but a spectral norm.

    Weights start from N(0, 0.02) and biases at zero; there is no bias where a batch norm brings its own.
    """
    batch = norm == "batch" and not bare
    layer = nn.Conv2d(inside, outside, 4, stride=stride, padding=padding, bias=not batch)
    # Before the parametrisation: afterwards `weight` is a result, and drawing it anew would change nothing.
    nn.init.normal_(layer.weight, std=DEVIATION)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if norm == "spectral":
        return spectral_norm(layer)
    if not batch:
        return layer
    normalise = nn.BatchNorm2d(outside)
    nn.init.normal_(normalise.weight, mean=1.0, std=DEVIATION)
    return nn.Sequential(layer, normalise)


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
