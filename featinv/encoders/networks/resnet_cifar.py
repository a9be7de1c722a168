"""The residual networks for 32 px images of He et al. 2015 (arXiv:1512.03385), section 4.2."""

from collections.abc import Mapping

from torch import nn
from torch.nn import functional as F

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class CifarResNet(nn.Module):
    """ResNet of depth 6n+2 for small images: (B, 3, H, W) normalised -> (B, classes) logits.

    Source: arXiv:1512.03385 section 4.2 and table 6; shortcuts of option A (subsample, pad with zero channels: no
    parameters). Nodes: conv1, bn1, layer1..layer3, avgpool (64-d), linear. Raises BadInput for another depth.
    """

    def __init__(self, depth: int = 20, classes: int | Mapping[str, int] = 10) -> None:
        super().__init__()
        if depth not in range(8, 1203, 6):
            raise BadInput(f"depth: expected 6n+2 from 8 to 1202 (20, 32, 44, 56, 110, ...), got {depth}; choose one")
        self.depth = depth
        self.classes = classes
        self.heads = head_sizes(classes)
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, blocks)
        self.layer2 = _stage(16, 32, blocks)
        self.layer3 = _stage(32, 64, blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, sum(self.heads.values()))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Traced) -> Traced:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x).flatten(1))


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = nn.Identity() if stride == 1 else _ZeroPaddedShortcut(outside // 4)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()

    def forward(self, x: Traced) -> Traced:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class _ZeroPaddedShortcut(nn.Module):
    """Option A: every second pixel, and the new channels half before and half after the old ones, all zero."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Traced) -> Traced:
        every_second = x[:, :, ::2, ::2]  # type: ignore[index]
        return F.pad(every_second, (0, 0, 0, 0, self.padding, self.padding))


def _stage(inside: int, outside: int, blocks: int) -> nn.Sequential:
    first = _Block(inside, outside, 1 if inside == outside else 2)
    return nn.Sequential(first, *(_Block(outside, outside, 1) for _ in range(blocks - 1)))
