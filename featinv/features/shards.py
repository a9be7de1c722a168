"""Vectors in several files: shards of one format, and the folders that clip-retrieval writes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from featinv.data.tables import open_table, shards_in_order
from featinv.errors import BadInput
from featinv.features.array_files import read_npy
from featinv.features.choosing import Content, as_names, choose_ids
from featinv.features.table_files import entries_of, names_of
from featinv.files import within

IMAGES, METADATA = "img_emb", "metadata"


def read_shards(folder: Path, files: Sequence[Path], read: Callable[[Path], Content], limit: int) -> Content:
    """Read files of one format in the order of their numbers as one array; all of them name their images, or none."""
    ordered = shards_in_order(folder, files)
    parts = [read(file) for file in ordered]
    named = [part.ids is not None for part in parts]
    if len(set(named)) > 1:
        raise BadInput(
            f"{folder}: expected ids in every file or in none, got none in {ordered[named.index(False)].name!r}"
        )
    features = _joined(folder, ordered, [part.features for part in parts], limit)
    ids = [name for part in parts for name in part.ids or ()] if named[0] else None
    return Content(features, ids, (f"{len(ordered)} files in the order of their numbers", *parts[0].notes))


def is_clip_retrieval(folder: Path) -> bool:
    """Say whether clip-retrieval wrote this folder: its vectors with their metadata, in folders of their own or not."""
    if (folder / IMAGES).is_dir():
        return True
    beside = folder.name == IMAGES and (folder.parent / METADATA).is_dir()
    return any(folder.glob(f"{IMAGES}_*.npy")) and (beside or any(folder.glob(f"{METADATA}_*.parquet")))


def read_clip_retrieval(folder: Path, limit: int, id_column: str | None = None) -> Content:
    """Read `img_emb/img_emb_0.npy`, ... with the names in `metadata/metadata_0.parquet`, ..., number by number.

    The names are the column `image_path`, else by rule; without metadata there are none. Raises BadInput where a part
    is missing or has another number of rows than its metadata.
    """
    if folder.name == IMAGES and (folder.parent / METADATA).is_dir():
        raise BadInput(f"{folder}: the names lie beside this folder; give {folder.parent}, which holds both")
    vectors = _parts(folder, IMAGES, ".npy")
    if not vectors:
        raise BadInput(f"{folder}: expected {IMAGES}_0.npy, {IMAGES}_1.npy, ..., found none")
    metadata = _parts(folder, METADATA, ".parquet")
    parts = [read_npy(file) for file in vectors]
    words = f"{len(parts)} parts of clip-retrieval"
    ids = None
    if metadata:
        by_number = {file.stem.removeprefix(METADATA): file for file in metadata}
        if absent := [file.name for file in vectors if file.stem.removeprefix(IMAGES) not in by_number]:
            raise BadInput(f"{folder}: expected the metadata of every part, got none of {absent[0]!r}; fetch it")
        beside = [by_number[file.stem.removeprefix(IMAGES)] for file in vectors]
        ids, named = _names(folder, vectors, beside, [len(part) for part in parts], id_column)
        words += "; no ids" if named is None else f"; ids from {named!r}"
    else:
        words += f"; no {METADATA}_*.parquet, so no ids"
    return Content(_joined(folder, vectors, parts, limit), ids, (words,))


def _parts(folder: Path, name: str, suffix: str) -> tuple[Path, ...]:
    place = folder / name if (folder / name).is_dir() else folder
    files = sorted(place.glob(f"{name}_*{suffix}"))
    return shards_in_order(place, files) if files else ()


def _names(
    folder: Path, vectors: Sequence[Path], metadata: Sequence[Path], counts: Sequence[int], id_column: str | None
) -> tuple[list[str] | None, str | None]:
    chosen = choose_ids(metadata[0], entries_of(open_table(metadata[0])), [], id_column)
    if chosen is None:
        return None, None
    ids: list[str] = []
    for file, beside, count in zip(vectors, metadata, counts, strict=True):
        table = open_table(beside)
        if chosen.name not in table.schema.names:
            raise BadInput(f"{beside}: expected a column {chosen.name!r} as in {metadata[0].name}, got none")
        names = [value for batch in table.batches([chosen.name]) for value in names_of(beside, batch, chosen.name)]
        if len(names) != count:
            raise BadInput(f"{beside}: expected a row for each of {count} vectors in {file.name}, got {len(names)}")
        ids += as_names(beside, chosen.name, names)
    return ids, chosen.name


def _joined(folder: Path, files: Sequence[Path], parts: Sequence[np.ndarray], limit: int) -> np.ndarray:
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if part.ndim != first.ndim or part.ndim < 2 or part.shape[1:] != first.shape[1:] or part.dtype.kind != "f":
            raise BadInput(
                f"{file}: expected floating-point vectors of shape (N, {', '.join(map(str, first.shape[1:]))}) as in "
                f"{files[0].name}, got {part.dtype} of shape {part.shape}; give parts of one array"
            )
    within(folder, sum(4 * part.size for part in parts), limit)
    if len(parts) == 1:
        return first
    # Written into one array of float32: half precision in shards is never held twice at full width.
    whole = np.empty((sum(map(len, parts)), *first.shape[1:]), dtype=np.float32)
    start = 0
    with np.errstate(over="ignore"):
        for part in parts:
            whole[start : start + len(part)] = part
            start += len(part)
    return whole
