"""A small vision transformer with attention pooling: one family of an attacker's surrogates."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class SmallViT(nn.Module):
    """Patches as tokens, `depth` pre-norm transformer blocks, attention pooling: (B, 3, side, side) -> (B, K) logits.

    After arXiv:2010.11929, with one learned query that attends to all tokens (the pooling of arXiv:2106.04560) in place
    of a class token. K is the sum of the heads' classes. Nodes: patches, blocks, pool (width-d), linear; with
    `standardise` norm stands before linear: the pooled features at mean 0 and deviation 1 over the training images.
    Images must have `side` pixels. Raises BadInput for sizes that make no network.
    """

    family = "vit"

    def __init__(
        self,
        heads: int | Mapping[str, int],
        *,
        side: int = 32,
        patch: int = 4,
        width: int = 96,
        depth: int = 4,
        attention_heads: int = 4,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        if not (1 <= patch <= side <= 1024 and side % patch == 0 and 1 <= depth <= 100 and 1 <= width <= 8192):
            raise BadInput(
                f"SmallViT: expected patches that tile side, depth 1 to 100 and width 1 to 8192, got patch {patch}, "
                f"side {side}, depth {depth} and width {width}"
            )
        if not 1 <= attention_heads <= width or width % attention_heads:
            raise BadInput(f"SmallViT: expected attention_heads that divide width {width}, got {attention_heads}")
        self.heads = head_sizes(heads)
        self.side, self.patch, self.width, self.depth = side, patch, width, depth
        self.attention_heads, self.standardise = attention_heads, standardise
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(_Block(width, attention_heads) for _ in range(depth)))
        self.pool = _Pool(width)
        if standardise:
            self.norm = nn.BatchNorm1d(width, affine=False)
        self.linear = nn.Linear(width, sum(self.heads.values()))

    def forward(self, x: Traced) -> Traced:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        pooled = self.pool(self.blocks(tokens))
        return self.linear(self.norm(pooled) if self.standardise else pooled)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Traced) -> Traced:
        # (B, T, 3 W) -> three of (B, heads, T, W / heads)
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class _Pool(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Traced) -> Traced:
        x = self.norm(x)
        return (x * self.score(x).softmax(1)).sum(1)
