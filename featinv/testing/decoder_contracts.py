"""The contracts of decoders: features -> images, trainable networks."""

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn

from featinv import configuration
from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.testing.contracts import (
    demand,
    demand_images,
    demand_independent,
    demand_same,
    demand_untouched,
    difference,
    label,
)


def check_decoder(decoder: nn.Module) -> None:
    """Raise AssertionError unless `decoder` can be trained, saved and rebuilt as the decoder of an attack.

    `feature_shape` and `image_size` are set; features (B, *feature_shape) give float32 images (B, 3, S, S) in [0, 1],
    also for unusually large and zero features; in eval mode an image is equal in repeated calls and independent of the
    rest of the batch; different features give different images; a gradient reaches every parameter;
    `configuration.describe` and `rebuild` build a decoder that loads its weights and gives the same images, so every
    constructor argument is stored under its own name. The check uses a copy with slightly perturbed parameters, because
    parameters initialised with zero stop gradients.
    """
    name = label(decoder)
    demand(isinstance(decoder, nn.Module), f"{name} must be an nn.Module")
    shape, size = _attributes(decoder, name)
    with seeded(0):
        perturbed = copy.deepcopy(decoder)
        _perturb(perturbed)
        features = torch.randn(4, *shape)
        _check_images(perturbed, features, (3, size, size), name)
        _check_gradients(perturbed, features, name)
        _check_rebuilt(decoder, perturbed, features, name)


def _attributes(decoder: nn.Module, name: str) -> tuple[tuple[int, ...], int]:
    for attribute in ("feature_shape", "image_size"):
        demand(hasattr(decoder, attribute), f"{name} must store its {attribute}: self.{attribute} = {attribute}")
    shape: Any = decoder.feature_shape
    size: Any = decoder.image_size
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    positive = all(isinstance(number, int) and number > 0 for number in shape)
    demand(positive and len(shape) in (1, 3), f"{name}.feature_shape must be (D,) or (C, H, W), got {shape}")
    demand(isinstance(size, int) and size > 0, f"{name}.image_size must be a number of pixels, got {size!r}")
    return shape, size


@torch.no_grad()
def _perturb(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))


@torch.no_grad()
def _check_images(decoder: nn.Module, features: Tensor, image: tuple[int, ...], name: str) -> None:
    decoder.train()
    what = f"the output of {name}"
    demand_images(decoder(features), (len(features), *image), f"{what} in train mode")
    decoder.eval()
    demand_untouched(decoder, features, name)
    before = copy.deepcopy(decoder.state_dict())
    for kind, batch in (("usual", features), ("large", 30 * features), ("zero", 0 * features)):
        demand_images(decoder(batch), (len(features), *image), f"{what} for {kind} features")
    demand_images(decoder(features[:1]), (1, *image), f"{what} for one vector")
    demand_same(decoder(features), decoder(features), f"{what} in eval mode must be equal in repeated calls", 0.0)
    demand_independent(decoder, features, f"{what} in eval mode")
    for key, tensor in decoder.state_dict().items():
        demand(torch.equal(tensor, before[key]), f"{name} must not change {key} in eval mode")
    images = decoder(features)
    demand(difference(images[:1], images[1:2]) > 0, f"{name} must produce different images for different features")


def _check_gradients(decoder: nn.Module, features: Tensor, name: str) -> None:
    decoder.train()
    decoder.zero_grad(set_to_none=True)
    images = decoder(features)
    (images - torch.rand_like(images)).square().mean().backward()
    for key, parameter in decoder.named_parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        reached = gradient is not None and bool(gradient.abs().max() > 0)
        demand(reached, f"{name}: no gradient reaches the parameter {key}; use it in forward, or freeze it")
        demand(gradient is None or bool(gradient.isfinite().all()), f"{name}: the gradient of {key} is not finite")


@torch.no_grad()
def _check_rebuilt(decoder: nn.Module, perturbed: nn.Module, features: Tensor, name: str) -> None:
    try:
        description = json.loads(json.dumps(configuration.describe(decoder), allow_nan=False))
        rebuilt = configuration.rebuild(description, allow=[type(decoder)])
        rebuilt.load_state_dict(perturbed.state_dict())
    except (BadInput, RuntimeError, TypeError, ValueError) as error:
        raise AssertionError(f"{name} must be rebuilt from its own description: {error}") from error
    demand_same(
        rebuilt.eval()(features),
        perturbed.eval()(features),
        f"{name}, rebuilt from its description with its weights, must produce the same images",
    )
