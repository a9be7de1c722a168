"""The control that knows the class and nothing more."""

from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.attacks.checks import Layout, check_positive
from featinv.attacks.least_squares import NormalEquations
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Images


@final
class PredictedClassMean(TensorAttack):
    """features -> the mean public image of the class that a linear classifier reads from the vector.

    The classifier is ridge, one class against all, on standardised features and the public labels; `penalty` is added
    to the un-normalised Gram matrix. Raises BadInput where the public images have no labels.
    """

    kind = "control"

    def __init__(self, penalty: int | float = 10.0) -> None:
        super().__init__()
        check_positive("penalty", penalty)
        self.penalty = penalty

    def _learn(self, pairs: Any) -> dict[str, Tensor]:
        if pairs.labels is None:
            raise BadInput("pairs: expected public images with labels for PredictedClassMean, got none; leave it out")
        classes, inverse = np.unique(np.asarray(pairs.labels), return_inverse=True)
        numbers = torch.from_numpy(inverse.reshape(-1))
        moments = feature_moments(pairs)
        mean, scale = moments.mean, moments.scale
        equations = NormalEquations(len(mean), len(classes))
        sums = torch.zeros(len(classes), 3 * pairs.image_size**2, dtype=torch.float64)
        for start, features, images in pair_blocks(pairs, "class means"):
            block = numbers[start : start + len(features)]
            equations.add((features - mean) / scale, nn.functional.one_hot(block, len(classes)).float())
            sums.index_add_(0, block, images.double())
        weight, bias = equations.solve(self.penalty)
        batch = (sums / numbers.bincount(minlength=len(classes))[:, None]).float()
        batch = batch.reshape(-1, 3, pairs.image_size, pairs.image_size)
        return {"mean": mean, "scale": scale, "weight": weight, "bias": bias, "images": batch}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        t = self.tensors
        # In float64, so that rounding, which differs with the batch, does not settle a close call between two classes.
        scores = torch.addmm(t["bias"].double(), ((features - t["mean"]) / t["scale"]).double(), t["weight"].double())
        return t["images"][scores.argmax(dim=1)]

    def _layout(self, width: int, size: int) -> Layout:
        vector = (torch.float32, (width,))
        return {
            "mean": vector,
            "scale": vector,
            "weight": (torch.float32, (width, "classes")),
            "bias": (torch.float32, ("classes",)),
            "images": (torch.float32, ("classes", 3, size, size)),
        }
