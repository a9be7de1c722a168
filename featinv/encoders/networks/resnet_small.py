"""A small residual classifier: the shape of the packaged encoder `tiny`."""

from collections.abc import Mapping, Sequence

from torch import nn

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class SmallResNet(nn.Module):
    """Small ResNet, one stage a width, halving the image between stages: (B, 3, H, W) normalised -> (B, K) logits.

    Basic blocks with projection shortcuts (option B of arXiv:1512.03385). K is the sum of the heads' classes, in their
    order. Nodes: stem, stages, avgpool (widths[-1]-d), linear; with `standardise` norm stands before linear: the pooled
    numbers at mean 0 and deviation 1 over the training images. Raises BadInput for widths that do not fit blocks.
    """

    def __init__(
        self,
        heads: int | Mapping[str, int],
        *,
        widths: Sequence[int] = (16, 32, 64),
        blocks: Sequence[int] = (1, 1, 1),
        patch: int = 1,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= patch <= 32:
            raise BadInput(f"SmallResNet: expected patch to be 1 to 32 pixels, got {patch}")
        if not 1 <= len(widths) == len(blocks) <= 6 or min(*widths, *blocks) < 1 or max(blocks) > 100:
            raise BadInput(f"blocks: expected 1 to 100 a width, got {list(blocks)} for widths {list(widths)}")
        self.heads = head_sizes(heads)
        self.widths = tuple(widths)
        self.blocks = tuple(blocks)
        self.patch = patch
        # Overlapping patches: windows of twice the stride.
        size, padding = (3, 1) if patch == 1 else (2 * patch, patch // 2)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], size, stride=patch, padding=padding, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        inside = widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(_Block(inside, width, stride=2 if index > 0 and block == 0 else 1))
                inside = width
        self.stages = nn.Sequential(*stages)
        self.standardise = standardise
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        if standardise:
            self.norm = nn.BatchNorm1d(inside, affine=False)
        self.linear = nn.Linear(inside, sum(self.heads.values()))

    def forward(self, x: Traced) -> Traced:
        pooled = self.avgpool(self.stages(self.stem(x))).flatten(1)
        return self.linear(self.norm(pooled) if self.standardise else pooled)


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride=stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Traced) -> Traced:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))
