"""The contracts of defences: features -> features, before the release."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from featinv.defences import least_batch, whole_release
from featinv.processes import seeded
from featinv.testing.contracts import (
    demand,
    demand_gradient,
    demand_independent,
    demand_same,
    demand_tensor,
    demand_untouched,
    label,
)


def check_defence(
    defence: nn.Module, *, feature_shape: tuple[int, ...] = (16,), zero_strength: nn.Module | None = None
) -> None:
    """Raise AssertionError unless `defence` can be applied between an encoder and a release.

    Features (B, *feature_shape) give (B, D) or (B, C, h, w), float32 and finite, for any B; the same in train and eval
    mode; randomness comes from torch's global generator alone, and is active in eval mode too; a row does not depend on
    the values of the other rows, unless an attribute `whole_release` declares that a release is defended at once; a
    gradient passes through (it may be zero); inputs and buffers are not changed. `zero_strength`, the same defence at
    zero strength, must be the identity. The check uses a copy.
    """
    name = label(defence)
    demand(isinstance(defence, nn.Module), f"{name} must be an nn.Module")
    defence_copy = copy.deepcopy(defence)
    with seeded(0):
        features = torch.randn(max(6, least_batch(defence_copy)), *feature_shape)
        demand_untouched(defence_copy, features, name)
    released = _draw(defence_copy, features)
    demand(released.ndim in (2, 4), f"{name} must give (B, D) or (B, C, h, w), got {tuple(released.shape)}")
    together = whole_release(defence_copy)
    for batch in (features, 100 * features, *(() if together else (features[:1],))):
        demand_tensor(_draw(defence_copy, batch), (len(batch), *released.shape[1:]), f"the output of {name}")
    _check_modes(defence_copy, features, name)
    if not together:
        _check_rows(defence_copy, features, name)
    with seeded(0):
        demand_gradient(defence_copy, features, name, zero_allowed=True)
    if zero_strength is not None:
        what = f"{label(zero_strength)} at zero strength must be the identity"
        demand_same(_draw(copy.deepcopy(zero_strength), features), features, what, 1e-6)


@torch.no_grad()
def _draw(defence: nn.Module, features: Tensor, seed: int = 1) -> Any:
    with seeded(seed):
        return defence(features)


def _check_modes(defence: nn.Module, features: Tensor, name: str) -> None:
    before = copy.deepcopy(defence.state_dict())
    evaluated = _draw(defence.eval(), features)
    trained = _draw(defence.train(), features)
    demand_same(trained, evaluated, f"{name} must ignore train and eval mode", 0.0)
    demand_same(
        _draw(defence, features), trained, f"{name} must draw its randomness from torch's global generator alone", 0.0
    )
    for key, tensor in defence.state_dict().items():
        demand(torch.equal(tensor, before[key]), f"{name} must not change {key} by being used")


def _check_rows(defence: nn.Module, features: Tensor, name: str) -> None:
    what = f"the output of {name}"
    if torch.equal(_draw(defence, features, seed=1), _draw(defence, features, seed=2)):
        demand_independent(lambda rows: _draw(defence, rows), features, what)
    else:
        # The draws are equal for an equal shape, so the first row must have the same output beside other rows.
        others = torch.cat([features[:1], 5 * features[1:].flip(0) + 1])
        sentence = f"{what} must not depend on the values of the other rows"
        demand_same(_draw(defence, others)[:1], _draw(defence, features)[:1], sentence)
