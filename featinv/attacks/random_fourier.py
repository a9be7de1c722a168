"""The non-linear attack that still has a closed form."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.attacks.checks import Layout, check_positive
from featinv.attacks.fourier_choice import choose
from featinv.attacks.fourier_lift import FourierLift
from featinv.attacks.least_squares import NormalEquations
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Images


@final
class RandomFourier(TensorAttack):
    """features -> the images that ridge regression predicts from [cos(z F + p), z], clamped to [0, 1].

    z are the standardised (flattened) features, F is `scale` times a normal (D, count) matrix and p uniform phases
    (Rahimi and Recht 2007, "Random features for large-scale kernel machines"): a kernel regression in closed form.
    `penalty` is added to the un-normalised Gram matrix, as for Ridge. Whichever of `scale` and `penalty` is None is
    chosen from a small grid on held-out public pairs (see `fourier_choice`) and recorded in `chosen`. Memory holds
    (count + D)^2 + (count + D) x 3 S^2 numbers. Raises BadInput for a count, scale or penalty that is not above zero,
    and in `fit` when there are too few pairs to choose on.
    """

    def __init__(
        self,
        count: int = 3000,
        *,
        scale: int | float | None = None,
        penalty: int | float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if count < 1:
            raise BadInput(f"count: expected at least 1 random feature, got {count}")
        for name, value in (("scale", scale), ("penalty", penalty)):
            if value is not None:
                check_positive(name, value)
        self.count = count
        self.scale = scale
        self.penalty = penalty
        self.seed = seed

    def _learn(self, pairs: Any) -> dict[str, Tensor]:
        moments = feature_moments(pairs)
        width = len(moments.mean)
        draw = torch.Generator().manual_seed(self.seed)
        frequencies = torch.randn(width, self.count, generator=draw)
        phases = 2 * math.pi * torch.rand(self.count, generator=draw)
        unit = FourierLift(moments.mean, moments.scale, frequencies, phases)
        scale, penalty = choose(pairs, unit, scale=self.scale, penalty=self.penalty, seed=self.seed)
        lift = unit.scaled(scale)
        equations = NormalEquations(lift.width, 3 * pairs.image_size**2)
        for _, features, images in pair_blocks(pairs, "random features"):
            equations.add(lift(features), images)
        weight, bias = equations.solve(penalty)
        self.chosen = {"scale": scale, "penalty": penalty}
        return {**lift.tensors(), "weight": weight, "bias": bias}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        t = self.tensors
        lift = FourierLift(t["mean"], t["scale"], t["frequencies"], t["phases"])
        pixels = torch.addmm(t["bias"], lift(features), t["weight"])
        return pixels.reshape(-1, 3, self.image_size, self.image_size)

    def _layout(self, width: int, size: int) -> Layout:
        vector, pixels = (torch.float32, (width,)), 3 * size**2
        return {
            "mean": vector,
            "scale": vector,
            "frequencies": (torch.float32, (width, self.count)),
            "phases": (torch.float32, (self.count,)),
            "weight": (torch.float32, (self.count + width, pixels)),
            "bias": (torch.float32, (pixels,)),
        }
