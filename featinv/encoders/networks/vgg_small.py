"""A small plain convolutional classifier without residual connections: the shape of our judges."""

from collections.abc import Mapping, Sequence

from torch import nn

from featinv.errors import BadInput

from .heads import Traced, head_sizes


class SmallVGG(nn.Module):
    """Plain VGG-like network, max-pooled between stages: (B, 3, H, W) normalised -> (B, K) logits.

    After arXiv:1409.1556 with batch normalisation, global average pooling and one linear layer. K is the sum of the
    heads' classes, in their order. Nodes: stages, avgpool (widths[-1]-d), linear. Raises BadInput for widths that do
    not fit convolutions.
    """

    family = "vgg"

    def __init__(
        self,
        heads: int | Mapping[str, int],
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        convolutions: Sequence[int] = (2, 2, 2, 1),
    ) -> None:
        super().__init__()
        counts = convolutions
        if not 1 <= len(widths) == len(counts) <= 6 or min(*widths, *counts) < 1 or max(counts) > 100:
            raise BadInput(
                f"convolutions: expected 1 to 100 a width, got {list(counts)} for widths {list(widths)}; match them"
            )
        self.heads = head_sizes(heads)
        self.widths = tuple(widths)
        self.convolutions = tuple(convolutions)
        layers: list[nn.Module] = []
        inside = 3
        for index, (width, count) in enumerate(zip(widths, counts, strict=True)):
            if index > 0:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(inside, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                inside = width
        self.stages = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(inside, sum(self.heads.values()))

    def forward(self, x: Traced) -> Traced:
        return self.linear(self.avgpool(self.stages(x)).flatten(1))
