"""Augmentation of classifier training, every image of a batch on its own, by plain tensor operations."""

import torch
from torch import Tensor
from torch.nn import functional as F

from featinv.types import Images

from .settings import ClassifierTraining


def augment(images: Images, settings: ClassifierTraining, generator: torch.Generator) -> Images:
    """Return shifted, mirrored, recoloured, blurred and partly covered images (B, 3, H, W) in [0, 1].

    All randomness comes from `generator` (on the CPU), whatever device the images are on.
    """
    count, side = len(images), images.shape[-1]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator).to(images.device)

    images = _shift_and_mirror(images, round(settings.shift * side), uniform(2), settings.flips, uniform())
    if settings.colour > 0:
        images = _recolour(images, 1 + settings.colour * (2 * uniform(6) - 1))
    if settings.blur > 0:
        images = torch.where((uniform() < settings.blur)[:, None, None, None], _blur(images), images)
    if settings.cutout > 0:
        images = _cover(images, settings.cutout * side, uniform(2), uniform() < 0.5)
    return images


def _shift_and_mirror(images: Tensor, most: int, where: Tensor, flips: bool, coin: Tensor) -> Tensor:
    side = images.shape[-1]
    padded = F.pad(images, (most, most, most, most))
    start = (where * (2 * most + 1)).long()
    rows = start[:, :1] + torch.arange(side, device=images.device)
    columns = start[:, 1:] + torch.arange(side, device=images.device)
    if flips:
        columns = torch.where(coin[:, None] < 0.5, columns.flip(1), columns)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _recolour(images: Tensor, gains: Tensor) -> Tensor:
    brightness, contrast, saturation = (gains[:, i, None, None, None] for i in range(3))
    tint = (1 + (gains[:, 3:] - 1) / 2)[:, :, None, None]
    images = images * (brightness * tint)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, 1)


def _blur(images: Tensor) -> Tensor:
    """Two passes of a 3x3 mean: a low-pass of about 1.2 pixels' deviation."""
    for _ in range(2):
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return images


def _cover(images: Tensor, edge: float, where: Tensor, chosen: Tensor) -> Tensor:
    side = images.shape[-1]
    axis = torch.arange(side, device=images.device)
    inside = ((axis - where[..., None] * side).abs() < edge / 2) & chosen[:, None, None]
    hidden = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images.masked_fill(hidden[:, None], 0.5)
