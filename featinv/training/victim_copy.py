"""A robust copy of a victim whose encoder the attacker holds: it starts from the encoder's own weights."""

import copy
import math
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from featinv.blocks import Standardise
from featinv.configuration import describe
from featinv.encoders import Encoder, networks
from featinv.encoders.networks import CutCopy
from featinv.errors import BadInput

from .bank import ROBUST, judges_family
from .classifier_accuracy import PIXEL_MEAN, PIXEL_STD
from .settings import Ball, ClassifierTraining
from .surrogate import PAIRS_TO_MEASURE, train_surrogate

COPYING = ClassifierTraining(epochs=6, lr=1e-3, weight_decay=1e-3, blur=0.35, cutout=0.25)
"""how a copy is trained by default: few epochs, because it starts from weights that explain all of the vectors"""


def robust_copy(
    encoder: Encoder,
    pairs: Any,
    settings: ClassifierTraining | None = None,
    *,
    ball: Ball | None = ROBUST,
    start: Encoder | None = None,
    name: str = "bank_copy",
) -> tuple[Encoder, list[dict[str, float]]]:
    """Fine-tune a copy of the victim's encoder so that changed and moved images keep the vectors of unchanged ones.

    For an attacker who holds the encoder. The copy starts where it explains the vectors (D,) completely, and so
    needs few epochs; the encoder itself, which finds a vector's texture in any image, is left as it is. Returns the
    copy as a surrogate, cut at its standardised vectors (`norm`), and its history as `train_surrogate` does. The
    images have the side that the encoder resizes them to, whatever `settings.input_size` says. The copy of an
    encoder made of `featinv.encoders.networks` can be saved (`save_encoder`), with every attack that looks through
    it; that of another network cannot. With `start`, an earlier copy of the same encoder, it goes on from that one:
    a large ball is learned best after a small one.

    Raises BadInput for an encoder of a judge's family, for one that is not the pairs' victim's, for one that gives
    vectors of another shape than the pairs', for one without weights, and for a start that is no copy of it. Source:
    unsupervised adversarial fine-tuning, arXiv:2402.12336, equation 3, on changed images and in an L2 ball.
    """
    _check(encoder, pairs)
    if start is not None and not (
        isinstance(start.network, CutCopy | _Copy) and _shapes(start.network.network) == _shapes(encoder.cut)
    ):
        raise BadInput(f"start: expected an earlier copy of {encoder.name}, got {start.name}; leave it out")
    settings = replace(settings or COPYING, input_size=encoder.resize_crop.before_crop)
    vectors = pairs.features(np.arange(min(len(pairs), PAIRS_TO_MEASURE))).reshape(-1, math.prod(encoder.feature_shape))
    statistics = torch.from_numpy(vectors.mean(0)), torch.from_numpy(vectors.std(0))

    def make(_: int) -> nn.Module:
        copied = _copied(encoder, *statistics)
        if start is not None:
            copied.network.load_state_dict(start.network.network.state_dict())  # type: ignore[union-attr]
        return copied

    return train_surrogate(pairs, settings, name=name, make=make, ball=ball)


def _copied(encoder: Encoder, mean: Tensor, deviation: Tensor) -> "CutCopy | _Copy":
    """A trainable copy; of one of our networks, whole images resized plainly, one that can be saved."""
    network, kind = encoder.network, type(encoder.network).__name__
    ours = kind in networks.__all__ and type(network) is getattr(networks, kind) and kind != CutCopy.__name__
    if not ours or encoder.layer is None or encoder.readout is not None or not encoder.resize_crop.is_plain:
        return _Copy(encoder, mean, deviation)
    gain, offset = _renormalised(encoder)
    copied = CutCopy(
        kind,
        describe(network)["args"],
        layer=encoder.layer,
        width=len(mean),
        family=encoder.family,
        gain=gain.flatten().tolist(),
        offset=offset.flatten().tolist(),
    )
    copied.network.load_state_dict(encoder.cut.state_dict())
    copied.network.float().requires_grad_(True)
    copied.norm.set_statistics(mean, deviation)
    return copied


def _renormalised(encoder: Encoder) -> tuple[Tensor, Tensor]:
    """What turns a surrogate's normalisation into the encoder's, each (1, 3, 1, 1)."""
    std = encoder.std.cpu()
    gain = torch.tensor(PIXEL_STD).reshape(1, 3, 1, 1) / std
    return gain, (torch.tensor(PIXEL_MEAN).reshape(1, 3, 1, 1) - encoder.mean.cpu()) / std


@final
class _Copy(nn.Module):
    """Images normalised as for surrogates -> standardised vectors (B, D), by a trainable copy of any encoder.

    Where `CutCopy` does not do. It cannot be saved, because how to build the network is not known.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, encoder: Encoder, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.family = encoder.family
        self.unsaved = f"a copy of {encoder.name}, of which no such network is known; make the copy again"
        self.layer, self.resize_crop, self.readout = encoder.layer, encoder.resize_crop, encoder.readout
        self.network = copy.deepcopy(encoder.cut).float().requires_grad_(True)
        gain, offset = _renormalised(encoder)
        self.register_buffer("gain", gain)
        self.register_buffer("offset", offset)
        self.norm = Standardise((len(mean),))
        self.norm.set_statistics(mean, deviation)

    def forward(self, x: Tensor) -> Tensor:
        if self.resize_crop.before_crop > self.resize_crop.size:
            # They have the side from which the encoder crops, so that nothing is resized here.
            x = self.resize_crop.of_tensors(x)
        output = self.network(self.gain * x + self.offset)
        output = output if self.layer is None else output[self.layer]
        output = output if self.readout is None else self.readout(output, name=self.family)
        return self.norm(output.flatten(1))


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _check(encoder: Encoder, pairs: Any) -> None:
    if family := judges_family(encoder):
        raise BadInput(
            f"bank: {encoder.name} is of the family {family!r}, of which judges are made, so no copy of it may "
            "stand in a bank; leave the encoder out"
        )
    own = pairs.metadata.get("encoder_fingerprint")
    if own is not None and own != encoder.fingerprint:
        raise BadInput(
            f"bank: expected the encoder of the pairs' victim ({own[:12]}), got {encoder.name} "
            f"({encoder.fingerprint[:12]}); give victim.encoder"
        )
    if tuple(pairs.feature_shape) != tuple(encoder.feature_shape):
        raise BadInput(
            f"bank: expected vectors of shape {tuple(encoder.feature_shape)}, as {encoder.name} gives, got "
            f"{tuple(pairs.feature_shape)}; leave the encoder out, a surrogate learns defended vectors of any shape"
        )
    if not any(parameter.is_floating_point() for parameter in encoder.network.parameters()):
        raise BadInput(f"bank: {encoder.name} has no weights to start from; leave the encoder out")
