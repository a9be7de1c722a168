"""Any module or callable of the user's as an encoder."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from featinv.errors import BadInput

from .encoder import Encoder


def wrap(
    network: nn.Module | Callable[[Tensor], Any],
    *,
    name: str,
    family: str,
    input_size: int,
    layer: str | None = None,
    trained_on: str = "",
    mean: Sequence[int | float] = (0, 0, 0),
    std: Sequence[int | float] = (1, 1, 1),
    fingerprint: str | None = None,
) -> Encoder:
    """Return an Encoder around your own network: called with (B, 3, input_size, input_size), (pixels - mean) / std.

    A module is frozen and put into eval mode in place; a plain callable has no layers, and its fingerprint comes from
    its outputs unless you give one; whatever it calls must be in eval mode already. A module is fed in the precision of
    its first weights. A scripted or traced module has no layers either. Raises BadInput for what is not callable, for a
    layer where there are none, and for a network that fails or returns anything but one tensor of floating-point
    numbers, saying what to write instead.
    """
    if not callable(network):
        raise BadInput(f"network: expected an nn.Module or a callable, got {type(network).__name__}; wrap a function")
    if not isinstance(network, nn.Module):
        if layer is not None:
            raise BadInput(f"layer: expected None for a plain callable, got {layer!r}; give an nn.Module to cut it")
        network = _Called(network)
    return Encoder(
        network,
        name=name,
        family=family,
        trained_on=trained_on,
        layer=layer,
        input_size=input_size,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
    )


class _Called(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)
