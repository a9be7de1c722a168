"""Ridge regression of images with a penalty for each band of frequencies, chosen by leave-one-out."""

from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from featinv.attacks.leave_one_out import PENALTIES

_ROUNDING = 1e-6
"""share of the largest eigenvalue below which one is rounding: products are summed from float32 blocks"""
ROWS = 2000
"""public pairs, drawn by seed 0, whose leave-one-out errors decide"""


class Fit(NamedTuple):
    """Weight (K, P), bias (P,), and each band's penalty, the geometric mean over the colour channels."""

    weight: Tensor
    bias: Tensor
    penalties: dict[str, float]


class Sums(NamedTuple):
    """Of all pairs: the centred Gram matrix (K, K) and products (K, P) in float64, both means, and how many pairs."""

    gram: Tensor
    cross: Tensor
    input_mean: Tensor
    output_mean: Tensor
    pairs: int


def fit_bands(
    sums: Sums,
    inputs: Float[Tensor, "R K"],
    images: Float[Tensor, "R 3 S S"],
    *,
    every: Float[Tensor, "N K"] | None = None,
) -> Fit:
    """Return the ridge regression whose penalty is chosen for each colour channel and band of frequencies.

    Bands are octaves of the larger index of a coefficient's orthonormal DCT: 0, 1, 2-3, 4-7, ... The squared error is a
    sum over coefficients, so each band may have a penalty of its own: colours and layout are predictable where texture
    is not, and one penalty serves neither. One eigendecomposition of the Gram matrix serves all penalties. Of each of
    the R given rows, which are among those summed, the residual had it been left out is its residual over 1 - h, h its
    leverage (Allen's PRESS). The largest penalty gives the mean image. Where vectors have more numbers than there are
    pairs, `every` input makes the decomposition one of N x N. Memory is K (K + 2 P) numbers in float64.
    """
    squares, vectors = _decomposed(sums, every)
    level = float(squares.mean()) if len(squares) else 1.0
    penalties = level * torch.tensor(PENALTIES, dtype=torch.float64)
    size = images.shape[-1]
    rotated_inputs = (inputs.double() - sums.input_mean) @ vectors
    bands = band_of(size)
    weight = torch.empty(sums.cross.shape)
    chosen: list[Tensor] = []
    for channel in range(3):
        columns = slice(channel * size**2, (channel + 1) * size**2)
        wanted = _dct(images[:, channel].double().flatten(1) - sums.output_mean[columns], size)
        rotated = vectors.T @ _dct(sums.cross[:, columns], size)
        errors = _errors(rotated_inputs, wanted, rotated, squares, penalties, sums.pairs, bands)
        best = penalties[errors.argmin(0)]
        chosen.append(best)
        solved = vectors @ (rotated / (squares[:, None] + best[bands][None]))
        weight[:, columns] = _dct(solved, size, inverse=True).float()
    bias = (sums.output_mean - sums.input_mean @ weight.double()).float()
    means = torch.stack(chosen).log().mean(0).exp()
    return Fit(weight, bias, {f"penalty_band_{band}": float(value) for band, value in enumerate(means)})


def band_of(size: int) -> Int64[Tensor, " P"]:
    """Return the band of every DCT coefficient of an image of `size` pixels a side, in rows: 0, then 1 + log2."""
    index = np.maximum(*np.indices((size, size)))
    return torch.from_numpy(np.where(index == 0, 0, 1 + np.log2(np.maximum(index, 1)).astype(np.int64)).ravel())


def _decomposed(sums: Sums, every: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (R,) of the Gram matrix above rounding, and their vectors (K, R)."""
    centred = None if every is None else every.double() - sums.input_mean
    squares, vectors = torch.linalg.eigh(sums.gram if centred is None else centred @ centred.T)
    varying = squares > _ROUNDING * squares.max()  # a dimension that never varies changes nothing
    squares, vectors = squares[varying], vectors[:, varying]
    return squares, vectors if centred is None else centred.T @ vectors / squares.sqrt()


def _errors(
    inputs: Tensor, wanted: Tensor, rotated: Tensor, squares: Tensor, penalties: Tensor, count: int, bands: Tensor
) -> Tensor:
    """(penalties, bands) summed squared leave-one-out errors."""
    errors = torch.zeros(len(penalties), int(bands.max()) + 1, dtype=torch.float64)
    for number, penalty in enumerate(penalties):
        shrunk = inputs / (squares + penalty)
        leverage = (shrunk * inputs).sum(1, keepdim=True) + 1 / count
        left = (wanted - shrunk @ rotated) / (1 - leverage).clamp(min=1e-9)
        errors[number].index_add_(0, bands, left.square().sum(0))
    return errors


def _dct(rows: Tensor, size: int, *, inverse: bool = False) -> Tensor:
    """(N, S^2) -> (N, S^2): the orthonormal two-dimensional DCT-II of each row, or its inverse."""
    transform: Any = scipy.fft.idctn if inverse else scipy.fft.dctn
    images = rows.reshape(-1, size, size).numpy()
    return torch.from_numpy(transform(images, axes=(1, 2), norm="ortho")).reshape(len(rows), -1)
