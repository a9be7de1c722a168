"""Images from NumPy array files, read without pickle."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featinv.data.encoder_pixels import EncoderPixels
from featinv.data.image_stream import ON_DISK_ABOVE
from featinv.data.imageset import ImageSet
from featinv.data.pixel_sink import Memory, Sink, TemporaryFile
from featinv.errors import BadInput
from featinv.types import Encoder

LIMIT_BYTES = 8 * 2**30
"""What an .npz may unpack to; a larger set belongs in an .npy, which is mapped and not loaded."""

_BROKEN_FILE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)


def arrays(
    path: Path | str,
    *,
    size: int | None = None,
    labels: Path | str | None = None,
    limit_bytes: int = LIMIT_BYTES,
    encoder: Encoder | None = None,
) -> ImageSet:
    """Read (N, S, S, 3) uint8 images from an .npy (mapped, never loaded whole) or from "images" of an .npz.

    Labels, (N,) whole numbers, come from "labels" of the .npz or from the .npy file `labels`. `size`, when given, is
    only checked; with an `encoder`, larger images are shrunk to it (bicubic), and kept as they are for the encoder. Ids
    are "FILE:ROW". Raises BadInput for a missing, truncated, pickled or too large file, and for arrays of another shape
    or type (nothing is guessed, transposed or rescaled).
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: expected an .npy or .npz file, found none; check the path")
    if path.suffix == ".npz":
        entries = _read_npz(path, limit_bytes)
        pixels, numbers = entries["images"], entries.get("labels")
    elif path.suffix == ".npy":
        pixels, numbers = _read_npy(path), None
    else:
        raise BadInput(f"{path}: expected a name that ends in .npy or .npz, got {path.suffix!r}; save it with NumPy")
    if labels is not None:
        if numbers is not None:
            raise BadInput(f"labels: expected one source of labels, got {labels} and those in {path}; leave one out")
        numbers = _read_npy(Path(labels))
    shrunk = encoder is not None and size is not None and pixels.ndim == 4 and pixels.shape[1] > size
    _check_images(path, pixels, None if shrunk else size)
    if numbers is not None:
        _check_labels(path if labels is None else Path(labels), numbers, len(pixels))
    drawn = _shrunk(pixels, size) if shrunk and size is not None else pixels
    return ImageSet(
        drawn,
        ids=[f"{path.name}:{row}" for row in range(len(pixels))],
        labels=numbers,
        provenance={"source": "arrays", "path": str(path), "size": int(drawn.shape[1])},
        encoder_pixels=EncoderPixels(pixels) if shrunk else None,
    )


def _shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return (N, size, size, 3) of larger images, as files are shrunk; above 1 GiB in a temporary file."""
    on_disk = len(pixels) * size * size * 3 > ON_DISK_ABOVE
    sink: Sink = TemporaryFile(size) if on_disk else Memory(len(pixels), size)
    for image in pixels:
        resized = Image.fromarray(np.ascontiguousarray(image)).resize((size, size), Image.Resampling.BICUBIC)
        sink.add(np.asarray(resized))
    return sink.pixels()


def _read_npy(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"{path}: expected an .npy file, found none; check the path")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN_FILE as error:
        raise _broken(path, error) from error


def _read_npz(path: Path, limit_bytes: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info.file_size for info in archive.infolist()}
            if "images.npy" not in members:
                names = ", ".join(sorted(name.removesuffix(".npy") for name in members)) or "nothing"
                raise BadInput(f'{path}: expected an array named "images", got {names}; np.savez(FILE, images=...)')
            wanted = [name for name in ("images", "labels") if f"{name}.npy" in members]
            total = sum(members[f"{name}.npy"] for name in wanted)
            if total > limit_bytes:
                raise BadInput(
                    f"{path}: expected at most {limit_bytes} bytes unpacked, got {total}; save the images as .npy, "
                    "which is mapped and not loaded, or raise limit_bytes"
                )
            for name in wanted:
                _check_header(archive, f"{name}.npy", members[f"{name}.npy"])
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in wanted}
    except BadInput:
        raise
    except _BROKEN_FILE as error:
        raise _broken(path, error) from error


def _check_header(archive: zipfile.ZipFile, name: str, length: int) -> None:
    """Refuse a header that promises more than the member holds, before NumPy allocates what it promises."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > length:
            raise ValueError(f"{name} says shape {shape} but holds {length} bytes")


def _check_images(path: Path, pixels: np.ndarray, size: int | None) -> None:
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.shape[1] != pixels.shape[2]:
        raise BadInput(f"{path}: expected shape (N, S, S, 3), channels last, got {pixels.shape}; {_fix(pixels.shape)}")
    if pixels.dtype != np.uint8:
        raise BadInput(f"{path}: expected uint8 in 0..255, got {pixels.dtype}; scale, round and convert it first")
    if len(pixels) == 0:
        raise BadInput(f"{path}: expected at least one image, got shape {pixels.shape}; give another file")
    if size is not None and pixels.shape[1] != size:
        raise BadInput(f"{path}: expected images of {size} px, got {pixels.shape[1]} px; resize them first")


def _fix(shape: tuple[int, ...]) -> str:
    """Say what makes RGB images, channels last, of an array x of another shape."""
    square = {
        "gray": len(shape) == 3 and shape[1] == shape[2],
        "gray, channels last": len(shape) == 4 and shape[3] == 1 and shape[1] == shape[2],
        "gray, channels first": len(shape) == 4 and shape[1] == 1 and shape[2] == shape[3],
        "channels first": len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3],
        "transparent": len(shape) == 4 and shape[3] == 4 and shape[1] == shape[2],
        "one image": len(shape) == 3 and shape[2] == 3 and shape[0] == shape[1],
    }
    fixes = {
        "one image": "x[None] is a set of one image",
        "gray": "numpy.repeat(x[..., None], 3, axis=3) makes RGB of gray",
        "gray, channels last": "numpy.repeat(x, 3, axis=3) makes RGB of gray",
        "gray, channels first": "numpy.repeat(x.transpose(0, 2, 3, 1), 3, axis=3) makes RGB of gray",
        "channels first": "transpose it with .transpose(0, 2, 3, 1)",
        "transparent": "x[..., :3] leaves out the alpha channel",
    }
    return next((fix for kind, fix in fixes.items() if square[kind]), "crop, resize and stack the images first")


def _check_labels(path: Path, labels: np.ndarray, count: int) -> None:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise BadInput(
            f"{path}: expected {count} labels as whole numbers, got shape {labels.shape} of {labels.dtype}; "
            "give one for each image"
        )


def _broken(path: Path, error: Exception) -> BadInput:
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadInput(
        f"{path}: expected NumPy arrays without pickled objects, but it is truncated, pickled or something else "
        f"({reason}); save it again with np.save or np.savez"
    )
