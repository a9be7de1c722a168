"""The pairing check of an audit: false refusals, the images that it needs, and the damage that it sees.

    FEATINV_THREADS=1 FEATINV_PROGRESS=0 python recipes/benchmarks/pairing.py

Rendered scenes of 32 px, with vectors of the packaged encoder `tiny` as files without names. (1) Whole audits with
closed forms only, each of other scenes: how many are refused for pairing, and how many pass L2. (2) Power: the share
of draws from a pool of scenes that is confirmed, by numbers of images, with and without noise in the vectors. (3) The
share that is confirmed although rows are in a wrong order. In (2) and (3) rows are sorted by class, as class folders
are.
"""

import contextlib
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import featinv as fi


@dataclass(frozen=True)
class Config:
    """How much to measure."""

    out: str = ""
    """not used: the figures are printed"""
    seed: int = 0
    """of the pool, the noise and the draws; audit number n has seed n"""
    audits: int = 100
    """whole audits"""
    audit: tuple[int, int] = (120, 60)
    """public and private images of an audit"""
    attacks: tuple[str, ...] = ("mean image", "nearest neighbour", "ridge")
    """attacks of an audit"""
    pool: int = 4000
    """scenes from which (2) and (3) draw"""
    draws: int = 200
    """draws for each number of (2) and (3)"""
    noise: tuple[float, ...] = (0.0, 1.0)
    """standard deviations of the noise, in units of the root mean square deviation of the vectors"""
    public: tuple[int, ...] = (50, 75, 100, 150, 200, 300)
    """numbers of public images in (2)"""
    private: tuple[int, ...] = (20, 30, 50, 75, 100)
    """numbers of private images in (2)"""
    damaged: tuple[tuple[int, int], ...] = ((260, 120), (120, 60))
    """numbers of public and private images in (3)"""


def main(config: Config) -> None:
    if config.audits:
        results = Counter(result for seed in range(config.audits) for result in audited(seed, config))
        print(f"{config.audits} audits, {config.audit} images, --max-level L2: {dict(results)}", flush=True)
    images, features = scenes_and_vectors(config.pool, config.seed)
    deviation = float(np.sqrt(features.var(axis=0).mean()))
    for scale in config.noise:
        noise = np.random.default_rng(config.seed).normal(0, scale * deviation, features.shape).astype(np.float32)
        print(f"\n| noise of {scale:g} x {deviation:.3f} | {' | '.join(f'{n} private' for n in config.private)} |")
        for public in config.public:
            shares = [confirmed(images, features + noise, (public, private), config) for private in config.private]
            print(f"| {public} public | {' | '.join(shares)} |", flush=True)
    for sizes in config.damaged:
        print(f"\n| {sizes[0]} public, {sizes[1]} private | public rows damaged | private rows damaged |")
        for name, damage in DAMAGE.items():
            shares = [confirmed(images, features, sizes, config, side, damage) for side in (0, 1)]
            print(f"| {name} | {' | '.join(shares)} |", flush=True)


def audited(seed: int, config: Config) -> list[str]:
    """Run one audit, and return "passes", "leaks more", or the checks for which it is refused."""
    public, private = config.audit
    images, features = scenes_and_vectors(public + private, seed)
    suite = [entry for entry in fi.audit.SUITE if entry.name in config.attacks]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        paths: dict[str, Any] = {}
        for side, flag, rows in (
            ("public", "public_features", np.arange(public)),
            ("private", "features", np.arange(public, public + private)),
        ):
            paths |= {side: f"{folder}/{side}.npz", flag: f"{folder}/{side}.npy"}
            np.savez(paths[side], images=images.uint8(rows), labels=images.factors["shape"][rows])
            np.save(paths[flag], features[rows])
        settings = fi.audit.AuditSettings(f"{folder}/audit", **paths, size=32, named="none", show_images=False)
        board = fi.audit.run_audit(settings, suite=suite).board
    try:
        return ["passes" if fi.audit.gate(board, "L2") else "leaks more"]
    except fi.BadInput:
        return [f"refused for {check.name}" for check in fi.audit.gate_checks(board, "L2") if not check.passed]


def scenes_and_vectors(count: int, seed: int) -> "tuple[fi.data.ImageSet, np.ndarray]":
    images = fi.data.scenes(count, size=32, seed=seed)
    return images, np.asarray(fi.extract(fi.Victim(fi.encoders.tiny()), images).features(range(count)))


def confirmed(
    images: "fi.data.ImageSet",
    features: np.ndarray,
    sizes: tuple[int, int],
    config: Config,
    side: int = 0,
    damage: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
) -> str:
    """Return the share of draws that is confirmed, with its interval, where `damage` reorders one side's vectors."""
    results = []
    for draw in range(config.draws):
        rng = np.random.default_rng((config.seed, draw))
        drawn = rng.permutation(len(images))[: sum(sizes)]
        rows = [part[np.argsort(images.factors["shape"][part], kind="stable")] for part in np.split(drawn, [sizes[0]])]
        vectors = [features[part] for part in rows]
        if damage is not None:
            vectors[side] = vectors[side][damage(rng, images.factors["shape"][rows[side]])]
        pairs, truth = fi.Pairs(vectors[0], images.take(rows[0])), images.take(rows[1])
        results.append(fi.evaluation.check_pairing(pairs, fi.Release(vectors[1], {}, truth)).confirmed)
    rate = fi.evaluation.rate(np.array(results))
    return f"{100 * rate.mean:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def some(fraction: float) -> Callable[[np.random.Generator, np.ndarray], np.ndarray]:
    """Return an order in which this share of the rows, drawn at random, is shuffled."""

    def order(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
        moved, rows = np.arange(len(labels)), rng.permutation(len(labels))[: round(fraction * len(labels))]
        moved[np.sort(rows)] = rows
        return moved

    return order


DAMAGE = {
    "all shuffled": some(1),
    "shuffled within classes": lambda rng, labels: np.lexsort((rng.random(len(labels)), labels)),
    "second half shifted by one row": lambda rng, labels: np.concatenate(
        [np.arange(len(labels) // 2), np.roll(np.arange(len(labels) // 2, len(labels)), 1)]
    ),
    "half shuffled": some(0.5),
    "a quarter shuffled": some(0.25),
}

if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
