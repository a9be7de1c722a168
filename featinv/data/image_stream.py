"""Encoded images, one after the other, decoded once into an ImageSet: in memory, in a cache or in a temporary file."""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import PIL
from PIL import Image

from featinv import processes
from featinv.data.encoder_pixels import EncoderPixels
from featinv.data.image_decode import LEAST_SIDE, Decoded, Fit, TooSmall, Unusable, decode_image
from featinv.data.image_formats import formats_of
from featinv.data.imageset import ImageSet
from featinv.data.intake import Intake, intake_sentences
from featinv.data.pixel_sink import Memory, RawFile, Sink, TemporaryFile, map_pixels
from featinv.errors import BadInput
from featinv.files import publish_folder, read_json, write_json
from featinv.resize_crop import ResizeCrop

_log = logging.getLogger(__name__)

LIMIT_PIXELS = 64 * 10**6
ON_DISK_ABOVE = 2**30
_PIXELS, _ENCODER_PIXELS, _MANIFEST = "pixels.u8", "encoder_pixels.u8", "images.json"
_MANIFEST_LIMIT = 2**30
Smaller = Literal["refuse", "skip", "upscale"]


@final
@dataclass(frozen=True)
class Encoded:
    """One image before it is decoded: its id, and the file or bytes it is in; or the reason why it cannot be had."""

    name: str
    content: Path | bytes = b""
    reason: str = ""


@final
@dataclass(frozen=True)
class Source:
    """Encoded images of one place: how many there may be, how to stream them, and what of the place is not read.

    `stream` yields at most `count` images, in the same order each time. `classes` and `labels` (a class number for each
    id) are empty where there are none. `stamps` change when the place does.
    """

    root: Path
    kind: str
    count: int
    stream: Callable[[], Iterator[Encoded]]
    stamps: object
    classes: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    intake: Intake = field(default_factory=Intake)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def sha256(self, *settings: str | int) -> str:
        """Name of this place as it is now, read with these settings."""
        return hashlib.sha256(json.dumps([self.stamps, settings]).encode()).hexdigest()


@final
@dataclass(frozen=True)
class Reading:
    """How a source is read, for an encoder as well where one is named; `decoded` and `skipped` fill while it is."""

    source: Source
    size: int
    fit: Fit
    smaller: Smaller
    limit_pixels: int
    encoder: ResizeCrop | None = None
    decoded: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sides(self) -> tuple[int, ...]:
        """Pixels a side of what is kept of each image: drawn, and seen by the encoder where that is other pixels."""
        return (self.size,) if self.encoder is None else (self.size, self.encoder.size)


def check_settings(size: int, limit_pixels: int, fit: str, smaller: str) -> None:
    """Raise BadInput for impossible settings."""
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


def read_source(reading: Reading, cache: Path | None, on_disk_above: int) -> ImageSet:
    """Decode all images of a source, or map them from the cache; say what was not read.

    Raises BadInput where no image is usable, for one smaller than asked under "refuse", and for a disk that is full.
    """
    if cache is None:
        count = reading.source.count
        on_disk = sum(count * side * side * 3 for side in reading.sides) > on_disk_above
        sinks: list[Sink] = [TemporaryFile(side) if on_disk else Memory(count, side) for side in reading.sides]
        _decode_all(reading, sinks)
        pixels = [sink.pixels() for sink in sinks]
    else:
        with processes.main_first():
            pixels = _through_cache(reading, cache)
    images = _as_imageset(reading, pixels)
    if processes.is_main():
        for sentence in intake_sentences(images, str(reading.source.root)):
            _log.warning("%s (all are listed in .intake)", sentence)
    return images


def _through_cache(reading: Reading, cache: Path) -> list[np.ndarray]:
    """Map the pixels of this source from the cache; decode them into it first if they are not there."""
    settings: tuple[str | int, ...] = (
        reading.size,
        reading.fit,
        reading.smaller,
        reading.limit_pixels,
        f"Pillow {PIL.__version__}",
        2,
        *([] if reading.encoder is None else [json.dumps(reading.encoder.record(), sort_keys=True)]),
    )
    # With the formats: a plugin that was registered since may read what was skipped.
    place = cache / f"images-{reading.source.sha256(*settings, *formats_of(''))[:32]}"
    if not _is_cached(place, reading):
        with publish_folder(place) as temporary:
            with contextlib.ExitStack() as stack:
                files = [stack.enter_context(open(file, "wb")) for file in _files(temporary, reading)]
                sinks = [RawFile(file, side) for file, side in zip(files, reading.sides, strict=True)]
                _decode_all(reading, sinks)
            write_json(temporary / _MANIFEST, {"ids": reading.decoded, "skipped": reading.skipped})
    count = len(reading.decoded)
    return [map_pixels(file, count, side) for file, side in zip(_files(place, reading), reading.sides, strict=True)]


