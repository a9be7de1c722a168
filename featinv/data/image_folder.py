"""Images from a folder: decoded once, squared, kept as uint8 in memory, in a cache or in a temporary file."""

import logging
import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import PIL
from PIL import Image

from featinv import processes
from featinv.data.image_decode import LEAST_SIDE, Fit, TooSmall, Unusable, decode_image
from featinv.data.image_formats import formats_of
from featinv.data.image_listing import Listing, list_images
from featinv.data.imageset import ImageSet
from featinv.data.intake import Intake, intake_sentences
from featinv.data.pixel_sink import Memory, RawFile, Sink, TemporaryFile, map_pixels
from featinv.errors import BadInput
from featinv.files import publish_folder, read_json, write_json

_log = logging.getLogger(__name__)

LIMIT_PIXELS = 64 * 10**6
ON_DISK_ABOVE = 2**30
_PIXELS, _MANIFEST = "pixels.u8", "images.json"
_MANIFEST_LIMIT = 2**30


@final
@dataclass(frozen=True)
class _Reading:
    """How a folder is read; `decoded` and `skipped` fill while it is."""

    root: Path
    listing: Listing
    size: int
    fit: Fit
    smaller: Literal["refuse", "skip", "upscale"]
    limit_pixels: int
    decoded: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def folder(
    path: Path | str,
    *,
    size: int,
    cache: Path | str | None = None,
    smaller: Literal["refuse", "skip", "upscale"] = "refuse",
    fit: Fit = "crop",
    limit_pixels: int = LIMIT_PIXELS,
    on_disk_above: int = ON_DISK_ABOVE,
) -> ImageSet:
    """Read every image under `path`, `size` pixels a side: a flat folder without labels, or one folder a class.

    Files are read in the order of their paths, and their relative paths are the ids; where images lie beside folders,
    all are taken without labels. Everything is read that Pillow reads, by content where the suffix is unknown
    (`image_formats.EXCLUDED` says what is not). Images are turned upright (EXIF), laid on white where transparent,
    cropped to the central square (`fit="stretch"` squeezes instead) and resized. Image files that cannot be used
    (broken, over `limit_pixels`, under 8 px a side, hidden, of a format that Pillow does not read) are skipped and
    listed with the reason in `.skipped`; folders of thumbnails and caches are left out. `.intake` counts all of it.
    An image smaller than `size` is refused, skipped or upscaled, as `smaller` says.

    The pixels are decoded once: into a mapped file under `cache` when given (found again while no file changed), else
    into memory, else, above `on_disk_above` bytes, into a temporary mapped file. Raises BadInput for a folder without a
    usable image, an image smaller than `size` under "refuse", and a disk that is full.
    """
    _check_settings(size, limit_pixels, fit, smaller)
    root = Path(path)
    reading = _Reading(root, list_images(root), size, fit, smaller, limit_pixels)
    if not reading.listing.paths:
        instead = _instead(reading.listing)
        raise BadInput(f"{root}: expected images (.png, .jpg, .webp, ...), got none ({instead}); give another folder")
    if cache is None:
        total = len(reading.listing.paths) * size * size * 3
        sink: Sink = TemporaryFile(size) if total > on_disk_above else Memory(len(reading.listing.paths), size)
        _decode_all(reading, sink)
        pixels = sink.pixels()
    else:
        with processes.main_first():
            pixels = _through_cache(reading, Path(cache))
    images = _as_imageset(reading, pixels)
    _say(images, root)
    return images


def _instead(listing: Listing) -> str:
    """Say what a folder without an image to read holds."""
    others = f"{listing.ignored + len(listing.beside)} other files, {len(listing.skipped)} images that are not read"
    if left_out := sum(count for _, count in listing.left_out):
        others += f", {left_out} in folders of thumbnails and caches"
    return f"{others}, e.g. {': '.join(listing.skipped[0])}" if listing.skipped else others


def _check_settings(size: int, limit_pixels: int, fit: str, smaller: str) -> None:
    if size < LEAST_SIDE:
        raise BadInput(f"size: expected at least {LEAST_SIDE} px, got {size}; e.g. 64")
    if fit not in ("crop", "stretch"):
        raise BadInput(f'fit: expected "crop" or "stretch", got {fit!r}; choose one')
    if smaller not in ("refuse", "skip", "upscale"):
        raise BadInput(f'smaller: expected "refuse", "skip" or "upscale", got {smaller!r}; choose one')
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and limit_pixels > most:
        raise BadInput(
            f"limit_pixels: expected at most Pillow's own limit of {most}, got {limit_pixels}; "
            "if you trust the images, raise PIL.Image.MAX_IMAGE_PIXELS first"
        )


