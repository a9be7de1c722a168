"""The convolution that the discriminators are stacked from."""

from typing import Literal, TypeAlias, get_args

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from featinv.errors import BadInput

Norm: TypeAlias = Literal["batch", "none", "spectral"]

DEVIATION = 0.02
"""standard deviation of every initial weight: arXiv:1511.06434, section 4"""


def check_norm(norm: str, discriminator: str) -> None:
    """Raise BadInput unless the name is one of the three."""
    if norm not in get_args(Norm):
        raise BadInput(f"{discriminator}: expected norm to be {', '.join(get_args(Norm))}, got {norm!r}")


def convolution(inside: int, outside: int, *, stride: int, padding: int, norm: Norm, bare: bool = False) -> nn.Module:
    """Return a 4x4 convolution; `bare` ones (first and last layers) have no batch norm, but a spectral norm.

    Weights start from N(0, 0.02) and biases at zero; there is no bias where a batch norm brings its own.
    """
    batch = norm == "batch" and not bare
    layer = nn.Conv2d(inside, outside, 4, stride=stride, padding=padding, bias=not batch)
    # Before the parametrisation: afterwards `weight` is a result, and drawing it anew would change nothing.
    nn.init.normal_(layer.weight, std=DEVIATION)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if norm == "spectral":
        return spectral_norm(layer)
    if not batch:
        return layer
    normalise = nn.BatchNorm2d(outside)
    nn.init.normal_(normalise.weight, mean=1.0, std=DEVIATION)
    return nn.Sequential(layer, normalise)
