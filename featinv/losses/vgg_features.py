"""Squared distances between the maps of a VGG network."""

import os
from collections.abc import Sequence
from typing import final

from torch import nn

from featinv.errors import BadInput
from featinv.losses.feature_maps import FeatureMaps, Maps
from featinv.losses.imagenet_networks import PUBLISHED, convolutions, side_of
from featinv.types import Images, PerImage


@final
class VGGFeatures(FeatureMaps):
    """Weighted sum over layers of a VGG of the mean squared difference of its maps, over channels and positions.

    `layers` have the names of the source, `relu1_1` to `relu5_3` (`relu5_4` in `vgg19`), or `conv1_1` and so on;
    `shares` are their weights, 1 / number of layers by default. The ImageNet weights are read from torch's cache or
    from the file `weights`, a torchvision state dict, and downloaded only with `download=True`. Images below 64
    pixels are enlarged to 64.

    Raises BadInput at once where weights are missing, for a layer that does not exist, for shares that are no weights,
    and for pixels outside [0, 1]. Source: arXiv:1603.08155, equation 2; we normalise pixels as torchvision's weights
    want it, theirs were of Caffe.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        *,
        network: str = "vgg16",
        weights: str | os.PathLike[str] = PUBLISHED,
        shares: Sequence[int | float] | None = None,
        download: bool = False,
    ) -> None:
        if network not in ("vgg16", "vgg19"):
            raise BadInput(f"VGGFeatures: expected network to be vgg16 or vgg19, got {network!r}")
        encoder, whole = convolutions(network, weights, download=download, loss="VGGFeatures")
        places = _places(encoder.network)
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        if missing := [layer for layer in names if layer not in places]:
            raise BadInput(
                f"VGGFeatures: there is no layer {missing[0]!r} in {network}; there are: {', '.join(places)}"
            )
        super().__init__(encoder, [places[layer] for layer in names], shares, whole)
        self.names = names

    def distance(self, ours: Maps, theirs: Maps, layer: str) -> PerImage:
        del layer
        return (ours - theirs).square().mean((1, 2, 3))

    def extra_repr(self) -> str:
        shares = ", ".join(f"{weight:g}*{name}" for name, weight in zip(self.names, self.weights, strict=True))
        return f"{self.encoder.name}@{self.whole[:8]}, {shares}"

    def stretched_to(self, images: Images) -> tuple[int, int]:
        return side_of(*images.shape[2:])


def _places(features: nn.Module) -> dict[str, str]:
    """Return the name in torchvision's `features` of every convolution and every ReLU, by the name in papers."""
    block, count, places = 1, 0, {}
    for name, module in features.named_children():
        if isinstance(module, nn.Conv2d):
            count += 1
            places[f"conv{block}_{count}"] = name
        elif isinstance(module, nn.ReLU):
            places[f"relu{block}_{count}"] = name
        elif isinstance(module, nn.MaxPool2d):
            block, count = block + 1, 0
    return places
