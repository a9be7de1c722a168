"""Matching vectors to images by name, and what to say of a name that was not found."""

import difflib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, final, runtime_checkable

import numpy as np

from featinv.errors import BadInput

SCANNED = 2000
"""names among which a similar one is looked for; the message is not worth more time"""


def examples_of_a_miss(absent: Sequence[str], others: Sequence[str]) -> str:
    """Show two names of each side, and what differs where a name of one side looks like one of the other."""
    examples = f" (the first: {', '.join(map(ascii, absent[:2]))})" if absent else ""
    held = f"; the file names {', '.join(map(ascii, others[:2]))}" if others else "; the file names no other image"
    twins = [(name, twin) for name in absent[:2] if (twin := _look_alike(name, others)) is not None]
    differences = "".join(f"; {twin!a} differs from {name!a} in {difference(name, twin)}" for name, twin in twins)
    return f"{examples}{held}{differences}"


def difference(name: str, twin: str) -> str:
    """Say in which way `twin` (in the vectors' file) differs from `name` (of an image)."""
    if name == twin:
        return "the folders before it, which are not those before the other ids"
    if _form(name) == _form(twin):
        return "its Unicode form"
    if name.casefold() == twin.casefold():
        return "case"
    if name.split() == twin.split() or _stripped(name) == _stripped(twin):
        return f"spaces ({len(twin) - len(name):+d} in the file)"
    if _stem(name) == _stem(twin):
        return f"the suffix ({_suffix(twin)!a} in the file, {_suffix(name)!a} of the image)"
    if name.rpartition("/")[2] == twin.rpartition("/")[2]:
        return f"the folders before it ({twin.rpartition('/')[0]!a} in the file)"
    for place, (ours, theirs) in enumerate(zip(name, twin, strict=False)):
        if ours != theirs:
            return f"character {place + 1} ({_character(theirs)} in the file, {_character(ours)} of the image)"
    return f"its length ({len(twin)} characters in the file, {len(name)} of the image)"


def _look_alike(name: str, others: Sequence[str]) -> str | None:
    for loose in (_loose, lambda text: _loose(_stem(text)), lambda text: _loose(text.rpartition("/")[2])):
        wanted = loose(name)
        for other in others:
            if loose(other) == wanted:
                return other
    # Of plain letters and digits, another name is another image; what looks alike is in other alphabets or invisible.
    strange = others[:SCANNED] if not name.isascii() else [other for other in others[:SCANNED] if not other.isascii()]
    return next(iter(difflib.get_close_matches(name, strange, n=1, cutoff=0.75)), None)


def _loose(text: str) -> str:
    return "".join(_form(text).casefold().split())


def _form(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _stripped(text: str) -> str:
    return "".join(text.split())


def _stem(text: str) -> str:
    folder, _, last = text.rpartition("/")
    return f"{folder}/{last.rpartition('.')[0] or last}"


def _suffix(text: str) -> str:
    last = text.rpartition("/")[2]
    return last[len(last.rpartition(".")[0]) :] if "." in last else ""


def _character(letter: str) -> str:
    return f"U+{ord(letter):04X} {unicodedata.name(letter, 'without a name')}"


Path = tuple[str, ...]
"""The parts of a normalised path."""


@runtime_checkable
class Named(Protocol):
    """Vectors of one file, and the names of their images where the file has them."""

    @property
    def source(self) -> str: ...

    @property
    def ids(self) -> list[str] | None: ...


@final
@dataclass(frozen=True)
class Match:
    """Each image's row, int64 (N,), and how the names in the file were written.

    `prefix` stood before all of them, then at least `folder_parts` parts of the folder's own path.
    """

    rows: np.ndarray
    prefix: Path
    folder_parts: int
    without_suffix: bool


def parts_of(name: str) -> Path:
    """Return the parts of a path as they are compared: Unicode NFC, `/` for a backslash, no empty parts and no `.`."""
    written = unicodedata.normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in written.split("/") if part not in ("", "."))


def match_ids(vectors: Named, image_ids: Sequence[str], folder: str = "") -> np.ndarray:
    """Return the row in `vectors` of each image, int64 (N,). Raises BadInput as `match` does."""
    return match(vectors, image_ids, folder).rows


def match(vectors: Named, image_ids: Sequence[str], folder: str = "") -> Match:
    """Find the vector of each image in `folder` by its name, the path inside the folder.

    The names in the file may have parts of the folder's own path before them (`old/cat/001.png`; more parts win), all
    of them one other prefix (`/export/old/cat/001.png`), or no suffix (`cat/001`). Letters' case is never ignored.
    Raises BadInput where the file names no images, where a name is there twice, where an image has no vector, and
    where two prefixes fit equally well.
    """
    if vectors.ids is None:
        raise BadInput(
            f"{vectors.source}: names no images, so that order would decide; save the vectors with ids, as .npz, "
            ".parquet, .pt, .safetensors or a feature store"
        )
    here = parts_of(os.path.abspath(folder)) if folder else ()
    keys = _unique(vectors.ids, vectors.source)
    images = _unique(image_ids, folder or "the images")
    if (match := _match(keys, images, here, vectors.source)) is not None:
        return Match(*match, without_suffix=False)
    stems = _stems(images)
    if stems is not None and (match := _match(keys, stems, here, vectors.source)) is not None:
        return Match(*match, without_suffix=True)
    raise BadInput(_miss(vectors.source, folder, keys, images, here))


