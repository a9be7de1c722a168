"""Which images the figures use."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from scales import Scale

import featinv as fi
from featinv.assembly import ImageSettings

if TYPE_CHECKING:
    from featinv.data import ImageSet, Overlap

PHOTOGRAPHS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg")
"""scikit-image's bundled colour photographs of things, in the order in which figures 1 to 3 use them"""


def photographs(scale: Scale, data: str | None, upscale: bool) -> "ImageSet":
    """Return the images of figures 1 to 3, the first two of one class where there are classes.

    From the folder given; else scikit-image's photographs, where it is installed; else scenes. Raises BadInput for
    images that are too small.
    """
    if data is not None:
        photographs = fi.data.folder(_private_side(Path(data)), size=scale.photo_size, smaller=_smaller(upscale))
        return _of_one_class_first(photographs)
    files = _bundled()
    if not files:
        return _of_one_class_first(fi.data.scenes(40, size=scale.photo_size, seed=1))
    pixels = np.stack([_square(file, scale.photo_size) for file in files])
    return fi.data.ImageSet(pixels, ids=PHOTOGRAPHS, provenance={"source": "scikit-image's bundled photographs"})


def first(images: "ImageSet", count: int, figure: int) -> "ImageSet":
    """Return the first images. Raises BadInput when there are too few for the figure."""
    if len(images) < count:
        raise fi.BadInput(f"--data: figure {figure} needs at least {count} images, got {len(images)}")
    return images.take(np.arange(count))


def many(scale: Scale, data: str | None, upscale: bool, cache: Path) -> "tuple[ImageSet, ImageSet, Overlap]":
    """Return (training, unseen, overlap) for figures 4 and 5: disjoint, the training ones as many as the largest model.

    Raises BadInput when there are too few images for the figure.
    """
    settings = ImageSettings(
        source=data or "scenes",
        size=scale.size,
        public=scale.counts[-1],
        private=scale.unseen,
        smaller=_smaller(upscale),
    )
    return fi.assembly.load_images(settings, cache=cache)


def _private_side(folder: Path) -> Path:
    return folder / "test" if (folder / "test").is_dir() else folder


def _smaller(upscale: bool) -> Literal["refuse", "upscale"]:
    return "upscale" if upscale else "refuse"


def _of_one_class_first(images: "ImageSet") -> "ImageSet":
    if images.labels is None:
        return images
    classes, counts = np.unique(images.labels, return_counts=True)
    several = classes[counts >= 2]
    if len(several) == 0:
        return images
    pair = np.flatnonzero(images.labels == several[0])[:2]
    others = np.setdiff1d(np.arange(len(images)), pair)
    return images.take(np.concatenate([pair, others]))


def _bundled() -> list[Path]:
    try:
        import skimage.data
    except ImportError:
        return []
    files = [Path(skimage.data.__file__).parent / name for name in PHOTOGRAPHS]
    return files if all(file.is_file() for file in files) else []


def _square(file: Path, size: int) -> np.ndarray:
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(
        image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BOX, reducing_gap=None)
    )
