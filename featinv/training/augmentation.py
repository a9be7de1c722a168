"""Augmentation of classifier training, every image of a batch on its own, by plain tensor operations."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import CutMix, MixUp, RandomChoice

from featinv.losses.random_views import box_blur
from featinv.types import Images

from .settings import ClassifierTraining


def dice_for(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return the generator itself on a CPU, else one of the device with the same seed.

    A batch of noise takes a processor several milliseconds, as long as the rest of a step takes an accelerator.
    """
    if device.type not in ("cuda", "mps", "xpu"):
        return generator
    return torch.Generator(device).manual_seed(generator.initial_seed())


def augment(images: Images, settings: ClassifierTraining, generator: torch.Generator) -> Images:
    """Return shifted, mirrored, recoloured, blurred and partly covered images (B, 3, H, W) in [0, 1].

    All randomness comes from `generator` (see `dice_for`), whatever device it and the images are on.
    """
    count, side = len(images), images.shape[-1]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=generator.device).to(images.device)

    images = _shift_and_mirror(images, round(settings.shift * side), uniform(2), settings.flips, uniform())
    if settings.colour > 0:
        images = _recolour(images, 1 + settings.colour * (2 * uniform(6) - 1))
    if settings.blur > 0:
        images = torch.where((uniform() < settings.blur)[:, None, None, None], box_blur(images, half=1), images)
    if settings.cutout > 0:
        images = _cover(images, settings.cutout * side, uniform(2), uniform() < 0.5)
    return images


def mix_in_pairs(images: Images, classes: Int[Tensor, " B"], count: int) -> tuple[Images, Float[Tensor, "B K"]]:
    """Return every image mixed with another of the batch, and the share that each of `count` classes has in it.

    One of two ways by chance: a rectangle of the other image (CutMix, arXiv:1905.04899), or a weighted mean (mixup,
    arXiv:1710.09412, alpha 0.4). Draws from torch's global generator.
    """
    mix = RandomChoice([CutMix(num_classes=count), MixUp(num_classes=count, alpha=0.4)])
    mixed: tuple[Tensor, Tensor] = mix(images, classes)
    return mixed


def _shift_and_mirror(images: Tensor, most: int, where: Tensor, flips: bool, coin: Tensor) -> Tensor:
    side = images.shape[-1]
    padded = F.pad(images, (most, most, most, most))
    start = (where * (2 * most + 1)).long()
    rows = start[:, :1] + torch.arange(side, device=images.device)
    columns = start[:, 1:] + torch.arange(side, device=images.device)
    if flips:
        columns = torch.where(coin[:, None] < 0.5, columns.flip(1), columns)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    pixels = rearrange(padded, "b c h w -> b h w c")[batch, rows[:, :, None], columns[:, None, :]]
    return rearrange(pixels, "b h w c -> b c h w")


def _recolour(images: Tensor, gains: Tensor) -> Tensor:
    brightness, contrast, saturation = (gains[:, i, None, None, None] for i in range(3))
    tint = (1 + (gains[:, 3:] - 1) / 2)[:, :, None, None]
    images = images * (brightness * tint)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, 1)


def _cover(images: Tensor, edge: float, where: Tensor, chosen: Tensor) -> Tensor:
    side = images.shape[-1]
    axis = torch.arange(side, device=images.device)
    inside = ((axis - where[..., None] * side).abs() < edge / 2) & chosen[:, None, None]
    hidden = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images.masked_fill(hidden[:, None], 0.5)
