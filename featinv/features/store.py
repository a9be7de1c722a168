"""A feature store: filled by several processes, resumable after a kill at any moment, complete or not there."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.layout import Layout, Shard, write_shard
from featinv.features.manifest import MANIFEST, UNFINISHED, describe_images, layout_of, must_be_of, read_manifest
from featinv.features.pairs import Pairs
from featinv.features.rows import ShardRows
from featinv.files import atomic_file, write_json
from featinv.processes import gather, is_main, progress_bar, rank, world_size
from featinv.types import Publisher

IDS = "ids.json"


def fill(folder: Path, manifest: Mapping[str, Any], victim: Publisher, images: ImageSet, batch_size: int) -> None:
    """Write every shard that is missing or damaged, then the manifest; blocks are dealt round the processes.

    Raises BadInput, in every process, when the folder holds something else (nothing is changed then), when features are
    not finite, or when the disk is full (shards already written stay).
    """
    layout = layout_of(manifest)
    _together(lambda: _must_be_free(folder, manifest))
    _together(lambda: _claim(folder, manifest))
    _together(lambda: _write_share(folder, layout, manifest["seed"], victim, images, batch_size))
    _together(lambda: must_be_complete(folder, layout))
    _together(lambda: _finish(folder, images))


def _together(step: Callable[[], None]) -> None:
    """Take a step in every process and wait for all; bad input that one of them met is raised in each."""
    met: BadInput | None = None
    try:
        step()
    except BadInput as error:
        met = error
    for line in gather(None if met is None else str(met)):
        if line is not None:
            raise BadInput(line) from met


def must_be_complete(folder: Path, layout: Layout) -> None:
    """Raise BadInput that names the first shard that is missing or damaged."""
    for shard in layout.shards():
        if not layout.intact(folder, shard):
            raise BadInput(
                f"{folder / shard.name}: expected features of images {shard.start} to {shard.stop - 1}, "
                "found a missing or damaged file; run the same extraction again, it writes only what is missing"
            )


def _must_be_free(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Only reads: all processes come to the same conclusion before any of them writes."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder for the feature store, got a file")
    for name in (MANIFEST, UNFINISHED):
        if (folder / name).exists():
            must_be_of(folder, read_manifest(folder / name), manifest)
            return
    others = sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))
    if others:
        raise BadInput(
            f"{folder}: expected an empty folder or a feature store, found {len(others)} other files ({others[0]}, ...)"
        )


def _claim(folder: Path, manifest: Mapping[str, Any]) -> None:
    if is_main() and not (folder / MANIFEST).exists():
        write_json(folder / UNFINISHED, manifest)


def _finish(folder: Path, images: ImageSet) -> None:
    if is_main() and not (folder / MANIFEST).exists():
        _write_ids(folder / IDS, images)
        os.replace(folder / UNFINISHED, folder / MANIFEST)
        for left_by_a_kill in folder.glob(".*.tmp"):
            left_by_a_kill.unlink()


def _write_share(folder: Path, layout: Layout, seed: int, victim: Publisher, images: ImageSet, batch_size: int) -> None:
    shards = list(layout.shards(rank(), world_size()))
    missing = [shard for shard in shards if not layout.intact(folder, shard)]
    total, left = _images(shards), _images(missing)
    processes = f" (process 1 of {world_size()})" if world_size() > 1 else ""
    with progress_bar(total, f"features of {victim.name}{processes}", initial=total - left) as bar:
        for shard in missing:
            features = victim.publish(
                images,
                range(shard.start, shard.stop),
                seed=seed,
                block_number=shard.block,
                view=shard.view,
                flip=shard.view == 1,
                batch_size=batch_size,
                progress=bar.update,
            )
            write_shard(folder / shard.name, features)


def _images(shards: list[Shard]) -> int:
    return sum(shard.stop - shard.start for shard in shards)


def _write_ids(path: Path, images: ImageSet) -> None:
    with atomic_file(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for start in range(0, len(images), 1000):
            lines = ",\n".join(json.dumps(name) for name in images.ids[start : start + 1000])
            file.write(("[\n" if start == 0 else ",\n") + lines)
        file.write("\n]\n")


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
