"""The smallest complete recipe, to be copied: train one decoder by a pixel loss, and score it beside the controls.

    accelerate launch recipes/train_pixel.py --out runs/pixel --steps 1500

Synthetic images and the embedded encoder by default. Expect the decoder to beat the mean image by some dB of PSNR and
to identify few images: pixel losses blur.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import featinv as fi
from featinv.training.settings import Training


@dataclass(frozen=True)
class Config:
    """Every field is a flag."""

    out: str = "runs/pixel"
    """folder for the attack and the scoreboard"""
    public: int = 4000
    """images that the attacker trains on"""
    private: int = 500
    """images whose vectors were released"""
    size: int = 32
    """side of the images in pixels"""
    width: int = 512
    """width of the decoder's trunk"""
    steps: int | None = None
    """learning steps; null: as many as training.images and training.batch_size give"""
    training: Training = field(default_factory=lambda: Training(images=200_000))
    """how the decoder is trained"""


def main(config: Config) -> None:
    fi.processes.share_threads()
    images = fi.data.scenes(config.public + config.private, size=config.size, seed=0)
    public, private = images.take(range(config.public)), images.take(range(config.public, len(images)))

    victim = fi.Victim(fi.encoders.tiny(), fi.defences.Identity()).to(fi.processes.device())
    pairs = fi.extract(victim, public, flips=True)

    budget = config.training.images if config.steps is None else config.steps * config.training.batch_size
    training = replace(config.training, images=budget)
    decoder = fi.decoders.Upsampling(victim.feature_shape, config.size, width=config.width)
    attack = fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training)
    attack.fit(pairs, checkpoints=fi.training.Checkpoints(Path(config.out) / "checkpoints", every_seconds=120))

    if fi.processes.is_main():
        fi.save_attack(attack, Path(config.out) / "attack")
        attacks: dict[str, fi.types.Attack] = {
            "mean image": fi.attacks.MeanImage(),
            "nearest neighbour": fi.attacks.NearestNeighbour(),
        }
        for control in attacks.values():
            control.fit(pairs)
        attacks["pixel"] = attack
        release = fi.release(victim, private, seed=0)
        board = fi.compare(attacks, release, judges=[fi.encoders.judge("scenes-vgg")])
        board.save(config.out)
        fi.tracking.log(board, attacks, release, mode="offline", folder=config.out, config=config)
        print(board)


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
