"""The network of a conditional flow: (vector, noised image, time) -> the expected image. Not a decoder by itself."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from featinv.blocks import Standardise
from featinv.types import Features, Images

GROUPS = 8
EMBEDDING = 256
_NOISE_SEED = 11


class FlowNetwork(nn.Module):
    """(vectors, x_t, t) -> the expected image E[x | x_t, vector], in [-1, 1] units: a U-Net around a Gaussian guess.

    x_t = t x + (1 - t) eps, eps standard normal. With m the image that ridge regression predicts from the vector
    and s the deviation of its residual, the answer is m + g (x_t - t m) + c U, where g = t s^2/(t^2 s^2 + (1-t)^2) is
    the gain and c the deviation of a Gaussian residual given x_t, and U the U-Net's output, 0 before training: an error
    of U weighs about the same at every time (preconditioning, arXiv:2206.00364, with a conditional mean). The vector
    reaches every block by AdaLN-Zero (arXiv:2212.09748), and m as three more channels.

    `widths` are channels, finest first, a level each at half the side of the one before; the finest works on cells of
    `patch` x `patch` pixels; the coarsest has attention. Called with vectors alone it returns the expected image at
    t = 0 in [0, 1], (B, 3, S, S): a posterior mean in one pass.
    """

    ridge_weight: Tensor
    ridge_bias: Tensor
    deviation: Tensor
    noise: Tensor

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        image_size: int,
        *,
        widths: Sequence[int],
        blocks: int,
        patch: int,
        dropout: float,
    ) -> None:
        super().__init__()
        dimensions, pixels = math.prod(feature_shape), 3 * image_size**2
        self.image_size, self.patch = image_size, patch
        self.standardise = Standardise(feature_shape)
        self.register_buffer("ridge_weight", torch.zeros(dimensions, pixels))
        self.register_buffer("ridge_bias", torch.zeros(pixels))
        self.register_buffer("deviation", torch.ones(()))
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        fixed = torch.randn(1, 3, image_size, image_size, generator=generator)
        self.register_buffer("noise", fixed, persistent=False)
        self.vector = nn.Sequential(nn.Linear(dimensions, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.time = nn.Sequential(nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.unet = UNet(6 * patch**2, 3 * patch**2, widths, blocks, dropout)

    def set_prediction(self, weight: Tensor, bias: Tensor, deviation: float) -> None:
        """Set the ridge regression of pixels in [0, 1] on standardised vectors, and its residual's deviation."""
        self.ridge_weight.copy_(weight)
        self.ridge_bias.copy_(bias)
        self.deviation.fill_(2 * deviation)

    def forward(self, features: Features, noised: Images | None = None, time: Tensor | None = None) -> Images:
        if noised is None or time is None:
            rows = len(features)
            start = self.noise.expand(rows, -1, -1, -1)
            return (self(features, start, start.new_zeros(rows)) + 1) / 2
        vectors = self.standardise(features).flatten(1)
        predicted = torch.addmm(self.ridge_bias, vectors, self.ridge_weight).unflatten(1, noised.shape[1:])
        predicted = 2 * predicted.float().clamp(0, 1) - 1
        t = time[:, None, None, None]
        total = (t**2 * self.deviation**2 + (1 - t) ** 2).sqrt()
        off = (noised - t * predicted) / total
        condition = self.vector(vectors) + self.time(sinusoids(time, EMBEDDING))
        cells = F.pixel_unshuffle(torch.cat([off, predicted], 1), self.patch)
        drawn = F.pixel_shuffle(self.unet(cells, condition), self.patch).float()
        return predicted + (t * self.deviation**2 * off + (1 - t) * self.deviation * drawn) / total


class UNet(nn.Module):
    """cells (B, C, H, W), condition (B, 256) -> (B, C', H, W), 0 before training."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], blocks: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, width = [widths[0]], widths[0]
        for level, channels in enumerate(widths):
            for _ in range(blocks):
                self.down.append(Block(width, channels, dropout))
                width = channels
                skips.append(width)
            if level + 1 < len(widths):
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = nn.ModuleList([Block(width, width, dropout), Attention(width), Block(width, width, dropout)])
        for level, channels in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Block(width + skips.pop(), channels, dropout))
                width = channels
            if level:
                self.up.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)))
        self.norm = nn.GroupNorm(_groups(width), width)
        self.head = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, cells: Tensor, condition: Tensor) -> Tensor:
        hidden = self.stem(cells)
        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden, condition) if isinstance(layer, Block) else layer(hidden)
            skips.append(hidden)
        for layer in self.middle:
            hidden = layer(hidden, condition)
        for layer in self.up:
            if isinstance(layer, Block):
                hidden = layer(torch.cat([hidden, skips.pop()], 1), condition)
            else:
                hidden = layer(hidden)
        return self.head(F.silu(self.norm(hidden)))


class Block(nn.Module):
    """A residual block whose norm's scale and shift, and whose gate, are linear in the condition; 0 gate at first."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.norm_one = nn.GroupNorm(_groups(inputs), inputs)
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm_two = nn.GroupNorm(_groups(outputs), outputs, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulation = zero_linear(3 * outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(F.silu(condition))[:, :, None, None].chunk(3, dim=1)
        inner = self.one(F.silu(self.norm_one(hidden)))
        inner = self.two(self.dropout(F.silu(self.norm_two(inner) * (1 + scale) + shift)))
        return self.skip(hidden) + gate * inner


class Attention(nn.Module):
    """Self-attention over all cells, with heads of 32 channels, gated like a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 32)
        self.norm = nn.GroupNorm(_groups(width), width)
        self.inputs = nn.Conv2d(width, 3 * width, 1)
        self.outputs = nn.Conv2d(width, width, 1)
        self.modulation = zero_linear(width)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        parts = self.inputs(self.norm(hidden)).flatten(2).chunk(3, dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).reshape(hidden.shape)
        return hidden + self.modulation(F.silu(condition))[:, :, None, None] * self.outputs(mixed)


def zero_linear(outputs: int) -> nn.Linear:
    """Return a linear map of the condition that gives 0 before training."""
    layer = nn.Linear(EMBEDDING, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def sinusoids(time: Float[Tensor, " B"], width: int) -> Float[Tensor, "B width"]:
    """Return sines and cosines of a time in [0, 1] at frequencies from 1 to 1,000 rad (arXiv:1706.03762)."""
    frequencies = torch.logspace(0, 3, width // 2, device=time.device)
    angles = time[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _groups(width: int) -> int:
    return math.gcd(width, GROUPS)
