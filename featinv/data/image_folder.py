"""Images from a folder: decoded once, squared, kept as uint8 in memory, in a cache or in a temporary file."""

from collections.abc import Iterator
from pathlib import Path

from featinv.data.encoder_pixels import pixels_to_keep
from featinv.data.image_decode import Fit
from featinv.data.image_listing import Listing, list_images
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
from featinv.errors import BadInput
from featinv.types import Encoder


def folder(
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
    """Read every image under `path`, `size` pixels a side: a flat folder without labels, or one folder a class.

    Files are read in the order of their paths, and their relative paths are the ids; where images lie beside folders,
    all are taken without labels. Everything is read that Pillow reads, by content where the suffix is unknown
    (`image_formats.EXCLUDED` says what is not). Images are turned upright (EXIF), laid on white where transparent,
    cropped to the central square (`fit="stretch"` squeezes instead) and resized. Image files that cannot be used
    (broken, over `limit_pixels`, under 8 px a side, hidden, of a format that Pillow does not read) are skipped and
    listed with the reason in `.skipped`; folders of thumbnails and caches are left out. `.intake` counts all of it.
    An image smaller than `size` is refused, skipped or upscaled, as `smaller` says. With `encoder`, what it sees of
    each file is kept too, in the same pass (`ImageSet.encoder_pixels`): vectors are then made of the files at their own
    size, and images are drawn and compared at `size`.

    The pixels are decoded once: into a mapped file under `cache` when given (found again while no file changed), else
    into memory, else, above `on_disk_above` bytes in all, into a temporary mapped file. Raises BadInput for a folder
    without a usable image, an image smaller than `size` under "refuse", and a disk that is full.
    """
    check_settings(size, limit_pixels, fit, smaller)
    root = Path(path)
    listing = list_images(root)
    if not listing.paths:
        instead = _instead(listing)
        raise BadInput(f"{root}: expected images (.png, .jpg, .webp, ...), got none ({instead}); give another folder")
    reading = Reading(_source(root, listing), size, fit, smaller, limit_pixels, pixels_to_keep(encoder, size))
    return read_source(reading, None if cache is None else Path(cache), on_disk_above)


def _source(root: Path, listing: Listing) -> Source:
    def stream() -> Iterator[Encoded]:
        for path in listing.paths:
            yield Encoded(path, root / path)

    classes = listing.classes
    number = {name: place for place, name in enumerate(classes)}
    return Source(
        root,
        "folder",
        len(listing.paths),
        stream,
        listing.stamp,
        classes,
        {path: number[path.split("/", 1)[0]] for path in listing.paths} if classes else {},
        Intake(0, listing.skipped, listing.beside, listing.left_out, listing.ignored, listing.unlisted),
        {"listing_sha256": listing.sha256()},
    )


def _instead(listing: Listing) -> str:
    """Say what a folder without an image to read holds."""
    others = f"{listing.ignored + len(listing.beside)} other files, {len(listing.skipped)} images that are not read"
    if left_out := sum(count for _, count in listing.left_out):
        others += f", {left_out} in folders of thumbnails and caches"
    return f"{others}, e.g. {': '.join(listing.skipped[0])}" if listing.skipped else others
