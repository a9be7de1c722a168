"""The encoder and the defence as one frozen arrow, images -> released features."""

import copy
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from featinv.block_sizes import in_blocks, rows_at_once
from featinv.data import ImageSet
from featinv.defences import Identity, least_batch
from featinv.defences.chains import fingerprint_pieces
from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.types import Encoder, Features, Images


@final
class Victim(nn.Module):
    """What is attacked: images (B, 3, H, W) in [0, 1] -> features as released, (B, D) or (B, C, h, w), float32.

    Never in train mode, without trainable parameters (those of `encoder` and `defence` are frozen), and differentiable
    in the images. Autocast does not reach it: its precision is part of the threat model. Without a `defence` the
    features are released as the encoder makes them. Raises BadInput if the defence cannot take the encoder's features.
    """

    def __init__(self, encoder: Encoder, defence: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.defence = Identity() if defence is None else defence
        self.requires_grad_(False)
        self.train(False)
        self._check_fitted_on()
        self.image_size = encoder.image_size
        self.feature_shape = self._defended_shape()

    def train(self, mode: bool = True) -> "Victim":
        """Stay in eval mode whatever `mode` says: a released vector does not depend on its batch mates."""
        return super().train(False)

    def forward(self, images: Images) -> Features:
        """Return the defended features; a defence that draws does so from torch's global generator."""
        features = self._encode(images)
        with torch.autocast(features.device.type, enabled=False):
            return self.defence(features)

    @property
    def name(self) -> str:
        """The encoder's name, and the defence's where there is one."""
        return self.encoder.name if isinstance(self.defence, Identity) else f"{self.encoder.name} + {self.defence!r}"

    @property
    def device(self) -> torch.device:
        """Where the weights lie, and hence where images are encoded."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def fingerprint(self) -> str:
        """sha256 over the encoder's fingerprint, layer and input size, and all that the defence consists of."""
        layer = getattr(self.encoder, "layer", None)
        digest = hashlib.sha256(f"{self.encoder.fingerprint}\n{layer}\n{self.image_size}\n".encode())
        for piece in fingerprint_pieces(self.defence):
            digest.update(piece)
        return digest.hexdigest()

    @property
    def metadata(self) -> dict[str, Any]:
        """A JSON-able description that goes into every manifest, attack and scoreboard."""
        return {
            "name": self.name,
            "encoder": self.encoder.name,
            "family": self.encoder.family,
            "layer": getattr(self.encoder, "layer", None),
            "trained_on": getattr(self.encoder, "trained_on", ""),
            "encoder_fingerprint": self.encoder.fingerprint,
            "defence": repr(self.defence),
            "fingerprint": self.fingerprint,
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
        }

    def publish(
        self,
        images: ImageSet,
        block: npt.ArrayLike,
        *,
        seed: int,
        block_number: int,
        view: int = 0,
        flip: bool = False,
        batch_size: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Encode the images at the indices `block` and defend them at once, as float32 (n, *feature_shape).

        The defence sees the whole block on the CPU, its draws seeded by (seed, view, block_number): they depend neither
        on `batch_size` nor on the device nor on how blocks are shared among processes. `flip` mirrors the images
        first; on a CPU batches are smaller where the encoder's activations are large; `progress` is called with the
        number of images done. Raises BadInput that names the first image whose features are not finite.
        """
        rows = np.asarray(block)
        encoded = self.encode(images, rows, flip=flip, batch_size=batch_size, progress=progress)
        return self.defend(
            encoded, [images.ids[int(row)] for row in rows], seed=seed, block_number=block_number, view=view
        )

    def defend(self, encoded: Tensor, ids: Sequence[str], *, seed: int, block_number: int, view: int = 0) -> np.ndarray:
        """Defend the features of one block on the CPU, as `publish` does; `ids` name their images in messages."""
        # A defence with weights of its own (a projection) may lie on an accelerator.
        defence = self.defence if self.device.type == "cpu" else copy.deepcopy(self.defence).cpu()
        with torch.no_grad(), seeded(seed, view, block_number):
            released = defence(encoded).numpy()
        finite = np.isfinite(released).reshape(len(released), -1).all(axis=1)
        if not finite.all():
            raise BadInput(
                f"{ids[int(np.argmin(finite))]}: expected finite features from {self.name}, got NaN or infinity "
                f"(in {int((~finite).sum())} of {len(released)} images); leave such images out, or mend the encoder"
            )
        return released

    def publish_all(
        self,
        images: ImageSet,
        *,
        seed: int,
        block: int,
        view: int = 0,
        flip: bool = False,
        batch_size: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Publish all images in consecutive blocks of `block` images, as float32 (N, *feature_shape); see `publish`."""
        features = np.empty((len(images), *self.feature_shape), dtype=np.float32)
        for number, start in enumerate(range(0, len(images), block)):
            rows = np.arange(start, min(start + block, len(images)))
            features[rows] = self.publish(
                images,
                rows,
                seed=seed,
                block_number=number,
                view=view,
                flip=flip,
                batch_size=batch_size,
                progress=progress,
            )
        return features

    def of_images(self, images: ImageSet, rows: npt.ArrayLike, *, flip: Tensor | None = None) -> Features:
        """Return the defended features of the images at `rows`, made of what the encoder sees of them; see `forward`.

        `flip` (B,) bool mirrors some of them first. Raises BadInput for images that were read for another encoder.
        """
        batch = images.encoder_batch(rows)
        if flip is not None:
            batch[flip] = batch[flip].flip(-1)
        features = self._encode(batch.to(self.device), self._function_of(images))
        with torch.autocast(features.device.type, enabled=False):
            return self.defence(features)

    def _function_of(self, images: ImageSet) -> Callable[[Tensor], Tensor]:
        kept = images.encoder_pixels
        return self.encoder if kept is None else kept.features(self.encoder)

    def _encode(self, images: Tensor, function: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        # A pass with gradients keeps all activations anyway.
        size = len(images) if torch.is_grad_enabled() else rows_at_once(self.encoder, images, most=len(images))
        with torch.autocast(images.device.type, enabled=False):
            features = in_blocks(function or self.encoder, images, size=size).float()
        expected = (len(images), *self.encoder.feature_shape)
        if tuple(features.shape) != expected:
            raise BadInput(
                f"{self.encoder.name}: expected features of shape {expected}, got {tuple(features.shape)}; "
                "correct the encoder's feature_shape"
            )
        return features

    @torch.no_grad()
    def encode(
        self,
        images: ImageSet,
        rows: np.ndarray,
        *,
        flip: bool = False,
        batch_size: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> Tensor:
        """Encode the images at the indices `rows` without any defence, as float32 (n, *encoder.feature_shape).

        They are encoded at the side and crop that the encoder sees, where the images keep these.
        """
        if batch_size < 1:
            raise BadInput(f"batch_size: expected at least 1, got {batch_size}")
        device, cuda = self.device, self.device.type == "cuda"
        function, side = self._function_of(images), images.encoder_side
        batch_size = rows_at_once(self.encoder, torch.empty((0, 3, side, side), device=device), most=batch_size)
        # Pinned memory lets the GPU encode one batch while the CPU gathers the next one.
        encoded = torch.empty((len(rows), *self.encoder.feature_shape), pin_memory=cuda)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            batch = images.encoder_batch(part).to(device, non_blocking=True)
            features = self._encode(batch.flip(-1) if flip else batch, function)
            encoded[start : start + len(part)].copy_(features, non_blocking=cuda)
            if progress is not None:
                progress(len(part))
        if cuda:
            torch.cuda.synchronize(device)
        return encoded

    def _defended_shape(self) -> tuple[int, ...]:
        # The only way to learn what a foreign defence makes of the shape is to try; the caller's random state is kept.
        count = max(2, least_batch(self.defence))
        probe = torch.zeros((count, *self.encoder.feature_shape), device=self.device)
        with torch.no_grad(), seeded(0):
            try:
                shape = tuple(self.defence(probe).shape)
            except RuntimeError as error:
                raise BadInput(
                    f"{self.defence!r}: cannot take features of shape {tuple(probe.shape)}: {error}"
                ) from error
        if shape[:1] != (count,) or len(shape) not in (2, 4):
            raise BadInput(f"{self.defence!r}: expected (B, D) or (B, C, h, w) for B = {count}, got {shape}")
        return shape[1:]

    def _check_fitted_on(self) -> None:
        """Refuse a defence that was fitted on another encoder's features, or on another layer's."""
        ours = (self.encoder.fingerprint, getattr(self.encoder, "layer", None))
        for part in self.defence.modules():
            theirs = (getattr(part, "encoder_fingerprint", None), getattr(part, "layer", None))
            if theirs[0] is not None and theirs != ours:
                raise BadInput(
                    f"{part!r}: expected a defence fitted on features of {self.encoder.name} ({ours[0][:12]}, layer "
                    f"{ours[1]}), got one fitted on {str(theirs[0])[:12]}, layer {theirs[1]}; fit it on this encoder's"
                )
