"""The judge: an independent network that only ever scores."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.types import Images

from .cuts import cut
from .feature_tensors import as_features
from .fingerprints import network_fingerprint, probe_images
from .frozen import FrozenNetwork


@final
class Judge(FrozenNetwork):
    """images (B, 3, H, W) in [0, 1] -> (features (B, D), logits (B, K)) of a frozen classifier; it only ever scores.

    `layer` gives the features, flattened; `logits` names the layer whose first K = len(classes) columns are the logits
    of `classes` (further columns belong to other heads). Differentiable, but nothing may train against it. Raises
    BadInput for an unknown layer and for fewer columns than classes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        family: str,
        trained_on: str,
        classes: Sequence[str],
        input_size: int,
        layer: str = "avgpool",
        logits: str = "linear",
        mean: Sequence[int | float] = (0, 0, 0),
        std: Sequence[int | float] = (1, 1, 1),
    ) -> None:
        super().__init__(
            network, name=name, family=family, trained_on=trained_on, input_size=input_size, mean=mean, std=std
        )
        self.classes = tuple(classes)
        self.layer = layer
        self.logits = logits
        self.cut = cut(network, [layer, logits], name=type(network).__name__)
        self._freeze()
        setting = {"layer": layer, "logits": logits, "input_size": input_size, **self.normalisation}
        self.fingerprint = network_fingerprint(network, setting)
        with seeded(0), torch.no_grad():
            columns = self.cut(self._prepare(probe_images(input_size).to(self.mean.device)))[logits].shape[-1]
        if not 2 <= len(self.classes) <= columns:
            raise BadInput(
                f"classes: expected 2 to {columns} names, as {logits} of {name} has, got {len(self.classes)}"
            )

    def forward(self, images: Images) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K"]]:
        """Return the features and the logits of images in [0, 1]; raises BadInput for others."""
        with self._exact(images.device):
            outputs = self.cut(self._prepare(images))
            features = as_features(outputs[self.layer], name=self.name).flatten(1)
            logits = as_features(outputs[self.logits], name=self.name)
        return features, logits[:, : len(self.classes)]
