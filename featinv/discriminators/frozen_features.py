"""A discriminator that looks through the eyes of a frozen network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final, runtime_checkable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from featinv.blocks import UnregisteredModule
from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.types import Features, Images

from .discriminator import Discriminator, Hidden, Logits, check_count, check_image_size

GRID = 4
"""a layer's map is halved until its side is at most this"""


@runtime_checkable
class Backbone(Protocol):
    """A frozen network whose layers can be looked at: every `featinv.encoders.Encoder` is one."""

    @property
    def weights_fingerprint(self) -> str: ...

    def taps(self, images: Images, layers: Sequence[str], /) -> Mapping[str, Tensor]: ...

    def to(self, device: torch.device, /) -> object: ...


@final
class FrozenFeatures(Discriminator):
    """images (B, 3, S, S) -> logits (B, N): small spectral-norm heads on layers of a frozen encoder.

    A head is a 1x1 convolution to `width` channels, 4x4 convolutions of stride 2 until the map is at most 4 pixels
    square, and LeakyReLU 0.2 after each; one 1x1 convolution, which the layers share, makes the N logits, one for each
    position of each layer. Only the heads learn. Pixels that an augmentation moved out of [0, 1] are clamped.

    The encoder is held, not owned: it is in neither `parameters()` nor `state_dict()`, so that unfreezing the
    discriminator after the decoder's half of a step does not unfreeze it, and `.to()` moves it to another device but
    never to another precision. The images learn to please it, so it is excluded as a judge: `fingerprints` says which.

    Raises BadInput for a layer that does not exist, saying which do. Source: arXiv:2111.01007 and arXiv:2301.09515; we
    leave out their random projections and convolve where the latter has tokens.
    """

    def __init__(self, encoder: Backbone, image_size: int, *, layers: Sequence[str], width: int = 64) -> None:
        check_image_size(image_size, "FrozenFeatures")
        check_count(width, "width", "FrozenFeatures")
        if not isinstance(encoder, Backbone):
            raise BadInput(
                f"FrozenFeatures: expected an encoder with layers to look at, got {type(encoder).__name__}; "
                "wrap a network of yours by featinv.encoders.wrap"
            )
        if isinstance(layers, str) or not layers:
            raise BadInput(f"FrozenFeatures: expected the names of one or more layers, got {layers!r}")
        super().__init__(image_size, width)
        self._unregistered = UnregisteredModule(encoder)
        self.layers = tuple(layers)
        self.width = width
        with seeded(0), torch.no_grad():
            maps = encoder.taps(torch.full((1, 3, image_size, image_size), 0.5, device=_device(encoder)), self.layers)
        self.heads = nn.ModuleList(_head(_as_map(maps[layer]), width) for layer in self.layers)
        self.last = spectral_norm(nn.Conv1d(width, 1, 1))

    @property
    def encoder(self) -> Backbone:
        """The frozen network that it looks through; a copy of the discriminator looks through the same."""
        return self._unregistered.network

    @property
    def fingerprints(self) -> frozenset[str]:
        """That of the weights of the encoder, wherever it is cut."""
        return frozenset({self.encoder.weights_fingerprint})

    def hidden(self, images: Images) -> Hidden:
        maps = self.encoder.taps(images.clamp(0, 1), self.layers)
        outputs = [head(_as_map(maps[layer])) for head, layer in zip(self.heads, self.layers, strict=True)]
        return torch.cat([rearrange(output, "b c h w -> b c (h w)") for output in outputs], dim=2)

    def head(self, hidden: Hidden, features: Features | None) -> Logits:
        del features
        return self.last(hidden).squeeze(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FrozenFeatures":
        super()._apply(fn, recurse)
        self.encoder.to(next(self.parameters()).device)
        return self


def _as_map(tap: Tensor) -> Tensor:
    return tap[:, :, None, None] if tap.ndim == 2 else tap


def _device(encoder: Backbone) -> torch.device:
    tensors = [*encoder.parameters(), *encoder.buffers()] if isinstance(encoder, nn.Module) else []
    return tensors[0].device if tensors else torch.device("cpu")


def _head(example: Tensor, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [spectral_norm(nn.Conv2d(example.shape[1], width, 1)), nn.LeakyReLU(0.2)]
    side = max(example.shape[2:])
    while side > GRID:
        layers += [spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        side //= 2
    return nn.Sequential(*layers)
