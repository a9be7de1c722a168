"""Is this file an image, and can Pillow read it? By its suffix, and by its first bytes where that says nothing."""

import io
import warnings
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

EXCLUDED = {
    "EPS": "PostScript is a program: Pillow has Ghostscript run it",
    "WMF": "a drawing, which Pillow has Windows draw",
    "BUFR": "meteorological data, which Pillow only recognises",
    "GRIB": "meteorological data, which Pillow only recognises",
    "HDF5": "numerical data, which Pillow only recognises",
    "MPEG": "a video, which Pillow only recognises",
    "FITS": "astronomical measurements, whose range of values is unknown",
    "MCIDAS": "satellite measurements; no suffix is known for them",
    "SPIDER": "microscope measurements, whose range of values is unknown",
    "IMT": "no suffix and no distinct first bytes",
    "XVTHUMB": "thumbnails of the viewer xv",
}
"""Formats that Pillow opens and featinv does not, and why."""

_BY_SUFFIX_ONLY = {
    *("BLP", "CUR", "DCX", "DIB", "FLI", "FTEX", "GBR", "ICO", "IM", "IPTC"),
    *("MSP", "PCD", "PCX", "PIXAR", "SGI", "TGA", "XBM", "XPM"),
}
# Their first bytes are few or none: files of other kinds begin with them too.

_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".bay", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".erf", ".fff", ".gpr"),
    *(".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf"),
    *(".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)

_HEIC = "HEIC: pip install pillow-heif and call pillow_heif.register_heif_opener() before, or convert it to PNG"
_RAW = "raw camera file: convert it to PNG or JPEG"
_DRAWING = "drawing without pixels: convert it to PNG"
_AVIF = "AVIF: this Pillow was built without it, install pillow>=11.3"
_JXL = "JPEG XL: pip install pillow-jxl-plugin and import pillow_jxl before, or convert it to PNG"
_RANGE = "values of unknown range: convert it to PNG"
_DICOM = "DICOM: convert it to PNG"
_OTHER = "Pillow does not read this format: convert it to PNG"

_UNREAD_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".heics", ".heifs", ".avci"), _HEIC),
    **dict.fromkeys(_RAW_SUFFIXES, _RAW),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ps", ".wmf", ".emf"), _DRAWING),
    **dict.fromkeys((".exr", ".fit", ".fits", ".fts"), _RANGE),
    **dict.fromkeys((".jxr", ".wdp", ".hdp", ".psb", ".xcf", ".kra", ".ora", ".bpg", ".flif", ".dpx", ".djvu"), _OTHER),
    **dict.fromkeys((".avif", ".avifs"), _AVIF),
    **dict.fromkeys((".webp", ".jp2", ".j2k", ".qoi"), _OTHER),
    ".jxl": _JXL,
    ".dcm": _DICOM,
}
"""Image files that Pillow does not read, and what to do. Formats that it can read here come before these."""

