"""Distil the attacker's own copy of a victim from public pairs, for losses that texture does not fool.

    python recipes/train_surrogate.py --config recipes/configs/cifar10_gan.yaml --data DIR --weights DIR --out FILE

Takes the settings of a comparison (images, victim) and leaves a .safetensors file for a loss of that comparison:
`{name: Perceptual, args: {encoder: {name: saved, args: {source: FILE}}}, views: {}}`. It needs pairs only, no labels.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import featinv as fi
from featinv.assembly import ImageSettings, VictimSettings
from featinv.training.settings import ClassifierTraining

if TYPE_CHECKING:
    from featinv.encoders import Encoder


@dataclass(frozen=True)
class Config:
    """Of what, from which images, and how large."""

    out: str = "surrogate.safetensors"
    """the surrogate's file, ending in .safetensors; must not exist yet"""
    data: str | None = None
    """folder of images (or .npz/.npy); stands in for images.source"""
    weights: str | None = None
    """folder of weights, `{weights}` in the components below"""
    store: str | None = None
    """folder in which the vectors are kept, so that a second surrogate needs no encoding; null: not kept"""
    images: ImageSettings = field(default_factory=ImageSettings)
    """which images are public; the private ones are not looked at"""
    victim: VictimSettings = field(default_factory=VictimSettings)
    """what is distilled"""
    widths: tuple[int, ...] = (32, 64, 128)
    """channels of each stage; the image is halved between two stages"""
    blocks: tuple[int, ...] = (1, 1, 1)
    """residual blocks of each stage"""
    member: Literal["classes", "classes_wide", "classes_convnext", "clusters", "residual", "convnext", "vit"] | None = (
        None
    )
    """a member of a bank, in place of widths and blocks; the first four are those of `presets.identify`"""
    radius: int | float = 0
    """L2 norm by which half of the images are moved against it, at 32 x 32 (0.25, say); 0: none"""
    steps: int = 2
    """gradient steps with which they are moved"""
    mix: int | float = 0
    """share of the batches whose images are mixed, of a member that learns classes (0.5 was measured for 60 passes)"""
    training: ClassifierTraining = field(default_factory=lambda: ClassifierTraining(epochs=20, blur=0.35, cutout=0.25))
    """how it is trained"""


def main(config: Config) -> None:
    out = Path(config.out)
    if out.exists() or out.suffix != ".safetensors":
        raise fi.BadInput(f"--out: expected a new file ending in .safetensors, got {out}; remove or rename it")
    fi.processes.share_threads()
    images = config.images if config.data is None else replace(config.images, source=config.data)
    victim = fi.assembly.build_victim(config.victim, {"weights": config.weights}).to(fi.processes.device())
    public, _, _ = fi.assembly.load_images(images, encoder=victim.encoder)
    pairs = fi.extract(victim, public, to=config.store, flips=True)
    surrogate, history = distil(pairs, config)
    if fi.processes.is_main():
        out.parent.mkdir(parents=True, exist_ok=True)
        fi.encoders.save_encoder(surrogate, out)
        print(f"{out}{said_of(history[-1])}")


def distil(pairs: "fi.Pairs", config: Config) -> "tuple[Encoder, list[dict[str, float]]]":
    """The residual network of the flags, or the member of the bank that they name."""
    ball = fi.training.Ball(config.radius, config.steps) if config.radius else None
    if config.member is None:
        return fi.training.train_surrogate(
            pairs, config.training, widths=config.widths, blocks=config.blocks, ball=ball, mix=config.mix
        )
    members = {member.name: member for member in fi.training.bank_members(config.training.side(pairs.image_size))}
    member = members[f"bank_{config.member}"]
    classes = fi.training.targets_of(member, pairs, seed=config.training.seed)
    return fi.training.train_surrogate(
        pairs, config.training, name=member.name, make=member.make, ball=ball, classes=classes, mix=config.mix
    )


def said_of(row: dict[str, float]) -> str:
    """What the last epoch says of it."""
    if "explained" in row:
        return f": explains {row['explained']:.1%} of the variance of held-out public vectors"
    return f": predicts {row['accuracy']:.1%} of held-out public classes" if "accuracy" in row else ""


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
