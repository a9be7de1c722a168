"""Losses through torchvision's ImageNet networks: LPIPS and VGG features; nothing is downloaded unless asked for."""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, final

import torch
import torchmetrics
from torch import Tensor, nn
from torchvision import models

from featinv import encoders
from featinv.errors import BadInput
from featinv.losses.feature_maps import FeatureMaps, Maps, directions
from featinv.types import Images, PerImage

PUBLISHED = "IMAGENET1K_V1"

_SMALLEST = 64
"""Images below this side are enlarged to it: of 32 pixels, the last maps of these networks have one or two."""


class Convolutions(NamedTuple):
    """The convolutional part of a classifier, and the fingerprint of the whole classifier's weights."""

    encoder: encoders.Encoder
    whole: str


def convolutions(name: str, weights: str | os.PathLike[str], *, download: bool, loss: str) -> Convolutions:
    """Return the convolutions of a torchvision classifier with ImageNet weights, from a file or from torch's cache.

    Raises BadInput at once where the file is missing: with the three ways to get it, and a loss that needs none.
    """
    entry = models.get_model_weights(name)[PUBLISHED]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    published = os.fspath(weights) == PUBLISHED
    file = cached if published else Path(weights)
    if not file.is_file() and not (published and download):
        raise BadInput(
            f"{loss}: the ImageNet weights of {name} are not at {file}; three ways to get them: download=True on a "
            f"machine with a network, a copy of {entry.url} put there as {cached}, or weights=PATH of such a file; "
            "Perceptual(victim.encoder) needs none"
        )
    whole = encoders.torchvision(name, layer="features", weights=weights, input_size=_SMALLEST)
    # The classifier behind the convolutions has nine tenths of VGG's weights, and none of its maps.
    part = encoders.Encoder(
        whole.network.features,  # type: ignore[arg-type]
        name=name,
        family=whole.family,
        trained_on=whole.trained_on,
        input_size=_SMALLEST,
        mean=whole.normalisation["mean"],
        std=whole.normalisation["std"],
    )
    return Convolutions(part, whole.weights_fingerprint)


def side_of(height: int, width: int) -> tuple[int, int]:
    """Return the size at which images are shown to these networks: their own, but at least 64 pixels a side."""
    scale = max(1.0, _SMALLEST / min(height, width))
    return round(scale * height), round(scale * width)


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
