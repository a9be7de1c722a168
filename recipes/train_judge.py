"""Train a judge: an independent network that will only ever score, for any folder of labelled PUBLIC images.

    python recipes/train_judge.py --data DIR --out judge.safetensors --training.epochs 8

DIR has one folder a class, or train/ and test/ with one folder a class each. These settings gave 83.6 % on 5,000 test
images of CIFAR-10, after 22 minutes of one thread on a busy machine. How the packaged judge "scenes-vgg" was made is
in docs/encoder_tiny.md. The judge is a plain VGG-like network without residual connections, so that it is of another
family than the encoders under attack; load it by `featinv.encoders.judge("judge.safetensors")`. `--network SmallMixer`
makes a second judge of yet another family: what both find is no quirk of one.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import featinv as fi
from featinv.configuration import Component, build
from featinv.training.settings import ClassifierTraining

if TYPE_CHECKING:
    from featinv.data import ImageSet


@dataclass(frozen=True)
class Config:
    """What the judge learns from, how large it is, and where it goes."""

    out: str = "judge.safetensors"
    """the judge's file, ending in .safetensors; must not exist yet"""
    data: str = "scenes"
    """folder of labelled images, or "scenes" """
    name: str = "vgg"
    """what the scoreboard calls the judge"""
    trained_on: str = ""
    """what the scoreboard says it was trained on; empty: the folder's name, or which scenes"""
    size: int = 32
    """side of the images in pixels"""
    count: int = 30_000
    """how many scenes to make up, for "scenes" only"""
    seed: int = 101
    """which scenes; their test set has the next seed"""
    factors: bool = False
    """its features must predict every factor of the images beside the label (scenes have factors)"""
    network: Component = Component("SmallVGG")
    """SmallVGG, or SmallMixer for a second judge of yet another family; `--network.width 64` is a keyword of its own"""
    half: bool = False
    """store the weights as float16"""
    training: ClassifierTraining = field(default_factory=ClassifierTraining)
    """how it is trained"""


def load_images(config: Config) -> "tuple[ImageSet, ImageSet | None]":
    """The images to train on, and those to test on where there are any."""
    if config.data == "scenes":
        images = fi.data.scenes(config.count, size=config.size, seed=config.seed)
        return images, fi.data.scenes(2000, size=config.size, seed=config.seed + 1)
    root = Path(config.data)
    images = fi.data.folder(root / "train" if (root / "train").is_dir() else root, size=config.size)
    return images, fi.data.folder(root / "test", size=config.size) if (root / "test").is_dir() else None


def main(config: Config) -> None:
    if Path(config.out).exists() or not config.out.endswith(".safetensors"):
        raise fi.BadInput(f"--out: expected a new file ending in .safetensors, got {config.out}; remove or rename it")
    fi.processes.share_threads()
    images, test = load_images(config)
    trained_on = config.trained_on
    if config.data == "scenes":
        trained_on = trained_on or f"scenes (seed {config.seed}, {config.count})"
    also = {name: values for name, values in images.factors.items() if name != "shape"} if config.factors else None
    judge, history = fi.training.train_judge(
        images,
        config.training,
        name=config.name,
        make=lambda heads: build(config.network, fi.encoders.networks, heads),
        trained_on=trained_on,
        also=also,
    )
    if not fi.processes.is_main():
        return
    fi.encoders.save_judge(judge, config.out, half=config.half)
    last = {name: round(value, 4) for name, value in history[-1].items()}
    print(f"{config.out}: {judge.name}, {len(judge.classes)} classes, held-out {last}")
    if test is not None:
        saved = fi.encoders.judge(config.out)
        print(f"accuracy on {len(test)} test images: {fi.training.label_accuracy(saved, test):.4f}")


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
