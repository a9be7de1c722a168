"""victim x images -> pairs, in memory or in a store on disk."""

from pathlib import Path

import numpy as np

from featinv.data import ImageSet
from featinv.encoders import check_function
from featinv.errors import BadInput
from featinv.features.filling import fill
from featinv.features.manifest import MANIFEST, layout_of, make_manifest
from featinv.features.pairs import Pairs
from featinv.features.rows import ArrayRows, Publisher
from featinv.features.shard_rows import ShardRows
from featinv.processes import progress_bar

IMAGES_TO_CHECK = 3


def extract(
    victim: Publisher,
    images: ImageSet,
    *,
    to: Path | str | None = None,
    flips: bool = False,
    seed: int = 0,
    batch_size: int = 256,
    block: int = 4096,
) -> Pairs:
    """Encode and defend every image; `flips` does so for the mirrored images too.

    With `to`, into a store: shards of `block` images that are memory-mapped, not loaded. A second call finishes what
    a killed one left, or opens what is finished; the processes of `accelerate launch` share the blocks and write the
    same files as one would. Without `to`, in memory, whole in every process, with the same numbers bit by bit.

    Each block is defended at once, its draws seeded by (seed, view, number of the block). Raises BadInput when the
    folder holds something else, the disk is full, features are not finite (naming the first image), and an encoder
    that is no function of the image (`featinv.encoders.check_function`).
    """
    if block < 1:
        raise BadInput(f"block: expected at least 1 image, got {block}; 4096 is the default")
    if to is None or not (Path(to) / MANIFEST).exists():  # a finished store is opened without encoding
        _check_encoder(victim, images)
    views = 2 if flips else 1
    if to is None:
        return Pairs(_in_memory(victim, images, views, seed, batch_size, block), images, metadata=victim.metadata)
    manifest = make_manifest(victim.metadata, images, views=views, block=block, seed=seed)
    fill(Path(to), manifest, victim, images, batch_size)
    return Pairs(ShardRows(Path(to), layout_of(manifest)), images, metadata=manifest["victim"])


def _check_encoder(victim: Publisher, images: ImageSet) -> None:
    """Refuse an encoder that is no function of the image before an hour of encoding, where the victim has one."""
    encoder = getattr(victim, "encoder", None)
    if encoder is not None:
        check_function(encoder, images.batch(np.arange(min(IMAGES_TO_CHECK, len(images)))).to(victim.device))


def _in_memory(victim: Publisher, images: ImageSet, views: int, seed: int, batch_size: int, block: int) -> ArrayRows:
    made = [np.empty((len(images), *victim.feature_shape), dtype=np.float32) for _ in range(views)]
    with progress_bar(len(images) * views, f"features of {victim.name}") as bar:
        for view, features in enumerate(made):
            for number, start in enumerate(range(0, len(images), block)):
                stop = min(start + block, len(images))
                features[start:stop] = victim.publish(
                    images,
                    range(start, stop),
                    seed=seed,
                    block_number=number,
                    view=view,
                    flip=view == 1,
                    batch_size=batch_size,
                    progress=bar.update,
                )
    return ArrayRows(*made)
