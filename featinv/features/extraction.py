"""victim x images -> pairs: in memory, in a store on disk, or anew for every batch."""

from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from featinv.data import ImageSet
from featinv.data.encoder_pixels import what_it_saw
from featinv.encoders import check_function
from featinv.errors import BadInput
from featinv.features.manifest import MANIFEST, layout_of, make_manifest
from featinv.features.pairs import Pairs
from featinv.features.rows import ArrayRows, ShardRows
from featinv.features.store import fill
from featinv.plain_numbers import check_seed
from featinv.processes import progress_bar
from featinv.types import RELEASE_VIEW, Publisher

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
    folder holds something else, the disk is full, `seed` is no seed, features are not finite (naming the first image),
    and for an encoder that is no function of the image (`featinv.encoders.check_function`).
    """
    seed = check_seed("extract: seed", seed)
    if block < 1:
        raise BadInput(f"block: expected at least 1 image, got {block}; 4096 is the default")
    if to is None or not (Path(to) / MANIFEST).exists():  # a finished store is opened without encoding
        _check_encoder(victim, images)
    views, metadata = 2 if flips else 1, _metadata(victim, images)
    if to is None:
        return Pairs(_in_memory(victim, images, views, seed, batch_size, block), images, metadata=metadata)
    manifest = make_manifest(metadata, images, views=views, block=block, seed=seed)
    fill(Path(to), manifest, victim, images, batch_size)
    return Pairs(ShardRows(Path(to), layout_of(manifest)), images, metadata=manifest["victim"])


def release_vectors(
    victim: Publisher,
    private: ImageSet,
    *,
    to: Path | str,
    seed: int = 0,
    batch_size: int = 256,
    block: int = 4096,
) -> np.ndarray:
    """Return the vectors of a release of the `private` images, (N, *F), from a store that a second call finishes.

    The store is as that of `extract`, without mirrored images and with the draws of a release: the vectors are those
    of `featinv.release` where its blocks are as large, or where there is no defence. Raises BadInput as `extract` does.
    """
    seed = check_seed("release_vectors: seed", seed)
    if block < 1:
        raise BadInput(f"block: expected at least 1 image, got {block}; 4096 is the default")
    metadata = _metadata(victim, private)
    manifest = make_manifest(metadata, private, views=1, block=block, seed=seed, first_view=RELEASE_VIEW)
    fill(Path(to), manifest, victim, private, batch_size)
    return ShardRows(Path(to), layout_of(manifest)).gather(np.arange(len(private)), None)


def _check_encoder(victim: Publisher, images: ImageSet) -> None:
    """Refuse an encoder that is no function of the image before an hour of encoding, where the victim has one."""
    encoder = getattr(victim, "encoder", None)
    if encoder is not None:
        check_function(encoder, images.batch(np.arange(min(IMAGES_TO_CHECK, len(images)))).to(victim.device))


def _in_memory(victim: Publisher, images: ImageSet, views: int, seed: int, batch_size: int, block: int) -> ArrayRows:
    with progress_bar(len(images) * views, f"features of {victim.name}") as bar:
        features = [
            victim.publish_all(
                images,
                seed=seed,
                block=block,
                view=view,
                flip=view == 1,
                batch_size=batch_size,
                progress=bar.update,
            )
            for view in range(views)
        ]
    return ArrayRows(*features)


BATCH = 256
"""Images encoded at once, however many are asked for."""


@final
class LiveRows:
    """Rows that the victim makes on demand, on its own device; a defence that draws does so afresh every time."""

    views = 2

    def __init__(self, victim: Publisher, images: ImageSet) -> None:
        self.victim = victim
        self.images = images
        self.count = len(images)
        self.feature_shape = victim.feature_shape

    @torch.no_grad()
    def gather(self, indices: np.ndarray, flip: np.ndarray | None) -> np.ndarray:
        """Encode the images at `indices`, mirrored where `flip` says so, and defend them."""
        features = np.empty((len(indices), *self.feature_shape), dtype=np.float32)
        for start in range(0, len(indices), BATCH):
            part = slice(start, start + BATCH)
            mirrored = None if flip is None else torch.from_numpy(flip[part])
            features[part] = self.victim.of_images(self.images, indices[part], flip=mirrored).cpu().numpy()
        return features


def live(victim: Publisher, images: ImageSet) -> Pairs:
    """Return pairs whose features the victim makes anew for every batch: the attacker's augmentation reaches the pair.

    Noise of the defence comes from torch's global generator and differs at every visit. Nothing is checked for
    finiteness on the way; training stops on a loss that is not finite.
    """
    return Pairs(LiveRows(victim, images), images, metadata=_metadata(victim, images))


def _metadata(victim: Publisher, images: ImageSet) -> dict[str, Any]:
    return {**victim.metadata, **what_it_saw(images, getattr(victim, "encoder", None))}