def _files(place: Path, reading: Reading) -> list[Path]:
    """Return the files of a cache, one for each side."""
    return [place / name for name in (_PIXELS, _ENCODER_PIXELS)][: len(reading.sides)]


def _is_cached(place: Path, reading: Reading) -> bool:
    """Take over the names of a complete cache of this reading; False where there is none or it was cut short."""
    files = _files(place, reading)
    if not all(file.is_file() for file in (place / _MANIFEST, *files)):
        return False
    manifest = read_json(place / _MANIFEST, limit=_MANIFEST_LIMIT)
    lengths = [len(manifest["ids"]) * side**2 * 3 for side in reading.sides]
    if [file.stat().st_size for file in files] != lengths:
        return False
    reading.decoded.extend(manifest["ids"])
    reading.skipped.extend((path, reason) for path, reason in manifest["skipped"])
    return True


def _decode_all(reading: Reading, sinks: Sequence[Sink]) -> None:
    """Decode every image, in order, in threads (Pillow decodes outside the interpreter's lock)."""
    with warnings.catch_warnings():
        # Pillow grumbles about odd metadata; only its alarm about decompression bombs is a reason to skip a file.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with processes.progress_bar(reading.source.count, "decode images") as bar:
            for name, result in _results(reading):
                if isinstance(result, Decoded):
                    for sink, kept in zip(sinks, result, strict=False):  # no second sink without an encoder
                        if kept is not None:
                            sink.add(kept)
                    reading.decoded.append(name)
                else:
                    reading.skipped.append((name, result))
                bar.update()
    if not reading.decoded:
        path, reason = reading.skipped[0]
        raise BadInput(
            f"{reading.source.root}: expected at least one usable image, got none of {len(reading.skipped)} files "
            f"(the first, {path}: {reason}); give another folder"
        )


def _results(reading: Reading) -> Iterator[tuple[str, Decoded | str]]:
    """Yield each id with its image or the reason why it is skipped, in order, a few ahead of the reader."""
    waiting: deque[tuple[str, Future[Decoded | str]]] = deque()
    workers = _cores()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="featinv-decode")
    try:
        for encoded in reading.source.stream():
            waiting.append((encoded.name, pool.submit(_image_or_reason, reading, encoded)))
            if len(waiting) > 4 * workers:
                name, future = waiting.popleft()
                yield name, future.result()
        for name, future in waiting:
            yield name, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _image_or_reason(reading: Reading, encoded: Encoded) -> Decoded | str:
    if encoded.reason:
        return encoded.reason
    try:
        return decode_image(
            encoded.content if isinstance(encoded.content, Path) else Path(encoded.name),
            content=encoded.content if isinstance(encoded.content, bytes) else None,
            size=reading.size,
            fit=reading.fit,
            upscale=reading.smaller == "upscale",
            limit_pixels=reading.limit_pixels,
            encoder=reading.encoder,
        )
    except Unusable as error:
        return str(error)
    except TooSmall as error:
        if reading.smaller == "skip":
            return f"too small: {error}, less than the {reading.size} px asked for"
        raise BadInput(
            f"{reading.source.root / encoded.name}: expected at least {reading.size} px a side, got {error}; use a "
            'smaller size, or smaller="skip" to leave such images out, or smaller="upscale" to enlarge them'
        ) from error


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _as_imageset(reading: Reading, pixels: Sequence[np.ndarray]) -> ImageSet:
    source, place = reading.source, reading.source.intake
    labels = np.array([source.labels[name] for name in reading.decoded]) if source.labels else None
    skipped = (*place.skipped, *reading.skipped)
    intake = Intake(len(reading.decoded), skipped, place.beside, place.left_out, place.ignored, place.unlisted)
    provenance: dict[str, Any] = {"source": source.kind, "path": str(source.root), "size": reading.size}
    provenance |= {"fit": reading.fit, "smaller": reading.smaller, **source.provenance}
    provenance |= {"files": source.count, "skipped": len(skipped), "ignored": place.ignored}
    kept = None
    if reading.encoder is not None:
        kept = EncoderPixels(pixels[1], reading.encoder)
        provenance["encoder_pixels"] = kept.record()
    return ImageSet(
        pixels[0],
        ids=reading.decoded,
        labels=labels,
        classes=source.classes,
        provenance=provenance,
        intake=intake,
        encoder_pixels=kept,
    )