def plain_order_differs(ids: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two names that sorting as plain text would swap for ours, or None where the orders agree.

    Our order compares paths part by part, so that `ring/1.png` comes before `ring-2/0.png`; as text it comes after.
    None as well where the names are not in our order, because they are no sorted paths then.
    """
    if list(ids) != sorted(ids, key=lambda name: PurePosixPath(name).parts):
        return None
    return next(((ours, plain) for ours, plain in zip(ids, sorted(ids), strict=True) if ours != plain), None)


def _unique(names: Iterable[str], source: str) -> dict[Path, int]:
    rows: dict[Path, int] = {}
    written: list[str] = []
    again: list[tuple[int, int]] = []
    for row, name in enumerate(names):
        written.append(name)
        key = parts_of(name)
        if not key:
            raise BadInput(f"{source}: expected the path of an image as every id, got {name!r} in row {row}")
        if (first := rows.setdefault(key, row)) != row:
            again.append((row, first))
    if again:
        row, first = again[0]
        raise BadInput(
            f"{source}: expected every id once, got {written[row]!r} in row {row} and {written[first]!r} in row {first}"
            f" ({len(again)} of {len(written)} rows repeat an id); write the whole path inside the folder, with the "
            "folder's name before it, give a file for each side, or say another column of ids with --id-column"
        )
    return rows


def _stems(images: Mapping[Path, int]) -> dict[Path, int] | None:
    """Return the images by path without suffix, or None where two differ by suffix only or none has one."""
    stems = {(*key[:-1], PurePosixPath(key[-1]).stem): row for key, row in images.items()}
    return stems if len(stems) == len(images) and set(stems) != set(images) else None


def _match(
    keys: Mapping[Path, int], images: Mapping[Path, int], here: Path, source: str
) -> tuple[np.ndarray, Path, int] | None:
    """Try what may stand before the names; None where no prefix gives every image a vector."""
    best = [prefix for prefix, count in _prefixes(keys, images, here).items() if count == len(images)]
    rows_by_prefix = {prefix: _rows(keys, images, here, prefix) for prefix in best}
    if not rows_by_prefix:
        return None
    for rows, _ in rows_by_prefix.values():
        _must_be_distinct(rows, images, source)
    agreement = max(parts for _, parts in rows_by_prefix.values())
    fitting = [prefix for prefix, (_, parts) in rows_by_prefix.items() if parts == agreement]
    if () in fitting:
        fitting = [()]
    if len(fitting) > 1 or (() in rows_by_prefix and fitting != [()]):
        both = sorted({*fitting, *([()] if () in rows_by_prefix else [])})
        names = " and ".join(repr("/".join((*prefix, *next(iter(images))))) for prefix in both[:2])
        raise BadInput(
            f"{source}: expected one vector of {'/'.join(next(iter(images)))!r}, got several candidates ({names}); "
            "write the folder's name before the ids, or give a file for each side"
        )
    rows, parts = rows_by_prefix[fitting[0]]
    return rows, fitting[0], parts


def _must_be_distinct(rows: np.ndarray, images: Mapping[Path, int], source: str) -> None:
    values, counts = np.unique(rows, return_counts=True)
    if len(values) < len(rows):
        twice = set(np.flatnonzero(rows == values[np.argmax(counts)]).tolist())
        first, second = ["/".join(image) for image, row in images.items() if row in twice][:2]
        raise BadInput(
            f"{source}: expected a vector for each image, got one of both {first!r} and {second!r}; write the folder's "
            "name before all ids or before none"
        )


def _prefixes(keys: Iterable[Path], images: Mapping[Path, int], here: Path) -> Counter[Path]:
    """Count the images that each prefix gives a vector; the parts of the folder's own path do not belong to it."""
    by_prefix: dict[Path, set[Path]] = {}
    for key in keys:
        for cut in range(len(key)):
            if key[cut:] in images:
                prefix = key[: cut - _shared_end(key[:cut], here)]
                by_prefix.setdefault(prefix, set()).add(key[cut:])
    return Counter({prefix: len(rows) for prefix, rows in by_prefix.items()})


def _shared_end(before: Path, here: Path) -> int:
    count = 0
    while count < min(len(before), len(here)) and before[-1 - count] == here[-1 - count]:
        count += 1
    return count


def _rows(keys: Mapping[Path, int], images: Mapping[Path, int], here: Path, prefix: Path) -> tuple[np.ndarray, int]:
    """Return each image's row, and how many parts of the folder's path stand before every name.

    As many parts as all images have; where only some names have the folder before them, each image the most it has.
    """
    rows = np.empty(len(images), dtype=np.int64)
    ends = [(*prefix, *here[len(here) - parts :]) for parts in range(len(here), -1, -1)]
    for place, end in enumerate(ends):
        if all((*end, *image) in keys for image in images):
            for image, row in images.items():
                rows[row] = keys[(*end, *image)]
            return rows, len(here) - place
    for image, row in images.items():
        rows[row] = next(keys[(*end, *image)] for end in ends if (*end, *image) in keys)
    return rows, 0


def _miss(source: str, folder: str, keys: Mapping[Path, int], images: Mapping[Path, int], here: Path) -> str:
    counts = _prefixes(keys, images, here)
    prefix = max(counts, key=lambda before: (counts[before], before == ()), default=())
    belongs = {
        image
        for image in images
        if any((*prefix, *here[len(here) - parts :], *image) in keys for parts in range(len(here) + 1))
    }
    absent = ["/".join(image) for image in images if image not in belongs]
    others = ["/".join(key) for key in keys if not any(key[cut:] in belongs for cut in range(len(key)))]
    side = f" in {folder}" if folder else ""
    return (
        f"{source}: has no vector of {len(absent)} of {len(images)} images{side}"
        f"{examples_of_a_miss(absent, others)}; its ids are to be paths inside the folder, with or without the "
        "folder's name before them (--id-column names another column of ids; none: "
        "the rows are in the order of the images)"
    )
