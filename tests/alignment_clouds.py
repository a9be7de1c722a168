"""Vectors with clusters of different sizes and directions of different spread, as encoders make them."""

import numpy as np


def rotation(width: int, seed: int = 0) -> np.ndarray:
    """Return a random orthogonal matrix."""
    made = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]
    return np.asarray(made)


def cloud(count: int, *, width: int = 16, clusters: int = 10, space: int = 0, seed: int = 0) -> np.ndarray:
    """Return float32 vectors (count, width) of the space of this number: its own centres and spreads."""
    of_space = np.random.default_rng([space, 1])
    centres = of_space.standard_normal((clusters, width)) * of_space.uniform(1, 3, (clusters, 1))
    spread = of_space.uniform(0.3, 1.2, width)
    drawn = np.random.default_rng([seed, 2])
    share = np.linspace(1, 2, clusters)
    member = drawn.choice(clusters, count, p=share / share.sum())
    # Skewed, as rectified features are: a symmetric cloud would equal its own mirror image.
    return np.asarray(3 + centres[member] + spread * drawn.standard_exponential((count, width)), dtype=np.float32)
