"""Does the reconstruction have the vector that was released?"""

from typing import final

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.losses.objective import wide
from featinv.losses.random_views import shifted
from featinv.losses.through_encoder import ThroughEncoder
from featinv.types import Images, PerImage

_FLOOR = 1e-8
"""least squared length of a vector that a distance is divided by"""


@final
class FeatureConsistency(ThroughEncoder):
    """||E(a(reconstruction)) - E(original)||^2 / ||E(original)||^2, the mean over `views` small random changes a.

    Without the changes a decoder learns texture that the encoder alone recognises; what survives them is rather an
    image. A change is a shift by up to `shift` whole pixels each way (edges are repeated), brightness by up to
    `colour` and contrast by up to that share, and noise of deviation `noise`, all on [0, 1] and clipped to it; drawn
    anew for every image from torch's global generator of its device. `views=0`, or no strength at all, compares the
    reconstruction as it is, in one pass.

    E is the encoder without the victim's defence: it is the original that the vector is of. Raises BadInput for what is
    no encoder, for negative or NaN strengths, and for pixels outside [0, 1]. Source: the loss in the feature space of
    the inverted network is that of arXiv:1602.02644, equation 4; the division and the changes are ours.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        views: int = 2,
        shift: int = 2,
        colour: int | float = 0.05,
        noise: int | float = 0.02,
    ) -> None:
        super().__init__(encoder)
        for name, value in (("views", views), ("shift", shift)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise BadInput(f"FeatureConsistency: expected {name} to be a whole number from 0 on, got {value!r}")
        for name, strength in (("colour", colour), ("noise", noise)):
            if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
                raise BadInput(f"FeatureConsistency: expected {name} to be from 0 to 1, got {strength!r}")
        self.views, self.shift, self.colour, self.noise = views, shift, colour, noise

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        with torch.no_grad():
            wanted = self.encoder.unchecked(target).flatten(1)
        length = wanted.square().sum(1).clamp(min=_FLOOR)
        obtained = self.encoder.unchecked(self._views(reconstructed)).flatten(1).unflatten(0, (-1, len(reconstructed)))
        return ((obtained - wanted).square().sum(2) / length).mean(0).to(reconstructed.dtype)

    def extra_repr(self) -> str:
        strengths = f"shift={self.shift}, colour={self.colour:g}, noise={self.noise:g}"
        return f"{super().extra_repr()}, views={self.views}, {strengths}"

    def _views(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (views * B, 3, H, W): all changes of all images, change by change."""
        if not self.views or not (self.shift or self.colour or self.noise):
            return images
        return torch.cat([_changed(images, self.shift, self.colour, self.noise) for _ in range(self.views)])


def _changed(images: Tensor, shift: int, colour: int | float, noise: int | float) -> Tensor:
    if shift:
        images = shifted(shifted(images, shift, 2), shift, 3)
    if colour:
        level = images.mean((1, 2, 3), keepdim=True)
        images = level + (images - level) * (1 + colour * _signed(images)) + colour * _signed(images)
    if noise:
        images = images + noise * torch.randn_like(images)
    return images.clamp(0, 1) if colour or noise else images


def _signed(images: Tensor) -> Tensor:
    """(B, 1, 1, 1) uniform numbers from -1 to 1."""
    return 2 * torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device) - 1
