"""Differentiable augmentation of what a discriminator sees."""

from typing import final

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.types import Images


@final
class DiffAugment(nn.Module):
    """images (B, 3, H, W) -> images: random changes through which gradients flow, drawn anew for every image.

    Put before the discriminator, on real images and reconstructions alike and in both halves of a step; each call
    draws for itself, as in the source, so an original and its reconstruction are changed differently. `policy` names,
    in order and separated by commas:

    - `colour`: brightness (a shift by up to 0.25), saturation (times 0 to 2), contrast (times 0.5 to 1.5);
    - `translation`: by up to 1/8 of each side, whole pixels, filled with grey;
    - `cutout`: a grey rectangle of half of each side, centred anywhere, so part of it may lie outside.

    An empty policy changes nothing. Colours may leave [0, 1]. Draws come from torch's global generator of the images'
    device. The source's pixels are in [-1, 1], and its numbers are kept there: its brightness of 0.5 is 0.25 of ours,
    its fill of 0 our 0.5. Raises BadInput for an unknown name. Source: arXiv:2006.10738, section 3.2 and appendix.
    """

    def __init__(self, policy: str = "colour,translation,cutout") -> None:
        super().__init__()
        unknown = [name for name in _names(policy) if name not in _CHANGES]
        if unknown:
            raise BadInput(
                f"DiffAugment: expected a policy of {', '.join(_CHANGES)}, separated by commas, got {policy!r}; "
                f"there is no {unknown[0]!r}"
            )
        self.policy = policy

    def forward(self, images: Images) -> Images:
        """Return the images, each with changes of its own."""
        names = _names(self.policy)
        if not names:
            return images
        pixels = 2 * images - 1
        for name in names:
            for change in _CHANGES[name]:
                pixels = change(pixels)
        return (pixels + 1) / 2

    def extra_repr(self) -> str:
        return repr(self.policy)


def _names(policy: str) -> list[str]:
    return [name.strip() for name in policy.split(",")] if policy.strip() else []


def _uniform(pixels: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(pixels), 1, 1, 1, dtype=pixels.dtype, device=pixels.device)


def _integers(pixels: Tensor, low: int, high: int) -> Tensor:
    """(B, 1) whole numbers from low to high, both included."""
    return torch.randint(low, high + 1, (len(pixels), 1), device=pixels.device)


def _brightness(pixels: Tensor) -> Tensor:
    return pixels + _uniform(pixels, -0.5, 0.5)


def _saturation(pixels: Tensor) -> Tensor:
    grey = pixels.mean(1, keepdim=True)
    return grey + (pixels - grey) * _uniform(pixels, 0.0, 2.0)


def _contrast(pixels: Tensor) -> Tensor:
    level = pixels.mean((1, 2, 3), keepdim=True)
    return level + (pixels - level) * _uniform(pixels, 0.5, 1.5)


def _translation(pixels: Tensor) -> Tensor:
    for axis in (2, 3):
        size = pixels.shape[axis]
        places = torch.arange(size, device=pixels.device) + _integers(pixels, -(size // 8), size // 8)
        inside = _along(((places >= 0) & (places < size)).to(pixels.dtype), axis)
        index = _along(places.clamp(0, size - 1), axis).expand_as(pixels)
        pixels = pixels.gather(axis, index) * inside
    return pixels


def _cutout(pixels: Tensor) -> Tensor:
    hidden = torch.ones((), dtype=pixels.dtype, device=pixels.device)
    for axis in (2, 3):
        size = pixels.shape[axis]
        side = size // 2
        # The centre of an even rectangle may lie on the far edge too; that of an odd one is a pixel.
        first = _integers(pixels, 0, size - side % 2) - side // 2
        places = torch.arange(size, device=pixels.device)
        hidden = hidden * _along(((places >= first) & (places < first + side)).to(pixels.dtype), axis)
    return pixels * (1 - hidden)


def _along(rows: Tensor, axis: int) -> Tensor:
    """(B, n) -> (B, 1, n, 1) or (B, 1, 1, n): numbers an image, laid along axis 2 or 3."""
    return rows[:, None, :, None] if axis == 2 else rows[:, None, None, :]


_CHANGES = {
    "colour": (_brightness, _saturation, _contrast),
    "translation": (_translation,),
    "cutout": (_cutout,),
}
