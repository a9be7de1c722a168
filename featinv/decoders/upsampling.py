"""The strong regression decoder: a mixing trunk, a dense sketch, and residual stages that refine the sketch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from featinv.decoders.shapes import check_features, check_image_size, feature_tuple
from featinv.decoders.stages import Stage
from featinv.decoders.trunks import GRID, MapTrunk, VectorTrunk, normalisation, zeroed
from featinv.errors import BadInput
from featinv.types import Features, Images

SKETCH = 32
"""largest side of the sketch, which one dense layer produces"""
WIDEST = 512
"""largest number of channels of a stage"""


class Upsampling(nn.Module):
    """(B, D) or (B, C, H, W) -> (B, 3, S, S) in [0, 1]: dense layers mix the features, residual stages upsample.

    The trunk (`depth` residual layers of `width` units) depends on every feature. One dense layer maps its output to a
    sketch of at most 32 x 32 pixels. Stages from 4 x 4 up to S x S, each modulated by the features, add what the sketch
    lacks. The two are added before the sigmoid. The last stage has `channels` channels, each one before it twice as
    many, up to 512. `dropout` acts in the trunk, during training only. Fit the decoder on standardised features
    (`Training.standardise`): the trunk expects numbers of order one.

    `finest` is the side of the image that is produced. If it is smaller than S, the image is resized to S bilinearly,
    which excludes fine texture that only the networks of the objective respond to.

    On a CPU the stages cost most. `channels=0` omits them, so that the decoder is the sketch alone (a perceptron).
    Raises BadInput for an S that is no power of two from 8 to 256, or options out of range.
    Source: the trunk after the fc6 generator of arXiv:1602.02644, the conditioning at every scale after
    arXiv:1809.11096. The sketch is ours: a posterior mean is mostly low frequencies, which dense layers learn in far
    fewer steps.
    """

    def __init__(
        self,
        feature_shape: int | Sequence[int],
        image_size: int,
        *,
        width: int = 512,
        depth: int = 2,
        channels: int = 16,
        dropout: int | float = 0.2,
        finest: int | None = None,
    ) -> None:
        super().__init__()
        self.feature_shape = feature_tuple(feature_shape, "Upsampling")
        self.image_size = check_image_size(image_size, "Upsampling")
        self.width = width
        self.depth = depth
        self.channels = channels
        self.dropout = dropout
        self.finest = finest
        self._check()
        side = image_size if finest is None else finest

        self.trunk = (
            VectorTrunk(self.feature_shape[0], width, depth, dropout)
            if len(self.feature_shape) == 1
            else MapTrunk(self.feature_shape[0], side, width, depth, dropout)
        )
        map_channels = self.trunk.channels if isinstance(self.trunk, MapTrunk) else None
        self.side = side
        self.sketch_size = min(side, SKETCH)
        self.sketch = nn.Linear(width, 3 * self.sketch_size**2)
        sizes = [GRID * 2**k for k in range((side // GRID).bit_length())] if channels else []
        counts = [min(channels * side // size, WIDEST) for size in sizes]
        self.start = nn.Linear(width, GRID**2 * counts[0]) if channels else None
        self.stages = nn.ModuleList(Stage(before, after, width, map_channels) for before, after in pairwise(counts))
        head = zeroed(nn.Conv2d(channels, 3, 3, padding=1)) if channels else nn.Identity()
        self.head = nn.Sequential(normalisation(channels), nn.SiLU(), head) if channels else head

    def forward(self, features: Features) -> Images:
        check_features(features, self.feature_shape, "Upsampling")
        code = self.trunk(features)
        image = rearrange(self.sketch(code.vector), "b (c h w) -> b c h w", c=3, h=self.sketch_size)
        image = _stretched(image, self.side)
        if self.start is not None:
            drawing = rearrange(self.start(code.vector), "b (h w c) -> b c h w", h=GRID, w=GRID)
            for stage in self.stages:
                drawing = stage(drawing, code)
            image = image + self.head(drawing)
        # Float32 before the sigmoid: bfloat16 has steps of 1/256 near 1.
        return _stretched(torch.sigmoid(image.float()), self.image_size)

    def _check(self) -> None:
        for name, value, smallest in (
            ("width", self.width, 8),
            ("depth", self.depth, 0),
            ("channels", self.channels, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
                raise BadInput(f"Upsampling: expected {name} to be an integer of at least {smallest}, got {value!r}")
        if self.finest is not None and not (8 <= check_image_size(self.finest, "Upsampling") <= self.image_size):
            raise BadInput(f"Upsampling: expected finest to be from 8 to {self.image_size}, got {self.finest}")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"Upsampling: expected dropout in [0, 1), got {self.dropout}")


def _stretched(image: Tensor, side: int) -> Tensor:
    if image.shape[-1] == side:
        return image
    return F.interpolate(image, size=side, mode="bilinear", align_corners=False)
