from .gaussian_noise import GaussianNoise as GaussianNoise
from .identity import Identity as Identity

__all__ = ["GaussianNoise", "Identity"]
