"""Turn images into released vectors: a feature store that every attack can train on.

    accelerate launch recipes/extract.py --data photos --size 256 --encoder torchvision --encoder.args.name resnet50 \
        --encoder.weights IMAGENET1K_V1 --out stores/photos

Any number of processes writes the same files; called again after a kill it goes on where it was.
"""

from dataclasses import dataclass

import featinv as fi
from featinv.assembly import VictimSettings
from featinv.configuration import Component


@dataclass(frozen=True)
class Config:
    """What to encode, with what, and where to."""

    out: str = "runs/features"
    """folder for the store: shards of vectors and manifest.json"""
    data: str = "scenes"
    """"scenes", a folder of images, or an .npz/.npy file"""
    size: int = 32
    """side of the images in pixels"""
    count: int = 1000
    """how many images to make up, for "scenes" only"""
    weights: str | None = None
    """folder of weights, `{weights}` in the encoder's arguments"""
    encoder: Component = Component("tiny")
    """an export of featinv.encoders, or the import path of a function of yours"""
    defence: Component = Component("Identity")
    """an export of featinv.defences, or the import path of a class of yours"""
    flips: bool = False
    """store the features of the mirrored images as well"""
    batch_size: int = 256
    """images a batch"""
    block: int = 4096
    """images a shard: what an interruption loses at most; a defence sees a whole block"""
    seed: int = 0
    """draws the defence's noise"""


def main(config: Config) -> None:
    fi.assembly.check_names(config)
    fi.processes.share_threads()
    settings = VictimSettings(config.encoder, config.defence)
    victim = fi.assembly.build_victim(settings, {"weights": config.weights}).to(fi.processes.device())
    if config.data == "scenes":
        images = fi.data.scenes(config.count, size=config.size, seed=config.seed)
    else:
        images = fi.data.open_images(config.data, size=config.size, encoder=victim.encoder)
    pairs = fi.extract(
        victim,
        images,
        to=config.out,
        flips=config.flips,
        seed=config.seed,
        batch_size=config.batch_size,
        block=config.block,
    )
    if fi.processes.is_main():
        print(f"{config.out}: {len(pairs)} vectors of shape {pairs.feature_shape} by {victim.name}")


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
