"""What `OptimisationAttack` changes: the pixels themselves, or the weights of an untrained network that draws them."""

from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from featinv.processes import seeded
from featinv.types import Images

CHANNELS, CODE = 32, 16
"""channels of the untrained network, and those of its input"""
NOISE = 1 / 30
"""deviation of the noise added to the network's input in each step, as in arXiv:1711.10925"""


@runtime_checkable
class Canvas(Protocol):
    """Images under optimisation: `parameters` are what the optimiser changes."""

    parameters: list[Tensor]

    def images(self, dice: torch.Generator | None) -> Images:
        """Return the images (B, 3, S, S) in [0, 1] as they are; with `dice`, as a step sees them."""
        ...

    def stepped(self) -> None:
        """Bring the parameters back to what is allowed, after a step."""
        ...


@final
class Pixels:
    """Images of their own pixels, from one start (3, S, S), clamped to [0, 1] after each step."""

    def __init__(self, start: Tensor, count: int) -> None:
        self.pixels = start.clamp(0, 1).expand(count, -1, -1, -1).clone().requires_grad_()
        self.parameters = [self.pixels]

    def images(self, dice: torch.Generator | None) -> Images:
        del dice
        return self.pixels

    def stepped(self) -> None:
        with torch.no_grad():
            self.pixels.clamp_(0, 1)


@final
class UntrainedNetworks:
    """One small convolutional network an image, all from the same weights; the fixed input is noise.

    The structure of the network is the prior: smooth images are learned before texture (deep image prior,
    arXiv:1711.10925). Nearest in shape to the decoder part of theirs, for small images: convolution, normalisation,
    leaky ReLU and bilinear upsampling from a quarter of the side.
    """

    def __init__(self, size: int, count: int, seed: int, device: torch.device) -> None:
        with seeded(seed):
            network = _untrained(size)
            self.code = torch.randn(CODE, _coarse(size), _coarse(size)).to(device)
        self.network = network.to(device)
        self.weights = {
            name: tensor.detach().expand(count, *tensor.shape).clone().requires_grad_()
            for name, tensor in self.network.named_parameters()
        }
        self.parameters = list(self.weights.values())

    def images(self, dice: torch.Generator | None) -> Images:
        code = self.code
        if dice is not None:
            code = code + NOISE * torch.randn(code.shape, generator=dice).to(code)

        def drawn(weights: dict[str, Tensor]) -> Tensor:
            image: Tensor = functional_call(self.network, weights, (code[None],))
            return image[0]

        return vmap(drawn)(self.weights)

    def stepped(self) -> None:
        """Weights may have any value."""


def _coarse(size: int) -> int:
    return max(1, size // 4)


def _untrained(size: int) -> nn.Module:
    layers: list[nn.Module] = []
    inside = CODE
    for side in (_coarse(size), max(1, size // 2), size):
        layers += [nn.Upsample(size=(side, side), mode="bilinear", align_corners=False)]
        layers += [nn.Conv2d(inside, CHANNELS, 3, padding=1), nn.GroupNorm(4, CHANNELS), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.GroupNorm(4, CHANNELS), nn.LeakyReLU(0.2)]
        inside = CHANNELS
    return nn.Sequential(*layers, nn.Conv2d(CHANNELS, 3, 1), nn.Sigmoid())
