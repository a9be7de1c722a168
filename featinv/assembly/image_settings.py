"""Which images are public and which are private."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import featinv as fi
from featinv.assembly.persons import Persons, persons_by_image, persons_of
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed, make_plain

if TYPE_CHECKING:
    from featinv.data import ImageSet, Overlap
    from featinv.types import Encoder


@dataclass(frozen=True)
class ImageSettings:
    """Which images are public (the attacker trains on them) and which are private (their vectors are released)."""

    source: str = "scenes"
    """"scenes" (synthetic, embedded), a folder, archive, table or array of images; a folder that holds train/ and test/
    is public in train/ and private in test/"""
    size: int = 32
    """side of the square images, in pixels"""
    public: int | None = None
    """how many public images to use (all that are not private)"""
    private: int | None = None
    """how many private images to release (a tenth of all, or the whole of test/)"""
    smaller: Literal["refuse", "skip", "upscale"] = "refuse"
    """what to do with an image smaller than `size`"""
    drop_near: bool = False
    """drop public images that nearly duplicate a private one (they are counted and reported either way)"""
    clusters: str | None = None
    """who is on which image, where there are several of a person or event: "folders" (the first folder of an image's
    path), or a .csv or .json file of ids and persons; nobody is then on both sides"""
    seed: int = 0
    """seed of the split and the subsets"""

    def __post_init__(self) -> None:
        make_plain(self)
        check_seed("images.seed", self.seed)


def load_images(
    settings: ImageSettings, cache: Path | None = None, encoder: "Encoder | None" = None
) -> "tuple[ImageSet, ImageSet, Overlap]":
    """Return (public, private, overlap): disjoint sets of images, and which of them nearly coincide.

    With `encoder`, files are also kept at the side and crop that it sees, where that is more than is drawn.
    Raises BadInput when there are fewer images than asked for, when one image is in both sets, and with `clusters` when
    a person is.
    """
    if settings.source == "scenes":
        public, private = _scenes(settings)
    else:
        public, private = _files(settings, cache, encoder)
    public, overlap = fi.data.disjoint(public, private, drop_near=settings.drop_near)
    persons_on(settings, public, private)
    return public, private, overlap


def persons_on(settings: ImageSettings, public: "ImageSet", private: "ImageSet") -> Persons | None:
    """Return who is on which image, None where nobody says. Raises BadInput as `persons_of` does."""
    try:
        return persons_of(settings.clusters, public, private)
    except BadInput as error:
        raise BadInput(_own_flag(error)) from error


def _scenes(settings: ImageSettings) -> "tuple[ImageSet, ImageSet]":
    public, private = settings.public or 4000, settings.private or 500
    every = fi.data.scenes(public + private, size=settings.size, seed=settings.seed)
    return every.take(range(public)), every.take(range(public, public + private))


def _files(settings: ImageSettings, cache: Path | None, encoder: "Encoder | None") -> "tuple[ImageSet, ImageSet]":
    source = Path(settings.source)
    if (source / "train").is_dir() and (source / "test").is_dir():
        public = _load(source / "train", settings, cache, encoder)
        private = _load(source / "test", settings, cache, encoder)
    else:
        every = _load(source, settings, cache, encoder)
        wanted = settings.private or max(1, len(every) // 10)
        if wanted >= len(every):
            raise BadInput(f"{source}: {wanted} private images asked for, but it holds {len(every)} in all")
        public, private = _split(every, wanted, settings)
    return (
        _some(public, settings.public, "public", settings.seed),
        _some(private, settings.private, "private", settings.seed),
    )


def _split(every: "ImageSet", wanted: int, settings: ImageSettings) -> "tuple[ImageSet, ImageSet]":
    if settings.clusters is None:
        return every.split(1 - wanted / len(every), seed=settings.seed)
    try:
        people = persons_by_image(settings.clusters, every.ids)
    except BadInput as error:
        raise BadInput(_own_flag(error)) from error
    private, public = every.split(wanted / len(every), seed=settings.seed, groups=people)
    return public, private


def _own_flag(error: BadInput) -> str:
    return str(error).replace("--clusters", "--images.clusters", 1)


def _load(path: Path, settings: ImageSettings, cache: Path | None, encoder: "Encoder | None") -> "ImageSet":
    return fi.data.open_images(path, size=settings.size, cache=cache, smaller=settings.smaller, encoder=encoder)


def _some(images: "ImageSet", count: int | None, side: str, seed: int) -> "ImageSet":
    if count is None or count == len(images):
        return images
    if count < 1 or count > len(images):
        raise BadInput(f"--images.{side}: {count} asked for, but there are {len(images)} {side} images")
    return images.split(count / len(images), seed=seed)[0]
