"""Success of an attacker who aligns the release with vectors of their own, against the number of known pairs.

    FEATINV_THREADS=1 python recipes/benchmarks/alignment_curve.py --data DIR --weights DIR --out DIR

CIFAR-10, pooled vectors of ResNet-20 (64-d): 10,000 public images, 1,000 private ones. Released is (1) a secret
rotation of the vectors, (2) the same with Gaussian noise, and (3) the vectors of ResNet-56, where the attacker has
ResNet-20. Top-1 is linkage among the 1,000 private images; known images are not scored.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import featinv as fi


@dataclass(frozen=True)
class Config:
    """What is aligned, and how often."""

    data: str
    """folder of CIFAR-10 with train/ and test/ class folders"""
    weights: str
    """folder of cifar10_resnet20.safetensors and cifar10_resnet56.safetensors"""
    out: str
    """folder in which the vectors are kept for another run"""
    seed: int = 0
    """of the rotation, the noise, the images and the known pairs"""
    pairs: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """numbers of known pairs; 0 is alignment without any"""
    draws: int = 5
    """draws of the known pairs"""
    noise: tuple[float, ...] = (0.4, 1.0)
    """standard deviations of the noise, in units of the root mean square deviation of a number"""


def main(config: Config) -> None:
    vectors, other = (extracted(config, depth) for depth in (20, 56))
    own, clean = vectors["public"], vectors["private"]
    generator = np.random.default_rng(config.seed)
    turn = np.linalg.qr(generator.standard_normal((own.shape[1], own.shape[1])))[0]
    deviation = float(np.sqrt(own.var(axis=0).mean()))
    releases = {"rotation": clean @ turn}
    for scale in config.noise:
        noise = scale * deviation * generator.standard_normal(clean.shape)
        releases[f"rotation, noise {scale:g} rms"] = (clean + noise) @ turn
    releases["ResNet-56"] = other["private"]
    for name, released in releases.items():
        print_curve(name, released.astype(np.float32), clean, own, config)


def print_curve(name: str, released: np.ndarray, clean: np.ndarray, own: np.ndarray, config: Config) -> None:
    print(f"\n{name}\n")
    print("| known pairs | pairs only: top-1 % | lowest to highest draw | strongest: top-1 % | top-10 % | believed |")
    print("|---|---|---|---|---|---|", flush=True)
    curve = fi.evaluation.alignment_curve
    strongest = curve(released, clean, own, pairs=config.pairs, draws=config.draws, seed=config.seed)
    counts = [count for count in config.pairs if count]
    alone = curve(released, clean, own, pairs=counts, draws=config.draws, unpaired=False, seed=config.seed)
    found = {point.pairs: point for point in alone}
    for point in strongest:
        only = found.get(point.pairs)
        spread = "–" if only is None else f"{100 * only.lowest:.1f} to {100 * only.highest:.1f}"
        cells = [str(point.pairs), "–" if only is None else percent(only.top1), spread]
        cells += [percent(point.top1), percent(point.top10), f"{100 * point.identified:.0f} %"]
        print(f"| {' | '.join(cells)} |", flush=True)


def percent(found: fi.evaluation.Interval) -> str:
    return f"{100 * found.mean:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def extracted(config: Config, depth: int) -> dict[str, np.ndarray]:
    """Return public and private vectors of one encoder, from an earlier run where there was one."""
    place = Path(config.out) / f"vectors-{depth}.npz"
    if not place.exists():
        encoder = fi.encoders.cifar_resnet(Path(config.weights) / f"cifar10_resnet{depth}.safetensors", depth=depth)
        found = {}
        for seed, (name, side, count) in enumerate((("public", "train", 10_000), ("private", "test", 1_000))):
            images = fi.data.folder(Path(config.data) / side, size=32)
            rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
            found[name] = fi.extract(fi.Victim(encoder), images.take(rows)).features(np.arange(count))
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, public=found["public"], private=found["private"])
    with np.load(place) as stored:
        return {name: stored[name] for name in ("public", "private")}


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
