"""What encoders and judges share: frozen, always in eval mode, resizing and normalising inside themselves."""

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.resize_crop import LARGEST, ResizeCrop, resize_tensors
from featinv.types import Images

from .fingerprints import weights_fingerprint

# A resize or a rounding to bfloat16 may leave [0, 1] by this much.
_SLACK = 1e-3


class FrozenNetwork(nn.Module, ABC):
    """A network of fixed weights that takes images (B, 3, H, W) in [0, 1] of any size; differentiable in them.

    Images are resized and cropped as `resize_crop` says; by default, those of another size than `image_size` are
    stretched to it (bilinear, antialiased). Its parameters need no gradient, `train()` does nothing, and autocast does
    not reach it: its precision is part of what is measured.
    """

    mean: Tensor
    std: Tensor
    fingerprint: str

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        family: str,
        trained_on: str,
        input_size: int | ResizeCrop,
        mean: Sequence[int | float],
        std: Sequence[int | float],
    ) -> None:
        super().__init__()
        if isinstance(input_size, int) and not 1 <= input_size <= LARGEST:
            raise BadInput(f"input_size: expected 1 to {LARGEST} pixels, got {input_size}; give the size of {name}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise BadInput(f"mean, std: expected three numbers each, std above 0, got {list(mean)} and {list(std)}")
        self.name = name
        self.family = family
        self.trained_on = trained_on
        self.resize_crop = ResizeCrop(input_size) if isinstance(input_size, int) else input_size
        self.image_size = self.resize_crop.size
        self.network = network
        self._weights_fingerprint: str | None = None
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, 3, 1, 1), persistent=False)

    def _freeze(self) -> None:
        self.requires_grad_(False)
        super().train(False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenNetwork":
        # torch.fx forgets the mode when it copies a graph: the copy's batch norms would come out in train mode.
        duplicate = type(self).__new__(type(self))
        memo[id(self)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        duplicate._freeze()
        return duplicate

    def train(self, mode: bool = True) -> "FrozenNetwork":
        """Do nothing: a frozen network stays in eval mode, whatever the module around it does."""
        del mode
        return self

    @property
    def weights_fingerprint(self) -> str:
        """sha256 of the weights alone: equal for one network cut at two layers, fed at two sizes, or made a judge.

        Computed when it is first asked for. A network without weights has its `fingerprint` here too.
        """
        if self._weights_fingerprint is None:
            has_weights = bool(self.network.state_dict())
            self._weights_fingerprint = weights_fingerprint(self.network) if has_weights else self.fingerprint
        return self._weights_fingerprint

    @property
    def normalisation(self) -> dict[str, list[float]]:
        """Mean and deviation subtracted from and divided out of [0, 1] pixels, a number a channel."""
        return {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}

    def _prepare(self, images: Images) -> Tensor:
        check_images(images, name=self.name)
        return self._fed(images)

    def _fed(self, images: Images, size: tuple[int, int] | None = None) -> Tensor:
        """Return what the network is fed: resized and cropped, or stretched to another size; then normalised."""
        x = images.to(self._precision)
        if size is None:
            x = self.resize_crop.of_tensors(x)
        elif tuple(x.shape[-2:]) != size:
            x = resize_tensors(x, size)
        return self._normalised(x)

    def _normalised(self, cropped: Tensor) -> Tensor:
        return ((cropped - self.mean) / self.std).to(_precision_of(self.network, self._precision))

    @property
    def _precision(self) -> torch.dtype:
        """What images are resized and normalised in, and features returned in: float32, of a double encoder float64."""
        return torch.promote_types(self.mean.dtype, torch.float32)

    def _exact(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, enabled=False)

    @abstractmethod
    def forward(self, images: Images) -> Any: ...


def _precision_of(network: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    """Return the precision of a network's first weights, which are those that meet the images."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), otherwise)


def check_images(images: Tensor, *, name: str) -> None:
    """Raise BadInput unless images is (B, 3, H, W), floating point, inside [0, 1] (to 1e-3) and finite."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or images.numel() == 0:
        raise BadInput(
            f"{name}: expected float images (B, 3, H, W), got {images.dtype} {tuple(images.shape)}; {_fix(images)}"
        )
    low, high = (float(x) for x in images.detach().aminmax())
    # Written so that NaN fails too.
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise BadInput(
            f"{name}: expected pixels in [0, 1], got {low:.4g} to {high:.4g}; give RGB in [0, 1], not normalised"
        )


def _fix(images: Tensor) -> str:
    """Return the expression that makes (B, 3, H, W), floating point, of these images, as far as their shape tells."""
    shape = tuple(images.shape)
    if images.numel() == 0:
        return "give at least one image"
    match shape:
        case (_, 3, _, _):
            layout = "x"
        case (_, 1, _, _):
            layout = "x.expand(-1, 3, -1, -1)"  # gray
        case (_, 4, _, _):
            layout = "x[:, :3]"  # RGB and opacity
        case (_, _, _, 3):
            layout = "x.permute(0, 3, 1, 2)"
        case (_, _, _, 1):
            layout = "x.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)"
        case (_, _, _, 4):
            layout = "x[..., :3].permute(0, 3, 1, 2)"
        case (3, _, _):
            layout = "x[None]"  # one image
        case (_, _, 3):
            layout = "x.permute(2, 0, 1)[None]"
        case (_, _, _):
            layout = "x[:, None].expand(-1, 3, -1, -1)"  # gray images without an axis for channels
        case _:
            return "give RGB images, channels first"
    whole = "" if images.is_floating_point() else " / 255"
    return f"convert them by {layout}{whole}"
