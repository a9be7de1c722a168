"""Images from zip and tar archives, webdataset's shards among them, read in a stream without unpacking."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import final

from featinv.data.archive_members import MEMBER_LIMIT, SUFFIXES, TOO_LARGE, Member, members, refused, suffix
from featinv.data.encoder_pixels import pixels_to_keep
from featinv.data.image_decode import Fit
from featinv.data.image_formats import HEAD, classify, is_image_name
from featinv.data.image_listing import HIDDEN, RESOURCE_FORKS, is_resource_fork, left_out
from featinv.data.image_stream import (
    LIMIT_PIXELS,
    ON_DISK_ABOVE,
    Encoded,
    Reading,
    Smaller,
    Source,
    check_settings,
    read_source,
)
from featinv.data.imageset import ImageSet
from featinv.data.intake import Intake
from featinv.data.tables import shards_in_order
from featinv.errors import BadInput
from featinv.types import Encoder

_LABEL_BYTES = 20


@final
@dataclass
class _Listing:
    """What was met: the images by archive, in their order, the labels of samples, and what is not read."""

    images: list[tuple[int, str]] = field(default_factory=list)
    labels: dict[tuple[int, str], str] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    beside: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    ignored: int = 0


def is_archive(path: Path) -> bool:
    """Say whether the path is that of an archive, or of a folder that holds archives of one kind and nothing else."""
    return path.is_file() and suffix(path) != "" if not path.is_dir() else bool(archive_shards(path))


def archive_shards(folder: Path) -> tuple[Path, ...]:
    """Return the archives of a folder that holds nothing else to read (webdataset's shards), else nothing."""
    files = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith((".", "_"))]
    kept = [file for file in files if suffix(file) or file.suffix not in (".json", ".txt", ".parquet", ".csv")]
    alike = len({suffix(file) for file in kept}) == 1
    return tuple(kept) if alike and all(suffix(file) and file.is_file() for file in kept) else ()


def archive(
    path: Path | str,
    *,
    size: int,
    cache: Path | str | None = None,
    smaller: Smaller = "refuse",
    fit: Fit = "crop",
    limit_pixels: int = LIMIT_PIXELS,
    on_disk_above: int = ON_DISK_ABOVE,
    encoder: Encoder | None = None,
) -> ImageSet:
    """Read every image of a zip or tar archive, or of a folder of webdataset's shards, in the order of the archive.

    The id of an image is its path in the archive, without the folders that all images share; where shards repeat a
    path, the name of the shard stands before all of them. Classes are the folders, as in `folder`, or the whole numbers
    in webdataset's `.cls` files. What is an image, what is skipped and the settings are as in `folder`; nothing is
    unpacked. Raises BadInput as `folder` does, and for an archive that is truncated or damaged, one that holds a path
    twice, and shards that are missing.
    """
    check_settings(size, limit_pixels, fit, smaller)
    root = Path(path)
    if not root.exists():
        raise BadInput(f"{root}: expected an archive of images, found none; check the path")
    files = shards_in_order(root, archive_shards(root)) if root.is_dir() else (root,)
    if not files or not all(map(suffix, files)):
        raise BadInput(f"{root}: expected an archive ({', '.join(SUFFIXES)}) or a folder of such shards, got another")
    reading = Reading(_source(root, files), size, fit, smaller, limit_pixels, pixels_to_keep(encoder, size))
    return read_source(reading, None if cache is None else Path(cache), on_disk_above)


def _source(root: Path, files: Sequence[Path]) -> Source:
    listing = _Listing()
    for number, file in enumerate(files):
        with refused(file), contextlib.closing(members(file)) as entries:
            for member in entries:
                _sort(number, member, listing)
    if not listing.images:
        raise BadInput(
            f"{root}: expected images (.png, .jpg, .webp, ...), got none ({listing.ignored + len(listing.beside)} "
            f"other files, {len(listing.skipped)} images that are not read); give another archive"
        )
    ids = _ids(root, files, listing.images)
    classes, labels = _classes(ids, listing)

    def stream() -> Iterator[Encoded]:
        for number, file in enumerate(files):
            with refused(file), contextlib.closing(members(file)) as entries:
                for member in entries:
                    if (name := ids.get((number, member.name))) is not None:
                        yield _encoded(name, member)

    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    skipped, beside = tuple(listing.skipped), tuple(listing.beside)
    intake = Intake(0, skipped, beside, tuple(sorted(listing.left_out.items())), listing.ignored)
    return Source(root, "archive", len(ids), stream, stamps, classes, labels, intake, {"archives": len(files)})


