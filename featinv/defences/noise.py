"""Additive noise: Gaussian, Laplace, and Gaussian shaped by the features' covariance."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from featinv.defences.defence import Defence, Learned, equal_outputs
from featinv.defences.public_features import PublicFeatures
from featinv.errors import BadInput


class AdditiveNoise(Defence):
    """Noise that is added to every vector, independent of it: none at strength 0, else with a known density."""

    strength: ClassVar[str] = "std"
    """name of the keyword that holds the strength, in the features' units"""

    @property
    def deterministic(self) -> bool:
        """Whether there is no noise."""
        return self.is_identity

    @property
    def is_identity(self) -> bool:
        """Whether there is no noise."""
        return bool(getattr(self, self.strength) == 0)

    def log_likelihood(self, released: Float[Tensor, "B ..."], clean: Float[Tensor, "N ..."]) -> Float[Tensor, "B N"]:
        """Return the log density of the noise that makes each released row of each clean one, in float64."""
        if self.is_identity:
            return equal_outputs(released, clean)
        self._check(clean)
        return self._log_density(_double(released), _double(clean))

    def scorer(self, clean: Float[Tensor, "N ..."]) -> Callable[[Tensor], Tensor]:
        """Return a function from released rows (B, ...) to scores (B, N): the log density up to a number a row.

        It ranks these clean vectors as the density does. What depends on them alone is computed once.
        """
        return lambda released: self.log_likelihood(released, clean)

    @abstractmethod
    def _log_density(self, released: Float64[Tensor, "B D"], clean: Float64[Tensor, "N D"]) -> Float64[Tensor, "B N"]:
        """Return the log density of flat rows at a strength above zero."""


@final
class GaussianNoise(AdditiveNoise):
    """Add independent N(0, std²) noise to every feature, (B, D) or (B, C, H, W); exactly the identity at std 0.

    `std` is in the units of the encoder's features and does not depend on the batch; compare it with the features'
    standard deviation. Nothing is clipped or calibrated: by itself this is no differential privacy. Raises BadInput
    unless `std` is finite and at least 0.
    """

    def __init__(self, std: int | float) -> None:
        super().__init__()
        self.std = _strength("std", std)

    def scorer(self, clean: Float[Tensor, "N ..."]) -> Callable[[Tensor], Tensor]:
        """Return released -> scores: see `AdditiveNoise.scorer`."""
        return super().scorer(clean) if self.is_identity else _gaussian_scorer(_double(clean) / self.std, 1 / self.std)

    def _log_density(self, released: Float64[Tensor, "B D"], clean: Float64[Tensor, "N D"]) -> Float64[Tensor, "B N"]:
        density = _gaussian_log_density(released / self.std, clean / self.std)
        return density - clean.shape[1] * math.log(self.std)

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Add fresh noise from torch's global generator, in train and eval mode alike."""
        return rows + self.std * torch.randn_like(rows)

    def extra_repr(self) -> str:
        """Show the strength: the victim's fingerprint reads it."""
        return f"std={self.std}"


@final
class Laplace(AdditiveNoise):
    """Add independent Laplace noise of scale `scale` (features' units; deviation sqrt(2) scale) to every feature.

    The identity at scale 0. By itself this is no differential privacy. Raises BadInput unless `scale` is finite and at
    least 0.
    """

    strength: ClassVar[str] = "scale"

    def __init__(self, scale: int | float) -> None:
        super().__init__()
        self.scale = _strength("scale", scale)

    def _log_density(self, released: Float64[Tensor, "B D"], clean: Float64[Tensor, "N D"]) -> Float64[Tensor, "B N"]:
        distances = torch.cdist(released, clean, p=1)
        return -distances / self.scale - clean.shape[1] * math.log(2 * self.scale)

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        # The difference of two exponential draws is Laplace, exactly and without a logarithm of 0.
        draws = [torch.empty_like(rows).exponential_() for _ in range(2)]
        return rows + self.scale * (draws[0] - draws[1])

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"scale={self.scale}"


@final
class ShapedNoise(AdditiveNoise, Learned):
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

    def scorer(self, clean: Float[Tensor, "N ..."]) -> Callable[[Tensor], Tensor]:
        """Return released -> scores: see `AdditiveNoise.scorer`."""
        if self.is_identity:
            return super().scorer(clean)
        self._check(clean)
        whitening = self._whitening()
        return _gaussian_scorer(_double(clean) @ whitening, whitening)

    def _log_density(self, released: Float64[Tensor, "B D"], clean: Float64[Tensor, "N D"]) -> Float64[Tensor, "B N"]:
        whitening = self._whitening()
        volume = float(self.deviations.cpu().double().log().sum())
        return _gaussian_log_density(released @ whitening, clean @ whitening) - volume

    def _whitening(self) -> Float64[Tensor, "D D"]:
        """Return the matrix after which the noise has unit deviation in every direction."""
        return self.basis.cpu().double() / self.deviations.cpu().double()

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        data.require(2, type(self).__name__)
        values, basis = data.spectrum.values, data.spectrum.basis
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


def _gaussian_scorer(
    candidates: Float64[Tensor, "N E"], whitening: float | Float64[Tensor, "D E"]
) -> Callable[[Tensor], Tensor]:
    """Score rows that `whitening` maps to where `candidates` are and the noise is N(0, 1): x . c - |c|^2 / 2.

    Both about the candidates' centre, so that the products lose no digits.
    """
    centre = candidates.mean(0)
    points = candidates - centre
    half = 0.5 * points.square().sum(1)
    if isinstance(whitening, float):
        weights, offset = points.T * whitening, -half - points @ centre
    else:
        weights, offset = whitening @ points.T, -half - points @ centre
    return lambda released: torch.addmm(offset, _double(released), weights)
