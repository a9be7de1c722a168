"""`train_pixel.py` plus one idea, an adversary: a discriminator that the decoder has to please beside its pixel loss.

    accelerate launch recipes/train_gan.py --out runs/gan --steps 1500

Synthetic images and the embedded encoder by default. Expect sharper images than those of `train_pixel.py` and a
lower PSNR: an adversary asks for what looks real, not for the mean of all that is likely.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import featinv as fi
from featinv.training.settings import Training


@dataclass(frozen=True)
class Config:
    """Every field is a flag."""

    out: str = "runs/gan"
    """folder for the attack and the scoreboard"""
    public: int = 4000
    """images that the attacker trains on"""
    private: int = 500
    """images whose vectors were released"""
    size: int = 32
    """side of the images in pixels"""
    width: int = 512
    """width of the decoder's trunk"""
    adversary: float = 0.005
    """weight of the adversary beside the pixel loss"""
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
    discriminator, penalty = fi.discriminators.DCGAN(config.size, norm="none"), fi.losses.R1(0.1)
    adversary = fi.Adversary(discriminator, fi.losses.non_saturating, weight=config.adversary, penalties=[penalty])
    attack = fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training, adversary=adversary)
    attack.fit(pairs, checkpoints=fi.training.Checkpoints(Path(config.out) / "checkpoints", every_seconds=120))

    if fi.processes.is_main():
        fi.save_attack(attack, Path(config.out) / "attack")
        attacks: dict[str, fi.types.Attack] = {
            "mean image": fi.attacks.MeanImage(),
            "nearest neighbour": fi.attacks.NearestNeighbour(),
        }
        for control in attacks.values():
            control.fit(pairs)
        attacks["gan"] = attack
        release = fi.release(victim, private, seed=0)
        board = fi.compare(attacks, release, judges=[fi.encoders.judge("scenes-vgg")])
        board.save(config.out)
        fi.tracking.log(board, attacks, release, mode="offline", folder=config.out, config=config)
        print(board)


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
