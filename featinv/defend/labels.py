"""Classes of vectors, from files of strangers: no pickle, matched by ids where the file has them."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int64

import featinv as fi
from featinv.errors import BadInput
from featinv.features.array_files import BROKEN

NAMES = ("labels", "label", "classes", "class", "y", "targets", "target")
FORMATS = ".npy, .npz, .csv, .tsv or .txt"
_BYTES = 2**30


def read_labels(path: str | None, vectors: "fi.Vectors") -> np.ndarray | None:
    """Return the class (N,) of every vector, whole numbers or text; None where nobody says.

    From an array in a .npy or .npz file, or from text with one class a line; `id,class` lines and an array of ids are
    matched with the ids of the vectors. Without a file, from the array `labels` beside the vectors in their own .npz.
    Raises BadInput for another count, ids without a vector, floating-point classes, and a single class.
    """
    if path is None:
        source = Path(vectors.source)
        labels_and_ids = (
            _of_npz(source, optional=True) if source.suffix.lower() == ".npz" and source.is_file() else None
        )
        flag = vectors.source
    else:
        flag = f"labels: {path}"
        labels_and_ids = _read(Path(path))
    if labels_and_ids is None:
        return None
    labels, ids = labels_and_ids
    _check(flag, labels, len(ids) if ids is not None else len(vectors))
    if ids is not None and path is not None:
        labels = _by_id(flag, labels, ids, vectors)
    return check_labels(flag, labels, vectors)


def check_labels(flag: str, labels: np.ndarray, vectors: "fi.Vectors") -> np.ndarray:
    """Return the labels. Raises BadInput for another count than of vectors, and for a single class."""
    _check(flag, labels, len(labels))
    if len(labels) != len(vectors):
        raise BadInput(
            f"{flag}: expected a label for each of {len(vectors)} vectors in {vectors.source}, got {len(labels)}"
        )
    if len(np.unique(labels)) < 2:
        raise BadInput(f"{flag}: expected at least two classes, got one; class utility needs something to tell apart")
    return labels


def class_numbers(sides: Mapping[str, np.ndarray | None]) -> dict[str, Int64[np.ndarray, " _"] | None]:
    """Number the classes of both sides alike. Raises BadInput where the sides share none."""
    classes = {name: labels.astype(str) for name, labels in sides.items() if labels is not None}
    if len(classes) == 2 and not set.intersection(*(set(labels.tolist()) for labels in classes.values())):
        raise BadInput("labels: expected the same classes on both sides, got none in common; name them alike")
    every = np.array(class_names(*sides.values()))
    return {name: np.searchsorted(every, classes[name]).astype(np.int64) if name in classes else None for name in sides}


def class_names(*sides: np.ndarray | None) -> list[str]:
    """Return the names of the classes of all sides, in the order of their numbers."""
    return sorted({name for labels in sides if labels is not None for name in labels.astype(str).tolist()})


def _read(path: Path) -> tuple[np.ndarray, list[str] | None]:
    if not path.is_file():
        raise BadInput(f"labels: {path}: expected a file of labels, found none; give {FORMATS}")
    if path.stat().st_size > _BYTES:
        raise BadInput(f"labels: {path}: expected at most {_BYTES} bytes")
    match path.suffix.lower():
        case ".npy":
            try:
                return np.load(path, allow_pickle=False), None
            except BROKEN as error:
                raise BadInput(f"labels: {path}: expected a .npy file without pickle ({error})") from error
        case ".npz":
            labels_and_ids = _of_npz(path, optional=False)
            assert labels_and_ids is not None
            return labels_and_ids
        case ".csv" | ".tsv" | ".txt":
            return _of_text(path)
    raise BadInput(f"labels: {path}: expected {FORMATS}, got {path.suffix or 'a file without a suffix'}")


def _of_npz(path: Path, *, optional: bool) -> tuple[np.ndarray, list[str] | None] | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = next((name for name in NAMES if name in arrays.files), None)
            if named is None and not optional and len(arrays.files) == 1:
                named = arrays.files[0]
            if named is None:
                if optional:
                    return None
                raise BadInput(f"labels: {path}: expected an array named {NAMES[0]!r}, got {', '.join(arrays.files)}")
            labels = arrays[named]
            ids = [str(name) for name in arrays["ids"].tolist()] if "ids" in arrays.files else None
    except (*BROKEN, zipfile.BadZipFile) as error:
        raise BadInput(f"labels: {path}: expected a .npz file without pickle ({error})") from error
    return labels, ids


def _of_text(path: Path) -> tuple[np.ndarray, list[str] | None]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",") if row]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"labels: {path}: expected text with one class a line ({error})") from error
    widths = {len(row) for row in rows}
    if widths not in ({1}, {2}):
        raise BadInput(f"labels: {path}: expected lines of one class, or of id and class, got {sorted(widths)} columns")
    header = [cell.strip().lower() for cell in rows[0]]
    rows = rows[1:] if header[-1] in NAMES else rows
    labels = np.array([row[-1].strip() for row in rows])
    return labels, [row[0].strip() for row in rows] if widths == {2} else None


def _check(flag: str, labels: np.ndarray, count: int) -> None:
    if labels.ndim != 1:
        raise BadInput(f"{flag}: expected one class a vector, got an array of shape {labels.shape}")
    if labels.dtype.kind not in "iuUSb":
        raise BadInput(f"{flag}: expected whole numbers or text as classes, got {labels.dtype}")
    if len(labels) != count:
        raise BadInput(f"{flag}: expected a label for each of {count} vectors, got {len(labels)}")
    if labels.dtype.kind in "US" and (np.char.strip(labels) == np.array("", dtype=labels.dtype)).any():
        raise BadInput(f"{flag}: expected a class in every line, got an empty one")


def _by_id(flag: str, labels: np.ndarray, ids: list[str], vectors: "fi.Vectors") -> np.ndarray:
    if vectors.ids is None:
        raise BadInput(f"{flag}: names images, but {vectors.source} does not; give the classes alone, by order")
    rows = dict(zip(ids, range(len(ids)), strict=True))
    if len(rows) < len(ids):
        raise BadInput(f"{flag}: expected every id once, got one twice; remove it")
    absent = [name for name in vectors.ids if name not in rows]
    if absent:
        raise BadInput(f"{flag}: expected a label of every vector, got none of {absent[0]!r} ({len(absent)} such)")
    return labels[[rows[name] for name in vectors.ids]]
