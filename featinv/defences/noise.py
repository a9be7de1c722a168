"""Additive noise: Gaussian, Laplace, and Gaussian shaped by the features' covariance."""

import math
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv.defences.defence import Defence, Learned, equal_outputs
from featinv.defences.public_features import PublicFeatures
from featinv.errors import BadInput


@final
class GaussianNoise(Defence):
    """Add independent N(0, std²) noise to every feature, (B, D) or (B, C, H, W); exactly the identity at std 0.

    `std` is in the units of the encoder's features and does not depend on the batch; compare it with the features'
    standard deviation. Nothing is clipped or calibrated: by itself this is no differential privacy. Raises BadInput
    unless `std` is finite and at least 0.
    """

    def __init__(self, std: int | float) -> None:
        super().__init__()
        self.std = _strength("std", std)

    @property
    def deterministic(self) -> bool:
        """Whether there is no noise."""
        return self.std == 0

    @property
    def is_identity(self) -> bool:
        """Whether there is no noise."""
        return self.std == 0

    def log_likelihood(self, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]) -> Float[Tensor, "B N"]:
        """Return log N(released; clean, std²) in float64."""
        if self.is_identity:
            return equal_outputs(released, clean)
        return _gaussian_log_density(_double(released) / self.std, _double(clean) / self.std) - clean[
            0
        ].numel() * math.log(self.std)

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Add fresh noise from torch's global generator, in train and eval mode alike."""
        return rows + self.std * torch.randn_like(rows)

    def extra_repr(self) -> str:
        """Show the strength: the victim's fingerprint reads it."""
        return f"std={self.std}"


@final
class Laplace(Defence):
    """Add independent Laplace noise of scale `scale` (features' units; deviation sqrt(2) scale) to every feature.

    The identity at scale 0. By itself this is no differential privacy. Raises BadInput unless `scale` is finite and at
    least 0.
    """

    def __init__(self, scale: int | float) -> None:
        super().__init__()
        self.scale = _strength("scale", scale)

    @property
    def deterministic(self) -> bool:
        """Whether there is no noise."""
        return self.scale == 0

    @property
    def is_identity(self) -> bool:
        """Whether there is no noise."""
        return self.scale == 0

    def log_likelihood(self, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]) -> Float[Tensor, "B N"]:
        """Return the log density of independent Laplace noise, in float64."""
        if self.is_identity:
            return equal_outputs(released, clean)
        distances = torch.cdist(_double(released), _double(clean), p=1)
        return -distances / self.scale - clean[0].numel() * math.log(2 * self.scale)

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        # The difference of two exponential draws is Laplace, exactly and without a logarithm of 0.
        draws = [torch.empty_like(rows).exponential_() for _ in range(2)]
        return rows + self.scale * (draws[0] - draws[1])

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"scale={self.scale}"


@final
class ShapedNoise(Learned):
    """Add Gaussian noise of covariance proportional to (features' covariance)^exponent, estimated on public features.

    `std` is the root mean square of the noise over the numbers, in the features' units: equal `std` is equal energy at
    every `exponent` from 0 (isotropic) to 1 (the features' covariance). Directions in which the public features hardly
    vary get at least 1e-6 of the largest variance before the power, so that none is released without noise. The
    identity at std 0. Raises BadInput for another exponent or strength.
    """

    basis: Tensor
    deviations: Tensor

    def __init__(self, std: int | float, exponent: int | float = 0.5) -> None:
        super().__init__()
        if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not 0 <= exponent <= 1:
            raise BadInput(f"exponent: expected a number from 0 (isotropic) to 1 (covariance), got {exponent!r}")
        self.std, self.exponent = _strength("std", std), float(exponent)

    @property
    def deterministic(self) -> bool:
        """Whether there is no noise."""
        return self.std == 0

    @property
    def is_identity(self) -> bool:
        """Whether there is no noise."""
        return self.std == 0

    def log_likelihood(self, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]) -> Float[Tensor, "B N"]:
        """Return the log density of the noise, in float64: Gaussian in the Mahalanobis distance."""
        if self.is_identity:
            return equal_outputs(released, clean)
        self._check(clean)
        scale = self.deviations.cpu().double()
        basis = self.basis.cpu().double()
        rows = [_double(each) @ basis / scale for each in (released, clean)]
        return _gaussian_log_density(rows[0], rows[1]) - float(scale.log().sum())

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        data.require(2, type(self).__name__)
        values, basis = np.linalg.eigh(
            np.cov(data.rows, rowvar=False, dtype=np.float64).reshape(2 * data.rows.shape[1:])
        )
        powers = np.maximum(values, max(1e-6 * values.max(), np.finfo(np.float32).tiny)) ** self.exponent
        return {"basis": basis, "deviations": self.std * np.sqrt(powers / powers.mean())}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return rows + (torch.randn_like(rows) * self.deviations) @ self.basis.T

    def extra_repr(self) -> str:
        """Show strength and shape."""
        return f"std={self.std}, exponent={self.exponent:g}"


def _strength(name: str, value: int | float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise BadInput(f"{name}: expected a finite number of at least 0, in the units of the features, got {value}")
    return float(value)


def _double(features: Tensor) -> Tensor:
    return features.detach().flatten(1).cpu().double()


def _gaussian_log_density(released: Tensor, clean: Tensor) -> Float[Tensor, "B N"]:
    """log N(released; clean, 1) of flat float64 rows; centred first, so that the expanded square loses no digits."""
    centre = clean.mean(0)
    rows, candidates = released - centre, clean - centre
    constant = 0.5 * rows.shape[1] * math.log(2 * math.pi)
    density = rows @ candidates.T
    density -= 0.5 * rows.square().sum(1)[:, None] + constant
    density -= 0.5 * candidates.square().sum(1)
    return density
