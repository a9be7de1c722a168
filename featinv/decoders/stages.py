"""One upsampling stage of `Upsampling`."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from featinv.decoders.trunks import Code, normalisation, resize, zeroed


class Stage(nn.Module):
    """(B, before, R, R), code -> (B, after, 2R, 2R): a residual block with nearest x2, modulated by the features.

    After the norm, gain = 1 + Linear(code) and bias = Linear(code), as in BigGAN's class-conditional norm
    (arXiv:1809.11096) with the features in place of the class. A feature map adds a gain and a bias for each cell.
    """

    def __init__(self, before: int, after: int, width: int, map_channels: int | None) -> None:
        super().__init__()
        self.enter = nn.Sequential(normalisation(before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.norm = normalisation(after)
        self.from_vector = nn.Linear(width, 2 * after)
        self.from_map = zeroed(nn.Conv2d(map_channels, 2 * after, 1)) if map_channels else None
        self.leave = zeroed(nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, drawing: Float[Tensor, "B C R R"], code: Code) -> Float[Tensor, "B K S S"]:
        # The first convolution and the skip run before the upsampling, which takes a quarter of the arithmetic.
        hidden = F.interpolate(self.norm(self.enter(drawing)), scale_factor=2)
        modulation = self.from_vector(code.vector)[:, :, None, None]
        if self.from_map is not None and code.grid is not None:
            modulation = modulation + self.from_map(resize(code.grid, hidden.shape[-1]))
        gain, bias = modulation.chunk(2, dim=1)
        return F.interpolate(self.skip(drawing), scale_factor=2) + self.leave(F.silu(hidden * (1 + gain) + bias))
