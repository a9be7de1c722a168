"""The control that ignores the vectors."""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.attacks.checks import Layout
from featinv.attacks.passes import pair_blocks
from featinv.attacks.tensor_attack import TensorAttack
from featinv.types import Images


@final
class MeanImage(TensorAttack):
    """features -> the mean of the public images, whatever the vector: what an attacker knows without any release."""

    kind = "control"

    def _learn(self, pairs: Any) -> dict[str, Tensor]:
        total = torch.zeros(3 * pairs.image_size**2, dtype=torch.float64)
        for _, _, images in pair_blocks(pairs, "mean image"):
            total += images.sum(0, dtype=torch.float64)
        return {"mean": (total / len(pairs)).float().reshape(3, pairs.image_size, pairs.image_size)}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        return self.tensors["mean"].repeat(len(features), 1, 1, 1)

    def _layout(self, width: int, size: int) -> Layout:
        return {"mean": (torch.float32, (3, size, size))}
