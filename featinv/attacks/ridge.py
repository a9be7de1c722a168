"""The linear attack."""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.attacks.checks import Layout, check_positive
from featinv.attacks.least_squares import NormalEquations
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.tensor_attack import TensorAttack
from featinv.types import Images


@final
class Ridge(TensorAttack):
    """features -> the images that ridge regression predicts, clamped to [0, 1]: the closed-form floor.

    Features (flattened where spatial) are standardised with the public mean and deviation, pixels are centred, and
    `penalty` is added to the diagonal of the un-normalised Gram matrix. It holds D x 3 S^2 weights in memory.
    Raises BadInput for a penalty that is not above zero.
    """

    def __init__(self, penalty: int | float = 10.0) -> None:
        super().__init__()
        check_positive("penalty", penalty)
        self.penalty = penalty

    def _learn(self, pairs: Any) -> dict[str, Tensor]:
        moments = feature_moments(pairs)
        mean, scale = moments.mean, moments.scale
        equations = NormalEquations(len(mean), 3 * pairs.image_size**2)
        for _, features, images in pair_blocks(pairs, "ridge"):
            equations.add((features - mean) / scale, images)
        weight, bias = equations.solve(self.penalty)
        return {"mean": mean, "scale": scale, "weight": weight, "bias": bias}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        t = self.tensors
        pixels = torch.addmm(t["bias"], (features - t["mean"]) / t["scale"], t["weight"])
        return pixels.reshape(-1, 3, self.image_size, self.image_size)

    def _layout(self, width: int, size: int) -> Layout:
        vector, pixels = (torch.float32, (width,)), 3 * size**2
        return {
            "mean": vector,
            "scale": vector,
            "weight": (torch.float32, (width, pixels)),
            "bias": (torch.float32, (pixels,)),
        }
