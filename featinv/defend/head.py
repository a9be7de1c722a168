"""The untouched head: the last layer of the publisher's classifier, applied to defended vectors as it is."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
from jaxtyping import Float
from safetensors.numpy import load_file

from featinv.errors import BadInput
from featinv.evaluation.utility import Head
from featinv.features.array_files import BROKEN

WEIGHTS, BIASES = ("weight", "linear.weight", "fc.weight"), ("bias", "linear.bias", "fc.bias")
_BYTES = 2**30


def read_head(path: str, names: Sequence[str], width: int) -> Head:
    """Return the head of a .npz or .safetensors file: vectors (N, width) to logits, the first ones those of `names`.

    The file holds `weight` (K, width) and, if there is one, `bias` (K,); `classes` (K,) of an .npz names the rows,
    which otherwise are the classes 0 to K - 1. A class of the labels that the head does not know gets -infinity.
    Raises BadInput, beginning with --head, for anything else, and where no class of the labels is known.
    """
    file = Path(path)
    arrays = _arrays(file)
    weight = next((arrays[name] for name in WEIGHTS if name in arrays), None)
    if weight is None:
        raise BadInput(f"--head: {file}: expected an array named 'weight', got {', '.join(sorted(arrays)) or 'none'}")
    weight, count = np.asarray(weight), len(weight) if np.ndim(weight) else 0
    if weight.ndim != 2 or weight.shape[1] != width or weight.dtype.kind != "f":
        raise BadInput(
            f"--head: {file}: expected weights (classes, {width}), one number for each of a vector, got {weight.dtype} "
            f"{weight.shape}"
        )
    bias = np.asarray(next((arrays[name] for name in BIASES if name in arrays), np.zeros(count)))
    if bias.shape != (count,) or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise BadInput(f"--head: {file}: expected finite numbers and a bias for each of {count} classes")
    return _head(weight.astype(np.float32), bias.astype(np.float32), _columns(file, arrays, count, names))


def _head(weight: np.ndarray, bias: np.ndarray, columns: Sequence[int | None]) -> Head:
    places = [place for place, column in enumerate(columns) if column is not None]
    rows = [column for column in columns if column is not None]

    def logits(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        # Rows of classes that no label names come last: a vector that the head takes for one of these is misread.
        others = np.setdiff1d(np.arange(len(weight)), rows)
        scores = vectors @ weight.T + bias
        known = np.full((len(vectors), len(columns)), -math.inf, dtype=np.float32)
        known[:, places] = scores[:, rows]
        return np.concatenate([known, scores[:, others]], axis=1)

    return logits


def _columns(file: Path, arrays: dict[str, np.ndarray], count: int, names: Sequence[str]) -> list[int | None]:
    classes = np.asarray(arrays.get("classes", np.arange(count))).astype(str).tolist()
    if len(classes) != count or len(set(classes)) < count:
        raise BadInput(f"--head: {file}: expected 'classes' to name each of {count} classes once, got {len(classes)}")
    rows = {name: row for row, name in enumerate(classes)}
    if not any(name in rows for name in names):
        raise BadInput(
            f"--head: {file}: expected classes of the labels ({', '.join(names[:3])}, ...), got "
            f"{', '.join(classes[:3])}, ...; name the rows of an .npz by an array 'classes'"
        )
    return [rows.get(name) for name in names]


def _arrays(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file() or file.suffix.lower() not in (".npz", ".safetensors"):
        raise BadInput(f"--head: {file}: expected a .npz or .safetensors file; check the path")
    if file.stat().st_size > _BYTES:
        raise BadInput(f"--head: {file}: expected at most {_BYTES} bytes, the last layer alone")
    try:
        if file.suffix.lower() == ".safetensors":
            tensors: dict[str, np.ndarray] = load_file(file)
            return tensors
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (*BROKEN, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        raise BadInput(f"--head: {file}: expected arrays without pickle ({error})") from error
