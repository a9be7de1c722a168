"""The encoder: a frozen network, cut at a layer, that turns images into features."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.resize_crop import ResizeCrop
from featinv.types import Features, Images

from .checks import why_no_gradient
from .cuts import compiled, cut, is_tokens, last_at_each_size, layer_names, token_blocks
from .feature_tensors import as_features, check_channels_first, what_failed
from .fingerprints import network_fingerprint, output_fingerprint, probe_images
from .frozen import FrozenNetwork, check_images
from .readouts import Kind, Readout


@final
class Encoder(FrozenNetwork):
    """images (B, 3, H, W) in [0, 1] -> features (B, D) or (B, C, h, w), float32, of a frozen network cut at a layer.

    Differentiable in the images where the network is (`differentiable`); fed in the precision of the network's first
    weights. (B, C, 1, 1) is squeezed to (B, C), tokens (B, T, C) are flattened; `layer=None` keeps the network's own
    output, and `readout` says which of its numbers are the features where it is no tensor. `input_size` is a side in
    pixels, or how an image is resized and cropped to it. `fingerprint` covers the weights, the layer, resizing and
    normalisation; a network without weights gets it from its outputs. `assumed` says what nobody stated of the
    preprocessing: an audit of such an encoder cannot pass. Raises BadInput for an unknown layer, for pixels outside
    [0, 1], for a network that cannot be fed, and for an output that is not one tensor or has its channels last. Layers
    are those of torchvision's `create_feature_extractor`; a network that torch.fx cannot trace is cut at the names of
    its modules instead, and a scripted one has none.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        family: str,
        trained_on: str = "",
        layer: str | None = None,
        input_size: int | ResizeCrop,
        mean: Sequence[int | float] = (0, 0, 0),
        std: Sequence[int | float] = (1, 1, 1),
        fingerprint: str | None = None,
        readout: Readout | None = None,
        assumed: str = "",
    ) -> None:
        super().__init__(
            network, name=name, family=family, trained_on=trained_on, input_size=input_size, mean=mean, std=std
        )
        self.layer = layer
        self.readout = readout
        self.assumed = assumed
        self.cut = network if layer is None else cut(network, [layer], name=type(network).__name__)
        # Filled by `taps`, which cuts once a tuple of layers.
        self.extractors = nn.ModuleList()
        self.extracted: dict[tuple[str, ...], int] = {}
        self._stopped: str | None = None
        self._freeze()
        probed = self._probe()
        check_channels_first(probed, name=name)
        self.feature_shape = tuple(probed.shape[1:])
        setting: dict[str, Any] = {"layer": layer, "input_size": self.image_size, **self.normalisation}
        # Only where they are given: fingerprints of encoders that say nothing of either stay what they were.
        if not self.resize_crop.is_plain:
            setting["resize_crop"] = self.resize_crop.record()
        if readout is not None:
            setting["readout"] = readout.kind
        if fingerprint is not None:
            self.fingerprint = fingerprint
        elif network.state_dict():
            self.fingerprint = network_fingerprint(network, setting)
        else:
            self.fingerprint = output_fingerprint(probed, setting)

    def _probe(self) -> Tensor:
        # The network may draw random numbers: seeded for the fingerprint, and the caller's generator left as it was.
        images = probe_images(self.image_size).to(self.mean.device)
        try:
            with seeded(0), torch.no_grad():
                return self(images)
        except (BadInput, torch.OutOfMemoryError):
            raise
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:  # what networks raise when fed wrongly
            raise BadInput(what_failed(error, name=self.name, shape=tuple(images.shape))) from error

    @property
    def differentiable(self) -> bool:
        """Whether a gradient passes from the features to the images; tried once, on two images, when first asked."""
        return not self.gradient_stop

    @property
    def gradient_stop(self) -> str:
        """Why no gradient passes, as in "it computes under no_grad, or detaches"; empty where one does."""
        if self._stopped is None:
            images = probe_images(self.image_size).to(self.mean.device)
            self._stopped = why_no_gradient(self.unchecked, images)
        return self._stopped

    def forward(self, images: Images) -> Features:
        """Return the features of images in [0, 1]; raises BadInput for others."""
        check_images(images, name=self.name)
        return self.unchecked(images).to(torch.float32)

    def unchecked(self, images: Images) -> Features:
        """Return the features of images whose values somebody else vouches for; of NaN, NaN.

        To look at values makes the host wait for an accelerator, which training should not do at every step. Features
        of a network that was made float64 stay so.
        """
        with self._exact(images.device):
            return self._features(self._fed(images))

    def of_cropped(self, images: Images) -> Features:
        """Return the features of images that `resize_crop` was applied to already: (B, 3, image_size, image_size).

        They are in [0, 1] and not normalised. Raises BadInput for another size, and for pixels outside [0, 1].
        """
        check_images(images, name=self.name)
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise BadInput(
                f"{self.name}: expected images resized and cropped to {self.image_size} px, got "
                f"{tuple(images.shape[-2:])}; call the encoder itself, which does both"
            )
        with self._exact(images.device):
            return self._features(self._normalised(images.to(self._precision))).to(torch.float32)

    def _features(self, fed: Tensor) -> Features:
        output = self.cut(fed)
        output = output if self.layer is None else output[self.layer]
        output = output if self.readout is None else self.readout(output, name=self.name)
        return as_features(output, name=self.name, dtype=self._precision)

    @property
    def layers(self) -> list[str]:
        """Every layer this network can be cut at."""
        return layer_names(self.network)

    @property
    def stages(self) -> list[str]:
        """The last layer at each resolution above one pixel, up to this encoder's own cut: what a loss looks at.

        Found by a pass over one image. Empty where no layer gives maps (B, C, h, w), as in a plain callable or a
        scripted network.
        """
        if compiled(self.network):
            return []
        with seeded(0), torch.no_grad(), self._exact(self.mean.device):
            image = self._fed(probe_images(self.image_size)[:1].to(self.mean.device))
            return last_at_each_size(self.network, image, self.layer)

    @property
    def perceptual_layers(self) -> list[str]:
        """What a loss looks at when nobody names layers: `stages`, and four blocks of a transformer's tokens."""
        if compiled(self.network):
            return []
        with seeded(0), torch.no_grad(), self._exact(self.mean.device):
            image = self._fed(probe_images(self.image_size)[:1].to(self.mean.device))
            return [*self.stages, *token_blocks(self.network, image, self.layer)]

    def taps(
        self,
        images: Images,
        layers: Sequence[str],
        *,
        size: tuple[int, int] | None = None,
        checked: bool = True,
        positions: bool = False,
    ) -> dict[str, Tensor]:
        """Return the outputs of several layers, as features, in one pass; differentiable; raises BadInput as above.

        `size` (height, width) is what images are stretched to instead of `image_size`, for layers that take any.
        `checked=False` does not look at the values, as `unchecked`. With `positions` tokens (B, T, C) are maps
        (B, C, T, 1) of as many positions, and not flattened; those on a grid (B, h, w, C) are maps (B, C, h, w).
        """
        wanted = tuple(layers)
        if wanted not in self.extracted:
            self.extractors.append(cut(self.network, wanted, name=type(self.network).__name__).eval())
            self.extracted[wanted] = len(self.extractors) - 1
        if checked:
            check_images(images, name=self.name)
        with self._exact(images.device):
            outputs = self.extractors[self.extracted[wanted]](self._fed(images, size))
            if positions:
                outputs = {layer: _as_positions(output) for layer, output in outputs.items()}
            return {
                layer: as_features(outputs[layer], name=f"{self.name}/{layer}", dtype=self._precision)
                for layer in wanted
            }


