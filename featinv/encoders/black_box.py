"""An encoder that only answers: any callable on 8-bit images, such as a service or a graph in another runtime."""

import copy
from collections.abc import Callable
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from featinv.configuration import find
from featinv.errors import BadInput
from featinv.resize_crop import ResizeCrop
from featinv.types import Features, Images

from .feature_tensors import as_features, check_channels_first
from .fingerprints import output_fingerprint, probe_images
from .frozen import check_images

Takes = Literal["uint8", "tensor", "float", "pil"]
LEFT_OUT = (
    "attacks and losses that look through the victim's own layers (perceptual, feature consistency, DeePSiM, VQGAN); "
    "surrogates distilled from its vectors take their place"
)
"""what needs gradients of the victim, and so does without a black box"""


@final
class BlackBox(nn.Module):
    """images (B, 3, H, W) in [0, 1] -> features (B, D) or (B, C, h, w), float32, of a callable without gradients.

    Images are resized and cropped as `resize_crop` says, rounded to 8 bits, and given to `function` at most
    `batch_size` at once, as `takes` says. `gradient_stop` says why no gradient passes. Raises BadInput for pixels
    outside [0, 1], and for an answer that is not one row of finite numbers an image.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        name: str,
        family: str,
        input_size: int | ResizeCrop,
        takes: Takes = "uint8",
        batch_size: int = 256,
        trained_on: str = "",
        fingerprint: str | None = None,
        why: str = "it is a black box",
        assumed: str = "",
    ) -> None:
        super().__init__()
        if takes not in get_args(Takes):
            raise BadInput(f"takes: expected one of {', '.join(get_args(Takes))}, got {takes!r}")
        if batch_size < 1:
            raise BadInput(f"batch_size: expected at least 1 image, got {batch_size}")
        self.function = function
        self.name = name
        self.family = family
        self.trained_on = trained_on
        self.resize_crop = ResizeCrop(input_size) if isinstance(input_size, int) else input_size
        self.image_size = self.resize_crop.size
        self.takes = takes
        self.batch_size = batch_size
        self.gradient_stop = why
        self.assumed = assumed
        self.layer: str | None = None
        probed = self._probe()
        check_channels_first(probed, name=name)
        self.feature_shape = tuple(probed.shape[1:])
        setting = {"input_size": self.image_size, "takes": takes, "resize_crop": self.resize_crop.record()}
        self.fingerprint = output_fingerprint(probed, setting) if fingerprint is None else fingerprint

    def _probe(self) -> Tensor:
        try:
            return self(probe_images(self.image_size))
        except BadInput:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise BadInput(
                f"{self.name}: fails on two images of {self.image_size} px given as takes={self.takes!r}: {first}; "
                "call it yourself on such images"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> "BlackBox":
        # A session or a connection cannot be copied, and need not be.
        duplicate = copy.copy(self)
        memo[id(self)] = duplicate
        return duplicate

    @property
    def weights_fingerprint(self) -> str:
        """Its fingerprint: the weights are not at hand."""
        return self.fingerprint

    @property
    def differentiable(self) -> bool:
        """False."""
        return False

    @property
    def layers(self) -> list[str]:
        """None: it shows no layer."""
        return []

    @property
    def stages(self) -> list[str]:
        """None: it shows no maps."""
        return []

    def forward(self, images: Images) -> Features:
        """Return the features of images in [0, 1]; raises BadInput for others."""
        check_images(images, name=self.name)
        return self._answers(self.resize_crop.of_tensors(images.detach().float()))

    def of_cropped(self, images: Images) -> Features:
        """Return the features of images that `resize_crop` was applied to already: (B, 3, image_size, image_size)."""
        check_images(images, name=self.name)
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise BadInput(
                f"{self.name}: expected images resized and cropped to {self.image_size} px, got "
                f"{tuple(images.shape[-2:])}; call the encoder itself, which does both"
            )
        return self._answers(images.detach().float())

    def _answers(self, cropped: Tensor) -> Tensor:
        pixels = (cropped * 255).round().to(torch.uint8).cpu()
        parts = [self._answer(part) for part in pixels.split(self.batch_size)]
        return torch.cat(parts).to(cropped.device)

    def _answer(self, pixels: Tensor) -> Tensor:
        answer = self.function(_given(pixels, self.takes))
        if isinstance(answer, list | tuple) and answer and isinstance(answer[0], Tensor):
            answer = torch.stack([row.detach().cpu() for row in answer])
        if not isinstance(answer, Tensor):
            answer = _tensor(answer, self.name)
        features = as_features(answer.detach().cpu(), name=self.name)
        if len(features) != len(pixels) or not bool(features.isfinite().all()):
            raise BadInput(
                f"{self.name}: expected one row of finite numbers for each of {len(pixels)} images, got "
                f"{tuple(features.shape)}{'' if bool(features.isfinite().all()) else ' with NaN or infinity'}"
            )
        return features


def black_box(
    function: Callable[[Any], Any] | str,
    *,
    input_size: int | ResizeCrop,
    takes: Takes = "uint8",
    name: str = "black box",
    family: str = "unknown",
    batch_size: int = 256,
    trained_on: str = "",
    fingerprint: str | None = None,
) -> BlackBox:
    """Return an encoder around a callable on batches of 8-bit images, or its import path; no gradient passes.

    `takes` is what it is called with: "uint8" (a NumPy array (B, S, S, 3)), "tensor" (a uint8 tensor (B, 3, S, S)),
    "float" (the same as float32 in [0, 1]) or "pil" (a list of PIL images), at most `batch_size` images of
    S = `input_size` pixels. It returns one vector an image: an array, a tensor or a list. Its fingerprint comes from
    two answers unless given. Raises BadInput for what cannot be imported or called, and for other answers.
    """
    if isinstance(function, str):
        import featinv.encoders as group

        if "." not in function:
            raise BadInput(f"black_box: expected an import path (my_package.embed), got {function!r}")
        name, function = (function if name == "black box" else name), find(function, group)
    if not callable(function):
        raise BadInput(f"black_box: expected a callable, got {type(function).__name__}")
    return BlackBox(
        function,
        name=name,
        family=family,
        input_size=input_size,
        takes=takes,
        batch_size=batch_size,
        trained_on=trained_on,
        fingerprint=fingerprint,
    )


def _given(pixels: Tensor, takes: Takes) -> Any:
    """Return uint8 pixels (B, 3, S, S) as the callable takes them."""
    if takes == "tensor":
        return pixels
    if takes == "float":
        return pixels.float() / 255
    array = np.ascontiguousarray(rearrange(pixels, "b c h w -> b h w c").numpy())
    return array if takes == "uint8" else [Image.fromarray(image) for image in array]


def _tensor(answer: Any, name: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(answer, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{name}: expected one vector of numbers an image, got {type(answer).__name__} ({str(error)[:120]})"
        ) from error
