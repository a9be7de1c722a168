"""A small residual network of large depthwise convolutions: one family of an attacker's surrogates."""

from collections.abc import Mapping, Sequence

from torch import nn

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class SmallConvNeXt(nn.Module):
    """Patches, then residual blocks of one depthwise and two 1x1 convolutions: (B, 3, H, W) normalised -> (B, K).

    After ConvNeXt (arXiv:2201.03545): patches of `patch` pixels; per block a depthwise convolution of `kernel` pixels,
    normalisation, a 1x1 convolution to `expansion` times the channels, GELU, a 1x1 convolution back, and the shortcut.
    Different from it: batch normalisation in place of layer normalisation, and no layer scale. A stride-2 convolution
    stands between two stages. K is the sum of the heads' classes. Nodes: patches, stages, avgpool (widths[-1]-d),
    linear; with `standardise` norm stands before linear: the pooled features at mean 0 and deviation 1 over the
    training images. Raises BadInput for sizes that make no network.
    """

    family = "convnext"

    def __init__(
        self,
        heads: int | Mapping[str, int],
        *,
        widths: Sequence[int] = (48, 96),
        blocks: Sequence[int] = (2, 2),
        kernel: int = 7,
        expansion: int = 2,
        patch: int = 2,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= len(widths) == len(blocks) <= 6 or min(*widths, *blocks) < 1 or max(blocks) > 100:
            raise BadInput(f"blocks: expected 1 to 100 a width, got {list(blocks)} for widths {list(widths)}")
        if kernel not in range(1, 33, 2) or not (1 <= expansion <= 16 and 1 <= patch <= 32):
            raise BadInput(
                f"SmallConvNeXt: expected an odd kernel up to 31, expansion 1 to 16 and patch 1 to 32, got {kernel}, "
                f"{expansion} and {patch}"
            )
        self.heads = head_sizes(heads)
        self.widths, self.blocks = tuple(widths), tuple(blocks)
        self.kernel, self.expansion, self.patch, self.standardise = kernel, expansion, patch, standardise
        self.patches = nn.Sequential(nn.Conv2d(3, widths[0], patch, stride=patch), nn.BatchNorm2d(widths[0]))
        stages: list[nn.Module] = []
        inside = widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            layers: list[nn.Module] = []
            if index > 0:
                layers += [nn.Conv2d(inside, width, 2, stride=2), nn.BatchNorm2d(width)]
            layers += [_Block(width, kernel, expansion) for _ in range(count)]
            stages.append(nn.Sequential(*layers))
            inside = width
        self.stages = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        if standardise:
            self.norm = nn.BatchNorm1d(inside, affine=False)
        self.linear = nn.Linear(inside, sum(self.heads.values()))

    def forward(self, x: Traced) -> Traced:
        pooled = self.avgpool(self.stages(self.patches(x))).flatten(1)
        return self.linear(self.norm(pooled) if self.standardise else pooled)


class _Block(nn.Module):
    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.wide = nn.Conv2d(width, expansion * width, 1)
        self.gelu = nn.GELU()
        self.narrow = nn.Conv2d(expansion * width, width, 1)

    def forward(self, x: Traced) -> Traced:
        return x + self.narrow(self.gelu(self.wide(self.bn(self.depthwise(x)))))
