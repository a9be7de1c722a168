"""A loss seen through small random changes, the same for a reconstruction and its original."""

from typing import final

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from featinv.errors import BadInput
from featinv.losses.objective import Loss, wide
from featinv.types import Images, PerImage

_BOX = 10
"""the low-pass is two passes of a box filter of about 1/10 of the side: 3 of 32 pixels, 25 of 256"""


@final
class RandomViews(Loss):
    """The mean of a loss over `views` random changes, each made to a reconstruction and to its original alike.

    A decoder that must please a network in all of them cannot do it by texture. A change is a shift by up to `shift`
    (a share of the side; edges are repeated), brightness by up to `colour` and contrast and saturation by up to that
    share, a low-pass with probability `blur`, and noise of a deviation of up to `noise` on the reconstruction only;
    clipped to [0, 1]; drawn anew for every image from torch's global generator of its device. With no strength at all
    it is the loss itself. With `both=False` the reconstruction alone is changed, for a loss that looks for unchanged
    originals among others (`Identification`).

    Raises BadInput for no view, and for strengths outside [0, 1]. Source: E-LPIPS,
    arXiv:1906.03973, section 3, which draws its transformations in the same way for both images; which ones, and the
    noise on one side, are ours.
    """

    def __init__(
        self,
        loss: Loss,
        *,
        views: int = 1,
        shift: int | float = 0.125,
        colour: int | float = 0.2,
        blur: int | float = 0.5,
        noise: int | float = 0.06,
        both: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(views, bool) or not isinstance(views, int) or views < 1:
            raise BadInput(f"RandomViews: expected views to be a whole number of at least 1, got {views!r}")
        for name, value in (("shift", shift), ("colour", colour), ("blur", blur), ("noise", noise)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise BadInput(f"RandomViews: expected {name} to be from 0 to 1, got {value!r}")
        self.loss, self.views = loss, views
        self.shift, self.colour, self.blur, self.noise, self.both = shift, colour, blur, noise, both

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        values = [self.loss(*self._changed(reconstructed, target)) for _ in range(self.views)]
        return torch.stack(values).mean(0)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Those of the loss."""
        return self.loss.fingerprints

    def extra_repr(self) -> str:
        return (
            f"{self.loss!r}, views={self.views}, shift={self.shift:g}, colour={self.colour:g}, blur={self.blur:g}, "
            f"noise={self.noise:g}{'' if self.both else ', both=False'}"
        )

    def _changed(self, reconstructed: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        unchanged = target
        # Side by side along the channels both get the draws of one image.
        both = torch.stack([reconstructed, target], dim=1)
        if steps := round(self.shift * reconstructed.shape[-1]):
            both = shifted(shifted(both, steps, 3), steps, 4)
        if self.colour:
            both = _recoloured(both, self.colour)
        if self.blur:
            chosen = torch.rand(len(both), 1, 1, 1, 1, device=both.device) < self.blur
            flat = rearrange(both, "b two c h w -> (b two) c h w")
            blurred = rearrange(box_blur(flat, half_box(flat.shape[-1])), "(b two) c h w -> b two c h w", two=2)
            both = torch.where(chosen, blurred, both)
        reconstructed, target = both.unbind(1)
        if self.noise:
            reconstructed = reconstructed + self.noise * _uniform(reconstructed) * torch.randn_like(reconstructed)
        return reconstructed.clamp(0, 1), target.clamp(0, 1) if self.both else unchanged


def box_blur(images: Tensor, half: int) -> Tensor:
    """Return images (B, 3, H, W) after two passes of a box filter of 2 * half + 1 pixels, edges repeated."""
    for _ in range(2):
        images = F.avg_pool2d(F.pad(images, (half, half, half, half), mode="replicate"), 2 * half + 1, stride=1)
    return images


def half_box(side: int) -> int:
    """Return the pixels on each side of the centre of a box of about a tenth of the side of an image."""
    return max(1, round((side / _BOX - 1) / 2))


def _recoloured(both: Tensor, colour: int | float) -> Tensor:
    brightness, contrast, saturation = (1 + colour * (2 * _uniform(both) - 1) for _ in range(3))
    both = both * brightness
    grey = both.mean(2, keepdim=True)
    both = grey + (both - grey) * saturation
    level = both[:, 1:].mean((2, 3, 4), keepdim=True)  # of the original, for both
    return level + (both - level) * contrast


def shifted(images: Tensor, most: int, axis: int) -> Tensor:
    """Move each image (B, ...) along an axis by its own -most to most whole pixels, its edge repeated."""
    size = images.shape[axis]
    steps = torch.randint(-most, most + 1, (len(images), 1), device=images.device)
    places = (torch.arange(size, device=images.device) + steps).clamp(0, size - 1)
    shape = [len(images)] + [size if place == axis else 1 for place in range(1, images.ndim)]
    return images.gather(axis, places.reshape(shape).expand_as(images))


def _uniform(images: Tensor) -> Tensor:
    """(B, 1, ...) uniform numbers from 0 to 1, one an image."""
    shape = (len(images), *(1 for _ in images.shape[1:]))
    return torch.rand(shape, dtype=images.dtype, device=images.device)
