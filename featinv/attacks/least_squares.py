"""Ridge regression from normal equations that are summed block by block."""

import torch
from jaxtyping import Float
from torch import Tensor

from featinv.errors import BadInput

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
