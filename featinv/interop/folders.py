"""Originals and reconstructions as they lie in folders, matched by name."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from featinv.attacks import MeanImage
from featinv.data import ImageSet, folder
from featinv.errors import BadInput
from featinv.features import Vectors, pair
from featinv.types import Images


@final
class Reconstructions:
    """row numbers -> the images that somebody else made: an attack that has reconstructed already.

    `images` are in the order of the release, whose vectors are the row numbers (N, 1), so that a vector of another
    image gets the reconstruction of that image. Nothing is fitted.
    """

    parameters = 0

    def __init__(self, images: ImageSet, kind: Literal["attack", "control"] = "attack") -> None:
        self.images, self.kind = images, kind

    def fit(self, pairs: object) -> "Reconstructions":
        """Return this object: the images are made already."""
        return self

    def reconstruct(self, features: Float[Tensor, "B 1"]) -> Images:
        """Return the image of each row number, (B, 3, S, S) in [0, 1]."""
        rows = features[:, 0].round().long().cpu().numpy()
        return self.images.batch(rows)


def read_originals(path: Path | str, size: int) -> ImageSet:
    """Read the private images of a folder, cut and resized to `size` (`featinv.data.folder`)."""
    return folder(path, size=size)


def read_reconstructions(path: Path | str, originals: Sequence[str], what: str = "reconstructions") -> ImageSet:
    """Read a folder of reconstructions in the order of the names of the `originals`; nothing is cut or resized.

    Names are paths inside the folder, without their suffix. Raises BadInput that begins with `what`, for a name
    without a partner on either side, a name that is there twice, an image that cannot be read or is not square, and
    images of different sizes.
    """
    root = Path(path)
    size = common_size(root, what)
    images = folder(root, size=size)
    if images.skipped:
        name, reason = images.skipped[0]
        raise BadInput(f"{what}: expected images only, but {name} cannot be read ({reason}); write it again")
    wanted, given = [_key(name) for name in originals], [_key(name) for name in images.ids]
    for side, names in (("the originals", wanted), (what, given)):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise BadInput(f"{what}: expected each name once, but {side} have {twice[0]} twice; rename one")
    _check_partners(wanted, given, what)
    rows = {name: row for row, name in enumerate(given)}
    return images.take(np.array([rows[name] for name in wanted]))


def common_size(root: Path, what: str) -> int:
    """Return the side of all images in a folder; BadInput where they are not square or differ, naming two files."""
    sizes: dict[tuple[int, int], str] = {}
    for file in sorted(root.rglob("*")):
        if not file.is_file() or file.suffix.lower() not in Image.registered_extensions():
            continue
        try:
            with Image.open(file) as image:
                sizes.setdefault(image.size, file.relative_to(root).as_posix())
        except (OSError, Image.DecompressionBombError) as error:
            raise BadInput(
                f"{what}: {file}: expected an image, got something else ({error}); write it again"
            ) from error
    if not sizes:
        raise BadInput(f"{what}: {root}: expected a folder of images (.png, .jpg, ...), got none; give another folder")
    if len(sizes) > 1:
        (first, name), (second, other) = list(sizes.items())[:2]
        raise BadInput(
            f"{what}: expected images of one size, got {first[0]} x {first[1]} ({name}) and {second[0]} x {second[1]} "
            f"({other}); write all at one size"
        )
    [(width, height)] = sizes
    if width != height:
        raise BadInput(f"{what}: expected square images, got {width} x {height} ({sizes[width, height]}); cut them")
    return width


def _key(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _check_partners(originals: Sequence[str], given: Sequence[str], what: str) -> None:
    missing, extra = sorted(set(originals) - set(given)), sorted(set(given) - set(originals))
    counts = f"{len(originals)} originals and {len(given)} reconstructions"
    if missing:
        raise BadInput(
            f"{what}: expected a reconstruction of every original ({counts}), got none of {missing[0]} and "
            f"{len(missing) - 1} others; add them under the names of the originals"
        )
    if extra:
        raise BadInput(
            f"{what}: expected an original of every reconstruction ({counts}), got none of {extra[0]} and "
            f"{len(extra) - 1} others; take them out"
        )


def row_numbers(count: int) -> Vectors:
    """Return the vectors of a release that is known by its images only: row numbers, float32 (N, 1)."""
    return Vectors(np.arange(count, dtype=np.float32)[:, None], "row numbers")


def mean_image(images: ImageSet) -> MeanImage:
    """Return the control that knows the mean of these images and nothing else."""
    return MeanImage().fit(pair(row_numbers(len(images)), images))
