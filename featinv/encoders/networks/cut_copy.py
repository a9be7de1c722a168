"""A trainable copy of one of these networks, cut at a layer: what an attacker makes of a victim's encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featinv.blocks import Standardise
from featinv.errors import BadInput


class CutCopy(nn.Module):
    """The network `kind(**arguments)` up to `layer`, flattened and standardised: (B, 3, H, W) normalised -> (B, width).

    `gain` and `offset`, three numbers each, turn the normalisation of the images that it is fed into that of the
    network. Nodes: those of the network under `network`, norm (the standardised numbers). Raises BadInput for a network
    that is none of `featinv.encoders.networks`, for an unknown layer, and for another width than the layer has.
    """

    def __init__(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        layer: str,
        width: int,
        family: str,
        gain: Sequence[int | float] = (1, 1, 1),
        offset: Sequence[int | float] = (0, 0, 0),
    ) -> None:
        super().__init__()
        # Here, because the package of the networks names this one too.
        from featinv.encoders import networks
        from featinv.encoders.cuts import cut

        if kind not in networks.__all__ or kind == CutCopy.__name__:
            raise BadInput(f"CutCopy: expected one of {', '.join(networks.__all__)}, got {kind!r}")
        self.kind, self.arguments, self.layer, self.width = kind, dict(arguments), layer, width
        self.family, self.gain, self.offset = family, tuple(gain), tuple(offset)
        self.network = cut(getattr(networks, kind)(**arguments), [layer], name=kind)
        self.register_buffer("scale", _channels(gain), persistent=False)
        self.register_buffer("shift", _channels(offset), persistent=False)
        self.norm = Standardise((width,))

    scale: Tensor
    shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.network(self.scale * x + self.shift)[self.layer].flatten(1))


def _channels(numbers: Sequence[int | float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32).reshape(1, 3, 1, 1)
