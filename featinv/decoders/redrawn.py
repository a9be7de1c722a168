"""A decoder that starts from the nearest public image, recoloured, and learns what to change in it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from featinv.decoders.public_rows import check_public, nearest_rows
from featinv.decoders.shapes import check_features, check_image_size, feature_tuple
from featinv.decoders.trunks import normalisation, zeroed
from featinv.errors import BadInput
from featinv.types import Features, Images

COLOURS, SKETCH, COARSEST = 4, 16, 8
"""cells a side of the low-pass that is replaced, of the image that ridge regression predicts, of the smallest maps"""
_MARGIN = 1e-2
_START = 24


@final
class RedrawnNeighbour(nn.Module):
    """(B, D) -> (B, 3, S, S) in [0, 1]: the nearest public image, recoloured, changed by a U-net; S from 16 to 256.

    The U-net sees the `k` public images with the nearest vectors at full size, how far each vector is, the first of
    them with the low-pass that ridge regression predicts (`RecolouredNeighbour`), and a ridge prediction of 16 x 16
    pixels; its blocks are modulated by the vector and by its difference to the nearest one. The change, `finest`
    pixels a side (None: half of S) and stretched to S, is added before the sigmoid and is 0 at first: training starts
    from the recoloured neighbour, whose detail stays, where `Upsampling` starts from nothing. A `finest` of S draws
    texture that may say something to the networks of the objective alone.

    `set_public` fills the bank of `public` images, which is part of the weights, so that a saved attack contains them.
    While training the row nearest to a vector is left out as the image itself, with every row of cosine above 0.999
    to it; in eval mode nothing is. Raises BadInput for fewer than 2 k + 1 public images, for sizes and options out of
    range, and for maps (C, H, W). Source: retrieval-augmented synthesis, arXiv:2204.11824, by a U-net,
    arXiv:1505.04597, whose norms are modulated as in arXiv:1809.11096; the start from a recoloured neighbour is ours.
    """

    vectors: Tensor
    pixels: Tensor

    def __init__(
        self,
        feature_shape: int | Sequence[int],
        image_size: int,
        public: int,
        *,
        k: int = 3,
        width: int = 32,
        code: int = 192,
        finest: int | None = None,
        dropout: int | float = 0.1,
    ) -> None:
        super().__init__()
        self.feature_shape = feature_tuple(feature_shape, "RedrawnNeighbour")
        self.image_size = check_image_size(image_size, "RedrawnNeighbour", smallest=2 * COARSEST)
        self.public, self.k, self.width, self.code, self.finest, self.dropout = public, k, width, code, finest, dropout
        self.side = image_size // 2 if finest is None else finest
        self._check()
        features, levels = self.feature_shape[0], (image_size // COARSEST).bit_length() - 1
        counts = [width * (level + 1) for level in range(levels + 1)]
        self.mix = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * features, code),
            nn.LayerNorm(code),
            nn.SiLU(),
            nn.Linear(code, code),
            nn.SiLU(),
        )
        self.first = nn.Conv2d(3 * (k + 2) + k, width, 3, padding=1)
        self.down = nn.ModuleList(Modulated(before, after, code, stride=2) for before, after in pairwise(counts))
        self.start = nn.Linear(code, _START * COARSEST**2)
        self.middle = Modulated(counts[-1] + _START, counts[-1], code)
        rises = (self.side // COARSEST).bit_length() - 1
        here, blocks = counts[-1], []
        for level in range(levels - 1, levels - 1 - rises, -1):
            blocks.append(Modulated(here + counts[level], counts[max(level, 1)], code))
            here = counts[max(level, 1)]
        self.up = nn.ModuleList(blocks)
        self.head = nn.Sequential(normalisation(here), nn.SiLU(), zeroed(nn.Conv2d(here, 3, 3, padding=1)))
        self.register_buffer("vectors", torch.zeros(public, features))
        self.register_buffer("pixels", torch.zeros(public, 3, image_size, image_size, dtype=torch.uint8))
        self.sketch, self.colours = (_Ridge(features, side) for side in (SKETCH, COLOURS))

    def set_public(
        self,
        vectors: Float[Tensor, "N D"],
        images: Images,
        *,
        sketch: tuple[Tensor, Tensor],
        colours: tuple[Tensor, Tensor],
    ) -> None:
        """Fill the bank with vectors, standardised as the decoder will be given them, and images (N, 3, S, S).

        `sketch` and `colours` are weight (D, P) and bias (P,) of linear predictions of the images' means over 16 x 16
        and 4 x 4 cells, channels first. Raises BadInput for another number of rows than `public`.
        """
        check_public(self.public, vectors, images)
        self.vectors.copy_(vectors)
        for start in range(0, self.public, 1024):
            self.pixels[start : start + 1024] = (images[start : start + 1024] * 255).round().to(torch.uint8)
        self.sketch.set_weights(*sketch)
        self.colours.set_weights(*colours)

    def forward(self, features: Features) -> Images:
        check_features(features, self.feature_shape, "RedrawnNeighbour")
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float()
            rows = nearest_rows(vectors, self.vectors, self.k, others=self.training)
            near = self.vectors[rows]
            shown = self.pixels[rows].float().div(255)
            image = self.recoloured(vectors, shown[:, 0])
            far = (vectors[:, None] - near).square().mean(2)[:, :, None, None].expand(-1, -1, *image.shape[2:])
            sketch = self._stretched(self.sketch(vectors))
        code = self.mix(torch.cat([vectors, vectors - near[:, 0]], 1))
        change = self._change(torch.cat([shown.flatten(1, 2) - 0.5, image - 0.5, sketch - 0.5, far], 1), code)
        return torch.sigmoid(torch.logit(image.clamp(_MARGIN, 1 - _MARGIN)) + self._stretched(change.float()))

    def recoloured(self, vectors: Float[Tensor, "B D"], images: Images) -> Images:
        """Return images with the low-pass that the vectors predict in the place of their own: where it starts."""
        cells = F.interpolate(images, size=(COLOURS, COLOURS), mode="area")
        return (images + self._stretched(self.colours(vectors).clamp(0, 1) - cells)).clamp(0, 1)

    def _change(self, inputs: Tensor, code: Tensor) -> Tensor:
        maps = [self.first(inputs)]
        for block in self.down:
            maps.append(block(maps[-1], code))
        start = self.start(code).reshape(len(code), _START, COARSEST, COARSEST)
        drawing = self.middle(torch.cat([maps.pop(), start], 1), code)
        for block in self.up:
            drawing = block(torch.cat([F.interpolate(drawing, scale_factor=2), maps.pop()], 1), code)
        change: Tensor = self.head(drawing)
        return change

    def _stretched(self, cells: Tensor) -> Tensor:
        if cells.shape[-1] == self.image_size:
            return cells
        return F.interpolate(cells, size=self.image_size, mode="bilinear", align_corners=False)

    def _check(self) -> None:
        if len(self.feature_shape) != 1:
            raise BadInput(f"RedrawnNeighbour: expected vectors (D,), got {self.feature_shape}; pool the maps first")
        for name, value, smallest in (("k", self.k, 1), ("width", self.width, 8), ("code", self.code, 8)):
            if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
                raise BadInput(
                    f"RedrawnNeighbour: expected {name} to be a whole number of at least {smallest}, got {value!r}"
                )
        if self.public < 2 * self.k + 1:
            raise BadInput(f"k: expected 2 k + 1 public images, got k = {self.k} and {self.public} images; lower k")
        if not COARSEST <= check_image_size(self.side, "RedrawnNeighbour") <= self.image_size:
            raise BadInput(f"RedrawnNeighbour: expected finest to be from 8 to {self.image_size}, got {self.finest}")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"RedrawnNeighbour: expected dropout in [0, 1), got {self.dropout}")


@final
class _Ridge(nn.Module):
    """Standardised vectors (B, D) -> (B, 3, side, side), by a fixed linear map."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("weight", torch.zeros(features, 3 * side**2))
        self.register_buffer("bias", torch.zeros(3 * side**2))

    def set_weights(self, weight: Tensor, bias: Tensor) -> None:
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def forward(self, vectors: Float[Tensor, "B D"]) -> Images:
        return torch.addmm(self.bias, vectors, self.weight).unflatten(1, (3, self.side, self.side))


@final
class Modulated(nn.Module):
    """(B, before, H, W), code (B, C) -> (B, after, H / stride, W / stride): a residual block modulated by the code."""

    def __init__(self, before: int, after: int, code: int, *, stride: int = 1) -> None:
        super().__init__()
        self.enter = nn.Sequential(normalisation(before), nn.SiLU(), nn.Conv2d(before, after, 3, stride, 1))
        self.norm = normalisation(after)
        self.modulation = zeroed(nn.Linear(code, 2 * after))
        self.leave = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1, stride) if before != after or stride > 1 else nn.Identity()

    def forward(self, maps: Float[Tensor, "B C H W"], code: Float[Tensor, "B K"]) -> Float[Tensor, "B M h w"]:
        gain, bias = self.modulation(code)[:, :, None, None].chunk(2, dim=1)
        changed = self.leave(F.silu(self.norm(self.enter(maps)) * (1 + gain) + bias))
        return changed + self.skip(maps)
