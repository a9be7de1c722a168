"""Train `tiny`, the small residual encoder whose weights come with the package, on scenes, one head a factor.

    python recipes/train_tiny.py --out featinv/encoders/weights/tiny.safetensors

Its features must serve every factor at once, so that they need many dimensions. The command prints what
docs/encoder_tiny.md reports: the accuracy of every head on scenes of another seed, and how many principal components
hold 90 % of the features' variance.
"""

from dataclasses import dataclass, field
from pathlib import Path

import featinv as fi
from featinv.training.settings import ClassifierTraining


@dataclass(frozen=True)
class Config:
    """What tiny learns from, how large it is, and where it goes."""

    out: str = "tiny.safetensors"
    """the file of weights, ending in .safetensors; must not exist yet"""
    count: int = 30_000
    """scenes to train on"""
    seed: int = 11
    """which scenes; those that test it have the next seed"""
    test_count: int = 5_000
    """scenes to test it on"""
    widths: tuple[int, ...] = (16, 32, 64)
    """channels of each stage"""
    blocks: tuple[int, ...] = (1, 2, 1)
    """residual blocks of each stage"""
    training: ClassifierTraining = field(
        # Mirrored scenes would have wrong labels (corners, light); covered or recoloured ones hide what is asked.
        default_factory=lambda: ClassifierTraining(
            epochs=12, label_share=0.25, flips=False, cutout=0, blur=0, colour=0.1, shift=0.0625
        )
    )
    """how it is trained"""


def main(config: Config) -> None:
    if Path(config.out).exists() or not config.out.endswith(".safetensors"):
        raise fi.BadInput(f"--out: expected a new file ending in .safetensors, got {config.out}; remove or rename it")
    fi.processes.share_threads()
    images = fi.data.scenes(config.count, size=32, seed=config.seed)
    heads = {name: int(values.max()) + 1 for name, values in images.factors.items()}
    with fi.processes.seeded(config.training.seed):
        network = fi.encoders.networks.SmallResNet(heads, widths=config.widths, blocks=config.blocks)
    fi.training.train_classifier(network, images, config.training, targets=images.factors)
    if not fi.processes.is_main():
        return
    # Kept as a judge is: a classifier, its metadata and no code. It never judges.
    kept = fi.encoders.Judge(
        network,
        name="tiny",
        family="resnet",
        trained_on=f"scenes (seed {config.seed}, {config.count})",
        classes=images.classes,
        input_size=32,
        mean=fi.training.PIXEL_MEAN,
        std=fi.training.PIXEL_STD,
    )
    fi.encoders.save_judge(kept, config.out, half=True)
    report(config)


def report(config: Config) -> None:
    """Print the figures of docs/encoder_tiny.md, measured on the file as it was saved."""
    import numpy as np

    saved = fi.encoders.judge(config.out)
    images = fi.data.scenes(config.test_count, size=32, seed=config.seed + 1)
    accuracies = fi.training.head_accuracies(saved.network, images, images.factors, input_size=32)
    for name, accuracy in accuracies.items():
        chance = np.bincount(images.factors[name]).max() / len(images)
        print(f"| {name} | {accuracy:.3f} | {chance:.3f} |")
    blocks = np.array_split(np.arange(len(images)), len(images) // 256 + 1)
    features = np.concatenate([saved(images.batch(rows))[0].numpy() for rows in blocks])
    variances = np.linalg.eigvalsh(np.cov(features.T))[::-1]
    needed = int(np.sum(np.cumsum(variances) < 0.9 * variances.sum())) + 1
    print(f"{needed} of {len(variances)} principal components hold 90 % of the features' variance")


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
