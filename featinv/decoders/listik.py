"""The decoder of the paper, convolution by convolution."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import nn

from featinv.decoders.shapes import check_features, check_image_size, feature_tuple
from featinv.errors import BadInput
from featinv.types import Features, Images

GRID = 4
"""side of the square grid of cells into which the vector is reshaped"""


class Listik(nn.Module):
    """(B, D) -> (B, 3, S, S) in [0, 1]: Listik's decoder, as in the author's notebook.

    The vector is not standardised. It is reshaped to (4, 4, D / 16) in channels-last order. One stage follows for each
    doubling up to S: [convolution "same" with bias, LeakyReLU 0.2, nearest x2]. The last layer is a 2x2 convolution
    "same" to 3 channels, which pads right and bottom only, and a sigmoid. At 256 px the stages have 2048, 1024, 512,
    256, 128, 64 filters; a smaller S omits the widest ones (32 px: 256, 128, 64). Kernels are initialised
    Glorot-uniform with Keras's fans, biases with zero. `Listik(2048)` is the original: 27,505,347 parameters, 6.13 GMAC
    for each image.

    There is no dense layer, so a pixel depends on nearby cells only: at 256 px the corners depend on 512 of 2,048
    features, and 23.8 % of the pixels on all. `mix=True` adds a linear layer D -> D in front, which is not part of the
    paper. `kernel` is 3 (the notebook's) or 4, which pads one pixel left and top and two right and bottom, as
    TensorFlow does.

    Raises BadInput for D not divisible by 16, for (C, H, W) features, for an S that is no power of two from 8 to 256,
    and for another kernel. Source: github tivvit/resnet_gan, resnet_gan.ipynb.
    """

    def __init__(
        self, feature_shape: int | Sequence[int] = 2048, image_size: int = 256, *, kernel: int = 3, mix: bool = False
    ) -> None:
        super().__init__()
        self.feature_shape = feature_tuple(feature_shape, "Listik")
        self.image_size = check_image_size(image_size, "Listik")
        self.kernel = kernel
        self.mix = mix
        self._check()

        width = self.feature_shape[0]
        stages = (image_size // GRID).bit_length() - 1
        filters = [64 * 2**k for k in reversed(range(stages))]
        self.mixing = nn.Linear(width, width) if mix else nn.Identity()
        layers: list[nn.Module] = []
        for before, after in zip([width // GRID**2, *filters], filters, strict=False):
            layers += [_same(kernel), nn.Conv2d(before, after, kernel), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)]
        self.stages = nn.Sequential(*layers, _same(2), nn.Conv2d(filters[-1], 3, 2))
        self.apply(_glorot)

    def forward(self, features: Features) -> Images:
        check_features(features, self.feature_shape, "Listik")
        # Channels last, as Keras reshapes. The convolutions keep this memory order, which is also the faster one.
        cells = rearrange(
            self.mixing(features), "b (row column channel) -> b channel row column", row=GRID, column=GRID
        )
        # Float32 before the sigmoid: bfloat16 has steps of 1/256 near 1.
        return torch.sigmoid(self.stages(cells).float()).contiguous()

    def _check(self) -> None:
        if len(self.feature_shape) != 1 or self.feature_shape[0] % GRID**2:
            raise BadInput(
                f"Listik: expected (D,) features with D divisible by {GRID**2}, got {self.feature_shape}; "
                "the Upsampling decoder takes features of any shape"
            )
        if self.kernel not in (3, 4):
            raise BadInput(f"Listik: expected kernel 3 or 4, got {self.kernel!r}; the author's notebook has 3")


def _same(kernel: int) -> nn.Module:
    """TensorFlow's "same" padding at stride 1: of the kernel - 1 pixels the odd one goes right and bottom."""
    before, after = (kernel - 1) // 2, kernel // 2
    return nn.ZeroPad2d((before, after, before, after))


def _glorot(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
