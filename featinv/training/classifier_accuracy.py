"""How often a classifier is right."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from featinv.data import ImageSet
from featinv.encoders import Judge
from featinv.errors import BadInput
from featinv.types import Images

PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STD = (0.25, 0.25, 0.25)
"""What is taken from, and divided out of, the pixels that a network of ours sees; one number for all channels."""


@torch.no_grad()
def label_accuracy(judge: Judge, images: ImageSet, *, batch_size: int = 256) -> float:
    """Return the share of the images whose label the judge gives; raises BadInput where labels or classes differ."""
    if images.labels is None or images.classes != judge.classes:
        raise BadInput(f"images: expected labels of the judge's classes {judge.classes}, got {images.classes}")
    right = 0
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)))
        right += int((judge(images.batch(rows))[1].argmax(1).numpy() == images.labels[rows]).sum())
    return right / len(images)


@torch.no_grad()
def head_accuracies(
    network: nn.Module,
    images: ImageSet,
    targets: Mapping[str, npt.ArrayLike],
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    input_size: int,
    bf16: bool = False,
) -> dict[str, float]:
    """Return the accuracy of every head of one of our networks on the images at `rows` (None: all), in eval mode."""
    labels = head_labels(network, images, targets)
    chosen = np.arange(len(images)) if rows is None else np.sort(np.asarray(rows))
    device = next(network.parameters()).device
    right = torch.zeros(labels.shape[1])
    mode = network.training
    network.eval()
    for start in range(0, len(chosen), 512):
        block = chosen[start : start + 512]
        logits = head_logits(network, resized(images.batch(block).to(device), input_size), bf16=bf16)
        right += torch.stack([(part.argmax(1).cpu() == labels[block, head]).sum() for head, part in enumerate(logits)])
    network.train(mode)
    return dict(zip(targets, (right / len(chosen)).tolist(), strict=True))


def head_logits(network: nn.Module, images: Images, *, bf16: bool) -> tuple[Tensor, ...]:
    """Return the logits of each head, (B, classes), float32, for images in [0, 1] of the network's size."""
    x = ((images - PIXEL_MEAN[0]) / PIXEL_STD[0]).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
        out = network(x)
    return out.float().split(list(network.heads.values()), dim=1)  # type: ignore[operator]


def resized(images: Images, size: int) -> Float[Tensor, "B 3 S S"]:
    """Return the images stretched to size x size as judges do it, and as they are if they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def head_labels(network: nn.Module, images: ImageSet, targets: Mapping[str, npt.ArrayLike]) -> Tensor:
    """Return the targets as one (N, heads) tensor; raises BadInput where they do not fit images or heads."""
    heads: dict[str, int] = dict(network.heads)  # type: ignore[arg-type]
    if list(targets) != list(heads):
        raise BadInput(f"targets: expected the network's heads {list(heads)} in order, got {list(targets)}")
    columns = []
    for name, classes in heads.items():
        column = np.asarray(targets[name])
        if column.shape != (len(images),) or column.dtype.kind not in "iu":
            raise BadInput(
                f"targets: expected {len(images)} whole numbers for {name!r}, got {column.dtype} {column.shape}"
            )
        if column.min() < 0 or column.max() >= classes:
            raise BadInput(
                f"targets: expected classes 0..{classes - 1} for head {name!r}, got {column.min()}..{column.max()}; "
                "give the network a head that fits"
            )
        columns.append(torch.from_numpy(column.astype(np.int64)))
    return torch.stack(columns, dim=1)
