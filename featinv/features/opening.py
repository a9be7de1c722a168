"""Opening a finished store."""

from pathlib import Path

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.filling import must_be_complete
from featinv.features.manifest import MANIFEST, UNFINISHED, describe_images, layout_of, must_be_of, read_manifest
from featinv.features.pairs import Pairs
from featinv.features.shard_rows import ShardRows


def open_store(folder: Path | str, images: ImageSet) -> Pairs:
    """Open the features that `extract(..., to=folder)` made of `images`; they are memory-mapped, not loaded.

    Raises BadInput when there is no finished store, a shard is missing or damaged, or the images are others than
    those that were extracted (other pixels, ids, order, count or size).
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file() and (folder / UNFINISHED).is_file():
        raise BadInput(f"{folder}: expected a finished store, got an interrupted one; run the same extraction again")
    manifest = read_manifest(folder / MANIFEST)
    must_be_of(folder, manifest, describe_images(images))
    layout = layout_of(manifest)
    must_be_complete(folder, layout)
    return Pairs(ShardRows(folder, layout), images, metadata=manifest["victim"])
