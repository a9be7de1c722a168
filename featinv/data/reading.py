"""Images from a path, whatever they are kept in."""

from pathlib import Path

from featinv.data.archive_members import SUFFIXES as ARCHIVES
from featinv.data.array_file import arrays
from featinv.data.image_archive import archive, is_archive
from featinv.data.image_folder import folder
from featinv.data.image_stream import Smaller
from featinv.data.image_table import table
from featinv.data.imageset import ImageSet
from featinv.data.tables import SUFFIXES as TABLES
from featinv.data.tables import is_table
from featinv.errors import BadInput
from featinv.types import Encoder

ARRAYS = (".npy", ".npz")


def open_images(
    path: Path | str,
    *,
    size: int,
    cache: Path | str | None = None,
    smaller: Smaller = "refuse",
    encoder: Encoder | None = None,
) -> ImageSet:
    """Read the images of a path: a folder, an archive, a table, an array file, or a folder of shards of these.

    `folder`, `archive`, `table` and `arrays` say how each is read and what raises BadInput; so does a file of any other
    suffix. An array file is not cached, and resized only where an `encoder` sees more of it than is drawn.
    """
    path = Path(path)
    if is_archive(path):
        return archive(path, size=size, cache=cache, smaller=smaller, encoder=encoder)
    if is_table(path):
        return table(path, size=size, cache=cache, smaller=smaller, encoder=encoder)
    if path.suffix.lower() in ARRAYS and path.is_file():
        return arrays(path, size=size, encoder=encoder)
    if path.is_file():
        got = path.suffix or "a file without a suffix"
        raise BadInput(
            f"{path}: expected images in a folder, in an archive ({', '.join(ARCHIVES)}), in a table "
            f"({', '.join(TABLES)}) or in an array ({', '.join(ARRAYS)}), got {got}"
        )
    return folder(path, size=size, cache=cache, smaller=smaller, encoder=encoder)
