"""Squared feature error in which a direction counts by what the vector determines of it."""

from typing import final

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.data import ImageSet
from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.losses.objective import wide
from featinv.losses.through_encoder import ThroughEncoder
from featinv.processes import device
from featinv.types import Images, PerImage

_PENALTY = 1e-3
"""ridge penalty, as a share of the number of rows, on standardised vectors"""
_BLOCK = 256


@final
class WhitenedFeatures(ThroughEncoder):
    """|| W (S(reconstruction) - S(original)) ||^2 / D, S the encoder's features and W'W = R^-1, (B,) without a unit.

    R is the covariance of what the released vector does not determine of S (`residual_whitener`), so that an error
    counts most in the directions that the vector says most about: the deterministic form of `Identification`. For
    features that are Gaussian given the vector this is the log-likelihood of the original, up to constants. Raises
    BadInput for a whitener that is not a finite (D, D) matrix of the encoder's width. Ours.
    """

    whitener: Tensor

    def __init__(self, encoder: nn.Module, whitener: Float[Tensor, "D D"]) -> None:
        super().__init__(encoder)
        width = int(np.prod(self.encoder.feature_shape))
        if tuple(whitener.shape) != (width, width) or not bool(whitener.isfinite().all()):
            raise BadInput(
                f"WhitenedFeatures: expected a finite whitener of shape ({width}, {width}), as {self.encoder.name} "
                f"needs, got {tuple(whitener.shape)}; make it by residual_whitener"
            )
        self.register_buffer("whitener", whitener.float(), persistent=False)

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        enlarged, target = wide(reconstruction, original)
        with torch.no_grad():
            wanted = self.encoder.unchecked(target).flatten(1)
        features = self.encoder.unchecked(enlarged).flatten(1)
        with torch.autocast(enlarged.device.type, enabled=False):
            return ((features - wanted) @ self.whitener.to(features).T).square().mean(1).to(enlarged.dtype)


@torch.no_grad()
def public_features(encoder: Encoder, images: ImageSet) -> Float[Tensor, "M D"]:
    """Return the encoder's flattened features of public images, float32 on the CPU: candidates of `Identification`.

    They are computed on the accelerator where there is one.
    """
    home, rows = encoder.mean.device, []
    encoder.to(there := device())
    for start in range(0, len(images), _BLOCK):
        block = images.batch(np.arange(start, min(start + _BLOCK, len(images))))
        rows.append(encoder(block.to(there)).flatten(1).cpu())
    encoder.to(home)
    return torch.cat(rows)


def residual_whitener(
    features: Float[np.ndarray, "M D"], vectors: Float[np.ndarray, "M E"], *, shrink: int | float = 0.1, seed: int = 0
) -> Float[Tensor, "D D"]:
    """Return W with W'W = R^-1, R the covariance of the features that a ridge on the released vectors leaves over.

    The ridge is fitted on one half of the public pairs, R is of the other half, so that over-fitting does not make it
    small, and shrunk by `shrink` towards its mean variance. Raises BadInput for fewer than 4 pairs, rows that differ in
    number, and a shrink outside (0, 1].
    """
    if len(features) != len(vectors) or len(features) < 4:
        raise BadInput(
            f"residual_whitener: expected features and vectors of the same 4 or more images, got {len(features)} and "
            f"{len(vectors)}"
        )
    if not 0 < shrink <= 1:
        raise BadInput(f"residual_whitener: expected shrink above 0 and up to 1, got {shrink}")
    order = np.random.default_rng(seed).permutation(len(features))
    training, other = order[: len(order) // 2], order[len(order) // 2 :]
    x, y = vectors.astype(np.float64), features.astype(np.float64)
    mean, scale = x[training].mean(0), np.maximum(x[training].std(0), 1e-9)
    x, centre = (x - mean) / scale, y[training].mean(0)
    gram = x[training].T @ x[training]
    gram[np.diag_indices(len(gram))] += _PENALTY * len(training)
    weights = scipy.linalg.solve(gram, x[training].T @ (y[training] - centre), assume_a="pos")
    left = y[other] - centre - x[other] @ weights
    covariance = left.T @ left / len(left)
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - shrink) * covariance + shrink * max(level, 1e-12) * np.eye(len(covariance))
    lower = scipy.linalg.cholesky(covariance, lower=True)
    return torch.from_numpy(scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)).float()
