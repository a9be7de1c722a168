"""Ridge regression whose penalty is chosen by leave-one-out: one factorisation serves all penalties."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

PENALTIES = (*(10 ** (exponent / 2) for exponent in range(-12, 7)), 1e12)
"""penalties that are tried, as shares of the mean eigenvalue of the inputs' Gram matrix; the last gives the mean"""


class FittedRidge(NamedTuple):
    """Weight (K, P), bias (P,), penalty on the un-normalised Gram matrix, and residuals (N, P) of each row left out."""

    weight: Tensor
    bias: Tensor
    penalty: float
    residuals: Tensor

    @property
    def error(self) -> float:
        """The mean squared residual."""
        return float(self.residuals.square().mean())


def ridge_by_leave_one_out(inputs: Float[Tensor, "N K"], outputs: Float[Tensor, "N P"]) -> FittedRidge:
    """Return the ridge regression with the penalty whose mean squared leave-one-out error is smallest.

    Inputs and outputs are centred, the bias is not penalised. With the eigenvectors of the smaller Gram matrix the
    residual of each row, had it been left out, is its residual over 1 - h, h the row's leverage 1/N included (Allen's
    PRESS; Golub, Heath and Wahba 1979, equation 1.4). The last candidate is the mean of the outputs, so that by this
    measure no fit is worse than it. Memory is min(N, K)^2 + N (K + P) numbers in float64.
    """
    x, y = inputs.double(), outputs.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    u, singular, v = _decomposed(x - x_mean)
    y = y - y_mean
    projected, squares = u.T @ y, singular.square()
    level = float(squares.mean()) if len(squares) else 1.0

    def residuals(penalty: float) -> Tensor:
        shrink = squares / (squares + penalty)
        leverage = u.square() @ shrink + 1 / len(x)
        return (y - u @ (shrink[:, None] * projected)) / (1 - leverage).clamp(min=1e-9)[:, None]

    errors = {share * level: float(residuals(share * level).square().mean()) for share in PENALTIES}
    penalty = min(errors, key=errors.__getitem__)
    weight = v @ ((singular / (squares + penalty))[:, None] * projected)
    return FittedRidge(weight.float(), (y_mean - x_mean @ weight).float(), penalty, residuals(penalty))


def _decomposed(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return u (N, R), s (R,), v (K, R) with x = u diag(s) v', R the rank up to rounding."""
    wide = x.shape[1] > len(x)
    values, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > max(float(values.max()), 0.0) * 1e-13
    values, vectors = values[kept], vectors[:, kept]
    singular = values.sqrt()
    if wide:
        return vectors, singular, (x.T @ vectors) / singular
    return (x @ vectors) / singular, singular, vectors
