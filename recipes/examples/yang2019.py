"""A decoder from outside: the inversion model of Yang et al., CCS 2019 (arXiv:1902.08552), from its description.

Nothing of featinv is imported here: the class obeys the contract of decoders (docs/foreign_decoder.md).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FIRST = 4
"""side of the first block's map"""


class Inversion(nn.Module):
    """Vectors (B, D) -> images (B, 3, S, S) in [0, 1], S a power of two from 8: blocks of transposed convolutions.

    As described: every block but the last is a transposed convolution, batch normalisation and Tanh; the last is a
    transposed convolution and a sigmoid. `top` is the truncation of section 4.2: only the `top` largest numbers of a
    vector are kept, the others become 0 (for vectors of class scores; the attack must then not standardise them).
    The number of channels is `width` before the last block and doubles with every block before it; the description
    leaves it open. We run it in float32, and train it with the losses and optimisers of featinv.
    Raises ValueError for maps (C, H, W), other sizes, and a `top` outside 1 to D.
    """

    def __init__(
        self, feature_shape: int | Sequence[int], image_size: int, *, width: int = 128, top: int | None = None
    ) -> None:
        super().__init__()
        self.feature_shape, self.image_size, self.width, self.top = feature_shape, image_size, width, top
        shape = (feature_shape,) if isinstance(feature_shape, int) else tuple(feature_shape)
        doublings = (image_size // FIRST).bit_length() - 1
        if len(shape) != 1 or doublings < 1 or FIRST * 2**doublings != image_size:
            raise ValueError(f"expected vectors, and a power of two from 8 as size, got {shape} and {image_size}")
        if top is not None and not 1 <= top <= shape[0]:
            raise ValueError(f"top: expected 1 to {shape[0]}, got {top}")
        channels = [width * 2**power for power in reversed(range(doublings))]
        blocks: list[nn.Module] = [_block(shape[0], channels[0], stride=1)]
        blocks += [_block(wide, wide // 2, stride=2) for wide in channels[:-1]]
        self.blocks = nn.Sequential(*blocks, nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the images of these vectors."""
        if self.top is not None:
            largest, places = features.topk(self.top, dim=1)
            features = torch.zeros_like(features).scatter(1, places, largest)
        return torch.sigmoid(self.blocks(features[:, :, None, None]).float())


def _block(wide: int, narrow: int, *, stride: int) -> nn.Module:
    """Return a block: 1 x 1 to 4 x 4 with stride 1, twice the side with stride 2."""
    convolution = nn.ConvTranspose2d(wide, narrow, 4, stride=stride, padding=stride - 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(narrow), nn.Tanh())