_BESIDE_SUFFIXES = {
    **dict.fromkeys((".mov", ".mp4", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".3g2", ".mts", ".m2ts"), "video"),
    **dict.fromkeys((".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".lrv", ".insv"), "video"),
    ".thm": "thumbnail of a video",
    ".pdf": "document: images in it are not read",
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"), "archive: unpack it to read"
    ),
}
"""Files that are no images themselves, but that may belong to images or hold some."""

_READ_STARTS = (
    *((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (0, b"GIF87a"), (0, b"GIF89a"), (8, b"WEBPVP8")),
    *((0, b"8BPS\0\x01"), (0, b"qoif"), (0, b"DDS \x7c\0\0\0"), (4, b"ftypavif"), (4, b"ftypavis")),
    *((0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
)
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNREAD_STARTS = (
    *(
        (4, b"ftyp" + brand, _HEIC)
        for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
    ),
    *((4, b"ftypcrx ", _RAW), (0, b"FUJIFILMCCD-RAW", _RAW), (0, b"IIRO", _RAW), (0, b"IIRS", _RAW)),
    *((0, b"MMOR", _RAW), (0, b"IIU\0", _RAW), (0, b"FOVb", _RAW), (0, b"\0MRM", _RAW)),
    *(
        (0, b"\xff\x0a", _JXL),
        (0, b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
        (0, b"v/1\x01", _RANGE),
        (0, b"#?RADIANCE", _RANGE),
    ),
    *((0, b"SIMPLE  =", _RANGE), (0, b"II\xbc\x01", _OTHER), (0, b"gimp xcf", _OTHER), (128, b"DICM", _DICOM)),
    *((0, b"%!PS", _DRAWING), (0, b"\xc5\xd0\xd3\xc6", _DRAWING)),
)
HEAD = 512
"""Bytes of a file that are looked at; a DICOM file says what it is at 128."""


class Sort(NamedTuple):
    """What a file is: an image to read, one that cannot be read, something beside images, or anything else."""

    what: Literal["image", "unread", "beside", "other"]
    reason: str = ""


def classify(path: Path, head: bytes | None = None) -> Sort:
    """Say what the file at `path` is. A suffix that Pillow reads is believed; else the first bytes decide.

    With `head`, the first 512 bytes of a file of this name in an archive, nothing is opened. Raises OSError for a file
    that cannot be opened.
    """
    suffix = path.suffix.lower()
    if is_readable_suffix(suffix):
        return Sort("image")
    if suffix == ".thm":
        return Sort("beside", _BESIDE_SUFFIXES[suffix])
    given = path if head is None else io.BytesIO(head)
    head = head_of(path) if head is None else head
    # Raw camera files are TIFF files whose first image is a small preview.
    tiff = head.startswith(_TIFF_STARTS) and suffix not in _RAW_SUFFIXES
    if tiff or any(head[at : at + len(start)] == start for at, start in _READ_STARTS) or _is_opened(given, suffix):
        return Sort("image")
    if suffix in _UNREAD_SUFFIXES:
        return Sort("unread", _UNREAD_SUFFIXES[suffix])
    if suffix in _BESIDE_SUFFIXES:
        return Sort("beside", _BESIDE_SUFFIXES[suffix])
    reason = unread_start(head)
    return Sort("other") if reason is None else Sort("unread", reason)


def formats_of(suffix: str) -> tuple[str, ...]:
    """Return the formats that Pillow tries on a file: those that are told by their first bytes, last the suffix's own.

    Plugins that the caller has registered with Pillow (pillow-heif, for one) are among them.
    """
    own = Image.registered_extensions().get(suffix)
    recognised = [name for name in Image.OPEN if name not in EXCLUDED and _has_start(name)]
    return (
        (*recognised, own) if own in Image.OPEN and own not in EXCLUDED and own not in recognised else tuple(recognised)
    )


def is_readable_suffix(suffix: str) -> bool:
    """Say whether Pillow reads files with this lower-case suffix, and featinv lets it."""
    form = Image.registered_extensions().get(suffix)
    # Pillow knows the suffix .mpo for writing; it reads such files as JPEG.
    return form == "MPO" or (form in Image.OPEN and form not in EXCLUDED)


def is_image_name(name: str) -> bool:
    """Say whether a file of this name should be an image, read or not."""
    suffix = Path(name).suffix.lower()
    return suffix in _UNREAD_SUFFIXES or is_readable_suffix(suffix)


def unread_start(head: bytes) -> str | None:
    """Return why a file that begins with these bytes is not read, None where they are not known as an image's."""
    for at, start, reason in _UNREAD_STARTS:
        if head[at : at + len(start)] == start:
            return reason
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_svg = text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!DOCTYPE svg")) and b"<svg" in text)
    return _DRAWING if is_svg else None


def head_of(path: Path) -> bytes:
    """Read the first 512 bytes. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(HEAD)


def _has_start(name: str) -> bool:
    return name not in _BY_SUFFIX_ONLY and Image.OPEN[name][1] is not None


def _is_opened(file: Path | io.BytesIO, suffix: str) -> bool:
    """Say whether Pillow recognises the file (BMP, PPM, plugins, ...) beyond its first two bytes."""
    formats = [name for name in formats_of(suffix) if name != "TIFF" or suffix not in _RAW_SUFFIXES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=formats):
                return True
        except Image.DecompressionBombError:
            return True
        except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
            return False
