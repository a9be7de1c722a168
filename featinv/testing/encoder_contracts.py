"""The contracts of encoders: images -> features."""

import copy
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from featinv.processes import seeded
from featinv.testing.contracts import (
    demand,
    demand_gradient,
    demand_independent,
    demand_same,
    demand_tensor,
    demand_untouched,
    difference,
    label,
)
from featinv.testing.synthetic import synthetic_images
from featinv.victim import Victim


def check_encoder(encoder: Any) -> None:
    """Raise AssertionError unless `encoder` can be the frozen target of an attack.

    `name`, `family`, `fingerprint`, `feature_shape` and `image_size` are set; images of any size give float32
    features (B, *feature_shape), (D,) or (C, h, w); it is frozen, never in train mode, equal in repeated calls and
    independent of the rest of the batch; different images give different features; it is differentiable in the images;
    the fingerprint is constant, and the victim's metadata is JSON. The check uses images of `image_size` and of another
    size.
    """
    name = label(encoder)
    check_identity(encoder, name)
    shape = encoder.feature_shape
    demand(
        isinstance(shape, tuple) and len(shape) in (1, 3) and all(isinstance(s, int) and s > 0 for s in shape),
        f"{name}.feature_shape must be a tuple (D,) or (C, h, w), got {shape!r}",
    )
    images = synthetic_images(4, size=encoder.image_size)
    with seeded(0):
        check_frozen(encoder, lambda batch: encoder(batch), images, name)
        demand_tensor(encoder(images), (4, *shape), f"the output of {name}")
        other = synthetic_images(2, size=encoder.image_size + 12)
        demand_tensor(encoder(other), (2, *shape), f"the output of {name} for images of {other.shape[-1]} px")
        victim = Victim(encoder)
        demand_same(victim(images), encoder(images), f"{name} must give the same features inside a Victim", 0.0)
    metadata = json.loads(json.dumps(victim.metadata))
    demand(metadata["encoder_fingerprint"] == encoder.fingerprint, f"the metadata of {name} must carry its fingerprint")


def check_identity(network: Any, name: str) -> None:
    """Demand the attributes that identify a frozen network."""
    for attribute in ("name", "family", "fingerprint"):
        value = getattr(network, attribute, None)
        demand(isinstance(value, str) and value != "", f"{name}.{attribute} must be a string that is not empty")
    size = getattr(network, "image_size", None)
    demand(isinstance(size, int) and size > 0, f"{name}.image_size must be the input size in pixels, got {size!r}")


def check_frozen(network: Any, call: Callable[[Tensor], Tensor], images: Tensor, name: str) -> None:
    """Demand that a frozen network ignores train mode, is constant, treats rows alone, and has a gradient."""
    what = f"the output of {name}"
    demand_untouched(call, images, name)
    fingerprint = network.fingerprint
    if isinstance(network, nn.Module):
        trainable = [key for key, parameter in network.named_parameters() if parameter.requires_grad]
        demand(
            not trainable, f"{name} must be frozen, but {trainable[:1]} requires a gradient; call requires_grad_(False)"
        )
        before, state = call(images), copy.deepcopy(network.state_dict())
        network.train()
        demand_same(call(images), before, f"{what} must not change in train mode: make train() do nothing", 0.0)
        for key, tensor in network.state_dict().items():
            demand(torch.equal(tensor, state[key]), f"{name} must not change {key} by being used")
    demand_same(call(images), call(images), f"{what} must be equal in repeated calls", 0.0)
    demand_independent(call, images, what)
    demand_gradient(call, images, name)
    features = call(images)
    demand(difference(features[:1], features[1:2]) > 0, f"{name} must give different features for different images")
    demand(network.fingerprint == fingerprint, f"{name}.fingerprint must not change by use")
