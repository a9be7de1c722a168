"""Vectors of a few well-separated classes, as a publisher has them: files of both sides."""

from pathlib import Path

import numpy as np
from PIL import Image

import featinv as fi
from featinv.defend import Measurement
from featinv.evaluation import Interval

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


def interval(low: float, mean: float, high: float) -> Interval:
    return Interval(mean, low, high, 1000)


def measured(
    *, ceiling: float | None = 0.08, floor: float = 0.04, kept: float = 0.99, label: str = "setting"
) -> Measurement:
    return Measurement(
        label=label,
        family="family",
        fingerprint="",
        ceilings={1: ceiling, 10: ceiling},
        ceiling_rates={},
        attacks={"attacker": {10: interval(floor, floor, floor)}},
        utility={"probe": interval(0.9, 0.9, 0.9)},
        kept={"probe": interval(kept, kept, kept)},
    )


def write_images(root: Path) -> dict[str, str]:
    """Write small scenes of both sides in folders, their vectors with ids, and return the flags' values."""
    images = fi.data.scenes(130, size=32, seed=11)
    victim = fi.Victim(fi.encoders.tiny(), fi.defences.Identity())
    values = {}
    for side, rows in (("public", range(90)), ("private", range(90, 130))):
        names = []
        for row in rows:
            name = f"{images.classes[int(images.labels[row])]}/{row:03d}.png"
            (root / side / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.uint8([row])[0]).save(root / side / name)
            names.append(f"{side}/{name}")
        pairs = fi.extract(victim, images.take(rows))
        file = root / f"{side}.npz"
        np.savez(file, features=pairs.features(np.arange(len(rows))), ids=np.array(names))
        values[side] = str(root / side)
        values["features" if side == "private" else "public_features"] = str(file)
    return values
