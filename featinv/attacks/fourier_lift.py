"""Random Fourier features: vectors -> [cos(z F + p), z]."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class FourierLift:
    """Standardise vectors with `mean` and `scale` (D,); cosines at `frequencies` (D, K) and `phases` (K,)."""

    mean: Tensor
    scale: Tensor
    frequencies: Tensor
    phases: Tensor

    @property
    def width(self) -> int:
        """K + D."""
        return len(self.phases) + len(self.mean)

    def __call__(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        z = (features - self.mean) / self.scale
        return torch.cat([torch.addmm(self.phases, z, self.frequencies).cos_(), z], dim=1)

    def scaled(self, factor: float) -> "FourierLift":
        """Return the lift with its frequencies multiplied by `factor`."""
        return replace(self, frequencies=self.frequencies * factor)

    def tensors(self) -> dict[str, Tensor]:
        """Return the four tensors by name."""
        return {"mean": self.mean, "scale": self.scale, "frequencies": self.frequencies, "phases": self.phases}
