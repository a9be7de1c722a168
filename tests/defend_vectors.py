"""Vectors of a few well-separated classes, as a publisher has them: files of both sides."""

from pathlib import Path

import numpy as np

CLASSES, WIDTH, PUBLIC, PRIVATE = 4, 8, 500, 200


def clouds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (count, WIDTH) around one centre a class, and their classes."""
    centres = 4 * np.random.default_rng(3).normal(size=(CLASSES, WIDTH))
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    vectors = centres[labels] + generator.normal(size=(count, WIDTH))
    return vectors.astype(np.float32), labels


def write_sides(folder: Path) -> dict[str, str]:
    """Write both sides with labels beside them, and return the flags' values."""
    private, private_labels = clouds(PRIVATE, 1)
    public, public_labels = clouds(PUBLIC, 2)
    np.savez(folder / "private.npz", features=private, labels=private_labels)
    np.savez(folder / "public.npz", features=public, labels=public_labels)
    return {"features": str(folder / "private.npz"), "public_features": str(folder / "public.npz")}