def _as_positions(output: Any) -> Any:
    if not is_tokens(output):
        return output
    return output.transpose(1, 2).unsqueeze(-1) if output.ndim == 3 else output.permute(0, 3, 1, 2)


def wrap(
    network: nn.Module | Callable[[Tensor], Any],
    *,
    name: str,
    family: str,
    input_size: int | ResizeCrop,
    layer: str | None = None,
    trained_on: str = "",
    mean: Sequence[int | float] = (0, 0, 0),
    std: Sequence[int | float] = (1, 1, 1),
    fingerprint: str | None = None,
    readout: Kind | None = None,
) -> Encoder:
    """Return an Encoder around your own network: called with (B, 3, input_size, input_size), (pixels - mean) / std.

    A module is frozen and put into eval mode in place; a plain callable has no layers, and its fingerprint comes from
    its outputs unless you give one; whatever it calls must be in eval mode already. A module is fed in the precision of
    its first weights. A scripted or traced module has no layers either. `input_size` is a side in pixels (images are
    stretched to it) or a `featinv.ResizeCrop`; `readout` chooses among tokens or named outputs ("pooled", "cls",
    "mean", "tokens" or "grid"), of the layer where one is named. Raises BadInput for what is not callable, for a layer
    where there are none, and for a network that fails or returns anything but one tensor of floating-point numbers,
    saying what to write instead.
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
        readout=None if readout is None else Readout(readout),
    )


class _Called(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)
