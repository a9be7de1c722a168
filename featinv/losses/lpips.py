"""LPIPS, the learned perceptual distance, as something to make small."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
import torchmetrics
from torch import Tensor

from featinv.errors import BadInput
from featinv.losses.feature_maps import FeatureMaps, Maps, directions
from featinv.losses.imagenet_networks import PUBLISHED, convolutions, side_of
from featinv.types import Images, PerImage

# Which of a network's convolutional layers are compared, by their place in torchvision's `features`.
_LAYERS = {
    "alex": ("alexnet", (1, 4, 7, 9, 11)),
    "vgg": ("vgg16", (3, 8, 15, 22, 29)),
    "squeeze": ("squeezenet1_1", (1, 4, 7, 9, 10, 11, 12)),
}


@final
class LPIPS(FeatureMaps):
    """The learned perceptual distance, version 0.1: as `Perceptual`, with a learned weight for each channel.

    Train with `vgg`, score with `alex`, as its authors advise. The channel weights come with torchmetrics; the ImageNet
    weights of the network do not: they are read from torch's cache, or from the file `weights`, a torchvision state
    dict, and downloaded only with `download=True`. Images are given in [0, 1] as always and seen at their own size,
    but those below 64 pixels, where the last maps would be a point, are enlarged to 64.

    Raises BadInput at once where weights are missing, for another `net`, and for pixels outside [0, 1]. Source:
    arXiv:1801.03924, equation 1. torchmetrics' metric of that name gathers every score that it gives, so it is never
    used as a loss; our numbers are those of the network inside it.
    """

    def __init__(
        self,
        net: str = "vgg",
        *,
        weights: str | os.PathLike[str] = PUBLISHED,
        download: bool = False,
    ) -> None:
        if net not in _LAYERS:
            raise BadInput(f"LPIPS: expected net to be one of {', '.join(_LAYERS)}, got {net!r}")
        name, places = _LAYERS[net]
        encoder, whole = convolutions(name, weights, download=download, loss="LPIPS")
        layers = [str(place) for place in places]
        super().__init__(encoder, layers, [1] * len(layers), whole)
        self.net = net
        self._heads = dict(zip(layers, _channel_weights(net), strict=True))

    def distance(self, ours: Maps, theirs: Maps, layer: str) -> PerImage:
        difference = (directions(ours) - directions(theirs)).square()
        return (difference * self._heads[layer].to(difference.dtype)).sum(1).mean((1, 2))

    def stretched_to(self, images: Images) -> tuple[int, int]:
        return side_of(*images.shape[2:])

    def extra_repr(self) -> str:
        return f"{self.net}@{self.whole[:8]}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LPIPS":
        super()._apply(fn, recurse)
        self._heads = {layer: head.to(self.encoder.mean.device) for layer, head in self._heads.items()}
        return self


def _channel_weights(net: str) -> list[Tensor]:
    """Return the learned weights (1, C, 1, 1) of each layer's channels, which are files of torchmetrics."""
    file = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / f"{net}.pth"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return [state[f"lin{place}.model.1.weight"] for place in range(len(state))]
    except (OSError, pickle.UnpicklingError, RuntimeError, KeyError) as error:
        raise BadInput(
            f"LPIPS: expected the channel weights of {net} in {file} ({type(error).__name__}: {error}); "
            "install torchmetrics 1.9, which has them there"
        ) from error
