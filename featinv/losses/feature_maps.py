"""Distances between the maps that a frozen network makes of two images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.losses.objective import wide
from featinv.losses.through_encoder import ThroughEncoder
from featinv.processes import seeded
from featinv.types import Images, PerImage

Maps = Float[Tensor, "B C h w"]

_FLOOR = 1e-8
"""added to a squared length, as torchmetrics does, so that the direction of nothing has a gradient"""


class FeatureMaps(ThroughEncoder, ABC):
    """The weighted sum over an encoder's layers of a distance between their maps: abstract; a subclass says which.

    A layer that gives vectors (B, D) counts as a map of one position, one that gives tokens as one of that many. Raises
    BadInput for a layer that does not exist, with those that do, and for weights that are negative, NaN or of another
    number than the layers.
    """

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[str] | None,
        weights: Sequence[int | float] | None,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(encoder, fingerprint)
        self.layers = _known_layers(type(self).__name__, self.encoder, layers)
        self.weights = checked_weights(type(self).__name__, weights, len(self.layers))

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        # Two passes and not one over both: nothing of the original's is kept for a backward pass.
        with torch.no_grad():
            theirs = self._maps(target)
        ours = self._maps(reconstructed)
        with torch.autocast(reconstructed.device.type, enabled=False):
            parts = [w * self.distance(ours[n], theirs[n], n) for n, w in zip(self.layers, self.weights, strict=True)]
            return torch.stack(parts).sum(0).to(reconstructed.dtype)

    @abstractmethod
    def distance(self, ours: Maps, theirs: Maps, layer: str) -> PerImage:
        """Return how far the maps of one layer are apart, one number an image."""

    def stretched_to(self, images: Images) -> tuple[int, int] | None:
        """Return the height and width that the network sees; None for the encoder's own."""
        del images
        return None

    def extra_repr(self) -> str:
        shares = ", ".join(f"{weight:g}*{layer}" for layer, weight in zip(self.layers, self.weights, strict=True))
        return f"{super().extra_repr()}, {shares}"

    def _maps(self, images: Images) -> Mapping[str, Tensor]:
        taps = self.encoder.taps(images, self.layers, size=self.stretched_to(images), checked=False, positions=True)
        return {layer: tap[:, :, None, None] if tap.ndim == 2 else tap for layer, tap in taps.items()}


def directions(maps: Maps) -> Maps:
    """Return the maps with the channels of each position scaled to length 1."""
    return maps / (maps.square().sum(1, keepdim=True) + _FLOOR).sqrt()


def checked_weights(loss: str, weights: Sequence[int | float] | None, count: int) -> tuple[float, ...]:
    """Return the weights, equal shares of 1 by default. Raises BadInput for others than `count` numbers from 0 on."""
    if weights is None:
        return (1 / count,) * count
    if len(weights) != count or any(
        isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0
        for weight in weights
    ):
        raise BadInput(
            f"{loss}: expected a finite weight of at least 0 for each of the {count} layers, got {list(weights)}"
        )
    return tuple(float(weight) for weight in weights)


def _known_layers(loss: str, encoder: Encoder, layers: Sequence[str] | None) -> tuple[str, ...]:
    chosen = tuple(encoder.perceptual_layers if layers is None else layers)
    if layers is None and not chosen:
        raise BadInput(
            f"{loss}: expected an encoder with maps to compare, got {encoder.name} without; name layers of it, or wrap "
            "an nn.Module instead of a plain function"
        )
    if isinstance(layers, str) or not chosen or len(set(chosen)) < len(chosen):
        raise BadInput(f"{loss}: expected the names of one or more different layers, got {layers!r}")
    try:
        with seeded(0), torch.no_grad():
            encoder.taps(torch.full((1, 3, encoder.image_size, encoder.image_size), 0.5).to(encoder.mean), chosen)
    except BadInput as error:
        raise BadInput(f"{loss}: {error}; by resolution: {', '.join(encoder.perceptual_layers)}") from error
    return chosen


@final
class Perceptual(FeatureMaps):
    """Weighted sum over layers of the mean over positions of ||u - v||^2, u and v the maps' unit channel vectors.

    Between 0 and 4 where weights sum to 1. `encoder` is any of featinv's: the victim's own is the attacker's to use and
    needs no download, but then neither it nor a sibling of it may judge. `layers` are by default the last at each
    resolution, and of a transformer four of its blocks, up to the encoder's own cut (`Encoder.perceptual_layers`);
    `weights` are one each, 1 / number of layers by default.

    Raises BadInput for a layer that does not exist, for weights that are no weights, for what is no encoder, and for
    pixels outside [0, 1]. Source: arXiv:1801.03924, equation 1, with equal channel weights instead of learned ones; the
    idea is that of arXiv:1603.08155.
    """

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[str] | None = None,
        weights: Sequence[int | float] | None = None,
    ) -> None:
        super().__init__(encoder, layers, weights)

    def distance(self, ours: Maps, theirs: Maps, layer: str) -> PerImage:
        del layer
        return (directions(ours) - directions(theirs)).square().sum(1).mean((1, 2))