def _through_cache(reading: _Reading, cache: Path) -> np.ndarray:
    """Map the pixels of this listing from the cache; decode them into it first if they are not there."""
    settings: tuple[str | int, ...] = (
        reading.size,
        reading.fit,
        reading.smaller,
        reading.limit_pixels,
        f"Pillow {PIL.__version__}",
        2,
    )
    # With the formats: a plugin that was registered since may read what was skipped.
    place = cache / f"images-{reading.listing.sha256(*settings, *formats_of(''))[:32]}"
    if not _is_cached(place, reading):
        with publish_folder(place) as temporary:
            with open(temporary / _PIXELS, "wb") as file:
                sink = RawFile(file, reading.size)
                _decode_all(reading, sink)
            write_json(temporary / _MANIFEST, {"ids": reading.decoded, "skipped": reading.skipped})
    return map_pixels(place / _PIXELS, len(reading.decoded), reading.size)


def _is_cached(place: Path, reading: _Reading) -> bool:
    """Take over the names of a complete cache of this reading; False where there is none or it was cut short."""
    if not (place / _MANIFEST).is_file() or not (place / _PIXELS).is_file():
        return False
    manifest = read_json(place / _MANIFEST, limit=_MANIFEST_LIMIT)
    if (place / _PIXELS).stat().st_size != len(manifest["ids"]) * reading.size**2 * 3:
        return False
    reading.decoded.extend(manifest["ids"])
    reading.skipped.extend((path, reason) for path, reason in manifest["skipped"])
    return True


def _decode_all(reading: _Reading, sink: Sink) -> None:
    """Decode every listed file, in order, in threads (Pillow decodes outside the interpreter's lock)."""
    with warnings.catch_warnings():
        # Pillow grumbles about odd metadata; only its alarm about decompression bombs is a reason to skip a file.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with processes.progress_bar(len(reading.listing.paths), "decode images") as bar:
            for path, result in _results(reading):
                if isinstance(result, np.ndarray):
                    sink.add(result)
                    reading.decoded.append(path)
                else:
                    reading.skipped.append((path, result))
                bar.update()
    if not reading.decoded:
        path, reason = reading.skipped[0]
        raise BadInput(
            f"{reading.root}: expected at least one usable image, got none of {len(reading.skipped)} files "
            f"(the first, {path}: {reason}); give another folder"
        )


def _results(reading: _Reading) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield each path with its image or the reason why it is skipped, in order, a few ahead of the reader."""
    waiting: deque[tuple[str, Future[np.ndarray | str]]] = deque()
    workers = _cores()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="featinv-decode")
    try:
        for path in reading.listing.paths:
            waiting.append((path, pool.submit(_image_or_reason, reading, path)))
            if len(waiting) > 4 * workers:
                name, future = waiting.popleft()
                yield name, future.result()
        for name, future in waiting:
            yield name, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _image_or_reason(reading: _Reading, path: str) -> np.ndarray | str:
    try:
        return decode_image(
            reading.root / path,
            size=reading.size,
            fit=reading.fit,
            upscale=reading.smaller == "upscale",
            limit_pixels=reading.limit_pixels,
        )
    except Unusable as error:
        return str(error)
    except TooSmall as error:
        if reading.smaller == "skip":
            return f"too small: {error}, less than the {reading.size} px asked for"
        raise BadInput(
            f"{reading.root / path}: expected at least {reading.size} px a side, got {error}; use a smaller size, "
            'or smaller="skip" to leave such images out, or smaller="upscale" to enlarge them'
        ) from error


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _say(images: ImageSet, root: Path) -> None:
    if processes.is_main():
        for sentence in intake_sentences(images, str(root)):
            _log.warning("%s (all are listed in .intake)", sentence)


def _as_imageset(reading: _Reading, pixels: np.ndarray) -> ImageSet:
    listing = reading.listing
    classes = listing.classes
    number = {name: place for place, name in enumerate(classes)}
    labels = np.array([number[path.split("/", 1)[0]] for path in reading.decoded]) if classes else None
    skipped = (*listing.skipped, *reading.skipped)
    intake = Intake(len(reading.decoded), skipped, listing.beside, listing.left_out, listing.ignored, listing.unlisted)
    provenance: dict[str, Any] = {"source": "folder", "path": str(reading.root), "size": reading.size}
    provenance |= {"fit": reading.fit, "smaller": reading.smaller, "listing_sha256": listing.sha256()}
    provenance |= {"files": len(listing.paths), "skipped": len(skipped), "ignored": listing.ignored}
    return ImageSet(pixels, ids=reading.decoded, labels=labels, classes=classes, provenance=provenance, intake=intake)
