"""Ridge regression from normal equations summed block by block, and the linear attack."""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv.attacks.band_ridge import ROWS, Fit, Sums, fit_bands
from featinv.attacks.checks import Layout, check_positive
from featinv.attacks.passes import Moments, feature_blocks, feature_moments, pair_blocks
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Images, PairsLike

COLUMNS = 4096
"""Outputs solved for at once, so that large images need no second copy of the products."""


class NormalEquations:
    """Sums of inputs (n, K), outputs (n, P) and their products: blocks multiplied in float32, summed in float64.

    Memory is K (K + P) numbers, whatever the number of rows.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.count = 0
        self.gram = torch.zeros(inputs, inputs, dtype=torch.float64)
        self.cross = torch.zeros(inputs, outputs, dtype=torch.float64)
        self.input_sum = torch.zeros(inputs, dtype=torch.float64)
        self.output_sum = torch.zeros(outputs, dtype=torch.float64)

    def add(self, inputs: Float[Tensor, "B K"], outputs: Float[Tensor, "B P"]) -> None:
        """Add a block of rows."""
        self.count += len(inputs)
        self.gram += inputs.T @ inputs
        self.cross += inputs.T @ outputs
        self.input_sum += inputs.sum(0, dtype=torch.float64)
        self.output_sum += outputs.sum(0, dtype=torch.float64)

    def sums(self) -> Sums:
        """Return what has been added, centred."""
        input_mean, output_mean = self.input_sum / self.count, self.output_sum / self.count
        gram = self.gram - torch.outer(self.input_sum, input_mean)
        return Sums(gram, self.cross - torch.outer(self.input_sum, output_mean), input_mean, output_mean, self.count)

    def solve(self, penalty: int | float) -> tuple[Float[Tensor, "K P"], Float[Tensor, " P"]]:
        """Return the weight and bias that minimise |X W - Y|^2 + penalty |W|^2 with X and Y centred, in float32.

        The penalty is added to the diagonal of the un-normalised Gram matrix; the bias is not penalised.
        Raises BadInput when the equations are singular at this penalty.
        """
        input_mean, output_mean = self.input_sum / self.count, self.output_sum / self.count
        gram = self.gram - torch.outer(self.input_sum, input_mean)
        gram.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if failed:
            raise BadInput(f"penalty: expected one that makes the normal equations solvable, got {penalty}; raise it")
        weight = torch.empty(self.cross.shape)
        bias = torch.empty(len(output_mean))
        for start in range(0, len(bias), COLUMNS):
            part = slice(start, start + COLUMNS)
            centred = self.cross[:, part] - torch.outer(self.input_sum, output_mean[part])
            solution = torch.cholesky_solve(centred, factor)
            weight[:, part], bias[part] = solution, output_mean[part] - input_mean @ solution
        return weight, bias


@final
class Ridge(TensorAttack):
    """features -> the images that ridge regression predicts, clamped to [0, 1]: the closed-form floor.

    Features (flattened where spatial) are standardised with the public mean and deviation, pixels are centred, and
    `penalty` is added to the diagonal of the un-normalised Gram matrix. None: each band of frequencies of each colour
    channel gets its own, chosen by leave-one-out on public pairs (`band_ridge`) from candidates that end at the mean
    image; `chosen` has one a band. It holds D x 3 S^2 weights in memory.
    Raises BadInput for a penalty that is not above zero.
    """

    def __init__(self, penalty: int | float | None = None) -> None:
        super().__init__()
        if penalty is not None:
            check_positive("penalty", penalty)
        self.penalty = penalty

    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        moments = feature_moments(pairs)
        mean, scale = moments.mean, moments.scale
        equations = NormalEquations(len(mean), 3 * pairs.image_size**2)
        for _, features, images in pair_blocks(pairs, "ridge"):
            equations.add((features - mean) / scale, images)
        if self.penalty is None:
            fit = self._by_bands(pairs, equations, moments)
            self.chosen = fit.penalties
            weight, bias = fit.weight, fit.bias
        else:
            weight, bias = equations.solve(self.penalty)
        return {"mean": mean, "scale": scale, "weight": weight, "bias": bias}

    def _by_bands(self, pairs: PairsLike, equations: NormalEquations, moments: Moments) -> Fit:
        rows = np.sort(np.random.default_rng(0).permutation(len(pairs))[:ROWS])
        features, images = pairs.batch(rows)
        every = None
        if len(pairs) < len(moments.mean):
            every = torch.cat([(block - moments.mean) / moments.scale for _, block in feature_blocks(pairs)])
        inputs = (features.flatten(1).float() - moments.mean) / moments.scale
        return fit_bands(equations.sums(), inputs, images, every=every)

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
