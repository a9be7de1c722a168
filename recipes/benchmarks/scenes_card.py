"""The figures of the data card of scenes (docs/data_scenes.md): how hard they are, how fast, how varied.

    python recipes/benchmarks/scenes_card.py

Prints the tables in Markdown: PSNR of a principal-component code and of ridge regression at the width of the encoder's
features, re-identification of the nearest neighbour in galleries of several sizes, equal and nearly equal images,
milliseconds an image on one thread, and for each factor its values and how often the most common one comes.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import featinv as fi

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Config:
    """Which scenes are measured, with which encoder and judge."""

    size: int = 32
    """side of the images in pixels"""
    public: int = 4000
    """images that attacks and codes are fitted on"""
    private: int = 5000
    """images that are scored; the whole gallery"""
    galleries: tuple[int, ...] = (100, 500, 1000)
    """smaller galleries, beside the whole one"""
    seed: int = 0
    """of the public images; the private ones have the next"""
    judge: str = "scenes-vgg"
    """a packaged judge, or a .safetensors file"""
    weights: str | None = None
    """a file of weights for the encoder in place of the packaged tiny's, as recipes/train_tiny.py writes it"""
    speed: int = 200
    """images a size for the milliseconds"""


def main(config: Config) -> None:
    fi.processes.share_threads()
    public = fi.data.scenes(config.public, size=config.size, seed=config.seed)
    private = fi.data.scenes(config.private, size=config.size, seed=config.seed + 1)
    public, shared = fi.data.disjoint(public, private)
    victim = fi.Victim(encoder(config))
    print(f"\n{config.public} public and {config.private} private scenes of {config.size} px, {victim.name}\n")
    print_board(config, victim, public, private)
    width = victim.feature_shape[0]
    print(f"| {width} principal components of the pixels | {component_code(public, private, width):.2f} | | |")
    print(f"\nPublic against private: {shared}. Within the private: {equal_images(private)} equal images.")
    print_speed(config)
    print_factors(public)


def encoder(config: Config) -> fi.types.Encoder:
    """The packaged tiny, or the same network with other weights."""
    if config.weights is None:
        return fi.encoders.tiny()
    judge = fi.encoders.judge(config.weights)
    return fi.encoders.wrap(
        lambda x: judge(x)[0], name="tiny", family="resnet", trained_on=judge.trained_on, input_size=config.size
    )


def print_board(config: Config, victim: fi.Victim, public: fi.data.ImageSet, private: fi.data.ImageSet) -> None:
    """Score the controls and ridge, and print their PSNR and re-identification."""
    pairs = fi.extract(victim, public)
    attacks: dict[str, Any] = {
        "mean image": fi.attacks.MeanImage(),
        "nearest neighbour": fi.attacks.NearestNeighbour(),
        "ridge": fi.attacks.Ridge(),
    }
    for attack in attacks.values():
        attack.fit(pairs)
    judges = [fi.encoders.judge(config.judge)]
    galleries = [size for size in config.galleries if size < config.private]
    board = fi.compare(attacks, fi.release(victim, private), judges, galleries=galleries)
    views = [*[f"gallery {size}" for size in galleries], "whole"]
    sizes = ", ".join(map(str, [*galleries, config.private]))
    print(f"| | PSNR | top-10 of {sizes} | judge agreement |\n|---|---|---|---|")
    for name in attacks:
        row = board[name]
        seen = [row.metrics if view == "whole" else row.metrics_by[view] for view in views]
        rates = ", ".join(f"{metrics['reid_top10'].mean:.3f}" for metrics in seen)
        print(f"| {name} | {row.metrics['psnr'].mean:.2f} | {rates} | {row.metrics['judge_agreement'].mean:.3f} |")


def component_code(public: fi.data.ImageSet, private: fi.data.ImageSet, width: int) -> float:
    """Mean PSNR of the private images written as `width` principal components of the public ones."""
    import torch

    mean, basis = components(public, width)
    total = 0.0
    for start, stop in private.blocks():
        images = private.batch(range(start, stop))
        flat = images.flatten(1) - mean
        code = (flat @ basis) @ basis.T + mean
        total += float(fi.metrics.psnr(fi.metrics.rounded(code.clamp(0, 1).reshape(images.shape)), images).sum())
    assert torch.allclose(basis.T @ basis, torch.eye(width), atol=1e-3)
    return total / len(private)


def components(images: fi.data.ImageSet, width: int) -> tuple["Tensor", "Tensor"]:
    """Mean (P,) and the leading eigenvectors (P, width) of the covariance of the pixels, from two passes."""
    import torch

    count, pixels = len(images), 3 * images.size**2
    mean, gram = torch.zeros(pixels, dtype=torch.float64), torch.zeros(pixels, pixels, dtype=torch.float64)
    for start, stop in images.blocks():
        mean += images.batch(range(start, stop)).flatten(1).double().sum(0) / count
    for start, stop in images.blocks():
        flat = images.batch(range(start, stop)).flatten(1).double() - mean
        gram += flat.T @ flat / count
    # Eigenvectors in ascending order of their eigenvalues.
    return mean.float(), torch.linalg.eigh(gram).eigenvectors[:, -width:].float()


def equal_images(images: fi.data.ImageSet) -> int:
    """How many images have an equal one before them."""
    seen: set[bytes] = set()
    for start, stop in images.blocks():
        seen.update(image.tobytes() for image in images.uint8(range(start, stop)))
    return len(images) - len(seen)


def print_speed(config: Config) -> None:
    print("\n| side | ms an image (CPU time of one thread) |\n|---|---|")
    for size in (32, 64, 128, 256):
        count = max(1, config.speed * 32 // size)
        fi.data.scenes(1, size=size)
        start = time.process_time()
        fi.data.scenes(count, size=size)
        print(f"| {size} px | {(time.process_time() - start) / count * 1000:.2f} |")


def print_factors(images: fi.data.ImageSet) -> None:
    """For each factor the number of its values, and the share of the most common one: what guessing gets."""
    import numpy as np

    print("\n| factor | values | most common |\n|---|---|---|")
    for name, values in images.factors.items():
        print(f"| `{name}` | {len(np.unique(values))} | {np.bincount(values).max() / len(values):.3f} |")


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
