"""The encoder: a frozen network, cut at a layer, that turns pictures into features."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from featinv.processes import seeded
from featinv.types import Features, Images

from .cuts import as_features, cut, layer_names
from .fingerprints import network_fingerprint, output_fingerprint, probe_pictures
from .frozen import FrozenNetwork


@final
class Encoder(FrozenNetwork):
    """images (B, 3, H, W) in [0, 1] -> features (B, D) or (B, C, h, w), float32, of a frozen network cut at a layer.

    Differentiable in the images. (B, C, 1, 1) is squeezed to (B, C), tokens (B, T, C) are flattened; `layer=None` keeps
    the network's own output. `fingerprint` covers the weights, the layer, the input size and the normalisation; a
    network without weights gets it from its outputs. Raises BadInput for an unknown layer, for pixels outside [0, 1]
    and for an output that is not one tensor. Layers are those of torchvision's `create_feature_extractor`; a network
    that torch.fx cannot trace is cut at the names of its modules instead.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        family: str,
        trained_on: str = "",
        layer: str | None = None,
        input_size: int,
        mean: Sequence[int | float] = (0, 0, 0),
        std: Sequence[int | float] = (1, 1, 1),
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(
            network, name=name, family=family, trained_on=trained_on, input_size=input_size, mean=mean, std=std
        )
        self.layer = layer
        self.cut = network if layer is None else cut(network, [layer], name=type(network).__name__)
        # Filled by `taps`, which cuts once a tuple of layers.
        self.extractors = nn.ModuleList()
        self.extracted: dict[tuple[str, ...], int] = {}
        self._freeze()
        probed = self._probe()
        self.feature_shape = tuple(probed.shape[1:])
        setting = {"layer": layer, "input_size": input_size, **self.normalisation}
        if fingerprint is not None:
            self.fingerprint = fingerprint
        elif network.state_dict():
            self.fingerprint = network_fingerprint(network, setting)
        else:
            self.fingerprint = output_fingerprint(probed, setting)

    def _probe(self) -> Tensor:
        # The network may draw random numbers: seeded for the fingerprint, and the caller's generator left as it was.
        with seeded(0), torch.no_grad():
            return self(probe_pictures(self.image_size).to(self.mean.device))

    def forward(self, images: Images) -> Features:
        """Return the features of pictures in [0, 1]; raises BadInput for others."""
        with self._exact(images.device):
            output = self.cut(self._prepare(images))
            return as_features(output if self.layer is None else output[self.layer], name=self.name)

    @property
    def layers(self) -> list[str]:
        """Every layer this network can be cut at."""
        return layer_names(self.network)

    def taps(self, images: Images, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of several layers, as features, in one pass; differentiable; raises BadInput as above."""
        wanted = tuple(layers)
        if wanted not in self.extracted:
            self.extractors.append(cut(self.network, wanted, name=type(self.network).__name__).eval())
            self.extracted[wanted] = len(self.extractors) - 1
        with self._exact(images.device):
            outputs = self.extractors[self.extracted[wanted]](self._prepare(images))
            return {layer: as_features(outputs[layer], name=f"{self.name}/{layer}") for layer in wanted}
