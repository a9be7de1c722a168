"""A small patch-based classifier without residual connections: the shape of a second judge."""

from collections.abc import Mapping

from torch import nn

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class SmallMixer(nn.Module):
    """Patches, then layers that mix places and channels in turn: (B, 3, H, W) normalised -> (B, K) logits.

    After ConvMixer (arXiv:2201.09792) without its residual connections, so that it is neither the targets' family nor
    the plain 3x3 one of `SmallVGG`: patches of `patch` pixels, `depth` times a large depthwise and a 1x1 convolution,
    each followed by GELU and batch normalisation, global average pooling and one linear layer. K is the sum of the
    heads' classes, in their order. Nodes: patches, stages, avgpool (width-d), linear. Raises BadInput for sizes that
    make no network.
    """

    family = "mixer"

    def __init__(
        self,
        heads: int | Mapping[str, int],
        *,
        width: int = 128,
        depth: int = 6,
        kernel: int = 5,
        patch: int = 2,
    ) -> None:
        super().__init__()
        if not (1 <= width <= 8192 and 1 <= depth <= 100 and 1 <= patch <= 32 and kernel in range(1, 33, 2)):
            raise BadInput(
                f"SmallMixer: expected width 1 to 8192, depth 1 to 100, an odd kernel up to 31 and patch 1 to 32, got "
                f"{width}, {depth}, {kernel} and {patch}"
            )
        self.heads = head_sizes(heads)
        self.width, self.depth, self.kernel, self.patch = width, depth, kernel, patch
        self.patches = nn.Sequential(nn.Conv2d(3, width, patch, stride=patch), nn.GELU(), nn.BatchNorm2d(width))
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width),
                nn.GELU(),
                nn.BatchNorm2d(width),
                nn.Conv2d(width, width, 1),
                nn.GELU(),
                nn.BatchNorm2d(width),
            ]
        self.stages = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(width, sum(self.heads.values()))

    def forward(self, x: Traced) -> Traced:
        return self.linear(self.avgpool(self.stages(self.patches(x))).flatten(1))