def _sort(number: int, member: Member, listing: _Listing) -> None:
    """Put a member where it belongs, by the rules of a folder."""
    path = PurePosixPath(member.name)
    folder = next((name for part in path.parts[:-1] if (name := left_out(part)) is not None), None)
    named = is_image_name(path.name)
    if folder is not None:
        listing.left_out[folder] += named
        return
    if member.refused:
        (listing.skipped if named else listing.beside).append((member.name, member.refused))
        return
    key = (number, _sample(path))
    head = member.read(HEAD)
    if isinstance(head, str):
        (listing.skipped if named else listing.beside).append((member.name, head))
        return
    if path.suffix == ".cls" and member.size <= _LABEL_BYTES:
        listing.labels[key] = head.decode("utf-8", "replace").strip()
        return
    if is_resource_fork(path.name, head):
        listing.left_out[RESOURCE_FORKS] += 1
        return
    sort = classify(Path(path.name), head)
    hidden = any(part.startswith(".") for part in path.parts)
    if sort.what in ("image", "unread") and hidden:
        listing.skipped.append((member.name, HIDDEN))
    elif sort.what == "image":
        listing.images.append((number, member.name))
    elif sort.what == "unread":
        listing.skipped.append((member.name, sort.reason))
    elif sort.what == "beside" and not hidden:
        listing.beside.append((member.name, sort.reason))
    else:
        listing.ignored += 1


def _sample(path: PurePosixPath) -> str:
    """Return webdataset's key: the path up to the first dot of its last part."""
    return str(path.with_name(path.name.partition(".")[0] or path.name))


def _ids(root: Path, files: Sequence[Path], images: Sequence[tuple[int, str]]) -> dict[tuple[int, str], str]:
    if again := [place for place, count in Counter(images).items() if count > 1]:
        raise BadInput(
            f"{files[again[0][0]]}: expected every path once, got {again[0][1]!r} twice ({len(again)} such); write the "
            "archive again"
        )
    paths = [PurePosixPath(name).parts for _, name in images]
    folders = [path[:-1] for path in paths]
    shared = 0
    while shared < min(map(len, folders)) and len({path[shared] for path in folders}) == 1:
        shared += 1
    ids = {place: "/".join(path[shared:]) for place, path in zip(images, paths, strict=True)}
    if len(set(ids.values())) == len(ids):
        return ids
    return {(number, name): f"{files[number].name.partition('.')[0]}/{ids[number, name]}" for number, name in images}


def _classes(ids: dict[tuple[int, str], str], listing: _Listing) -> tuple[tuple[str, ...], dict[str, int]]:
    samples = {place: (place[0], _sample(PurePosixPath(place[1]))) for place in ids}
    texts = [listing.labels.get(sample, "") for sample in samples.values()]
    if all(re.fullmatch(r"\d{1,9}", text) for text in texts):
        return (), {name: int(text) for name, text in zip(ids.values(), texts, strict=True)}
    listing.ignored += len(listing.labels)
    tops = [PurePosixPath(name).parts for name in ids.values()]
    if any(len(parts) == 1 for parts in tops):
        return (), {}
    classes = tuple(sorted({parts[0] for parts in tops}))
    number = {name: place for place, name in enumerate(classes)}
    return classes, {name: number[name.split("/", 1)[0]] for name in ids.values()}


def _encoded(name: str, member: Member) -> Encoded:
    content = member.read(MEMBER_LIMIT + 1)
    if isinstance(content, str):
        return Encoded(name, reason=content)
    return Encoded(name, content) if len(content) <= MEMBER_LIMIT else Encoded(name, reason=TOO_LARGE)
