"""Reading .safetensors and .pt files of strangers: weights only, nothing is executed."""

import json
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.features.choosing import FEATURES, Content, Entry, as_names, choose_features, choose_ids, said
from featinv.files import unreadable, within

BROKEN = (
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)
"""What torch's weights-only reader raises for a damaged or hostile file (found by damaging files at random)."""


def read_safetensors(path: Path, column: str | None = None, id_column: str | None = None) -> Content:
    """Read the tensor of vectors of a safetensors file, or {path: vector}; names are a JSON list in the metadata."""
    limit = path.stat().st_size
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            entries = [_entry(name, tuple(part.get_shape()), part.get_dtype()) for name, part in shapes.items()]
            lists = _lists_in(path, file.metadata() or {}, id_column)
            if _is_mapping(entries, column) and not lists:
                return _of_mapping(path, {name: file.get_tensor(name) for name in shapes}, limit, id_column)
            chosen = choose_features(path, entries, column)
            features = _numbers(path, file.get_tensor(chosen.name), limit)
            named = _named(path, [*entries, *lists.values()], chosen, id_column, features)
            ids = None
            if named is not None:
                held = file.metadata() if named.name in lists else None
                ids = json.loads(held[named.name]) if held else file.get_tensor(named.name).tolist()
    except safetensors.SafetensorError as error:
        raise unreadable(path, "a safetensors file", error) from error
    words = said([*entries, *lists.values()], repr(chosen.name), named)
    return Content(features, None if ids is None or named is None else as_names(path, named.name, ids), words)


def read_torch(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read what torch.save wrote, weights only: a tensor, {"features": tensor, "ids": [...]}, or {path: vector}."""
    loaded = _load(path, limit)
    if isinstance(loaded, Tensor):
        if column is not None:
            raise BadInput(f"{path}: expected vectors in {column!r} as asked, got one tensor; leave --column out")
        return Content(_numbers(path, loaded, limit))
    if not isinstance(loaded, dict):
        raise BadInput(f"{path}: expected a tensor or a dict of tensors, got {type(loaded).__name__}")
    if twice := len(loaded) - len({str(name) for name in loaded}):
        raise BadInput(f"{path}: expected keys of different names, got {twice} twice; save the file again")
    parts: dict[str, Any] = {
        str(name): part
        for name, part in loaded.items()
        # A single text or number beside the vectors is a remark, unless it is called ids.
        if isinstance(part, Tensor | list | tuple | dict) or name in ("id", "ids")
    }
    entries = [_entry_of(name, part) for name, part in parts.items()]
    if len(parts) == len(loaded) and all(isinstance(name, str) for name in loaded) and _is_mapping(entries, column):
        return _of_mapping(path, parts, limit, id_column)
    chosen = choose_features(path, entries, column)
    if not isinstance(parts[chosen.name], Tensor):
        raise BadInput(f"{path}: expected a tensor of vectors in {chosen.name!r}, got {chosen.type}; correct --column")
    features = _numbers(path, parts[chosen.name], limit)
    named = _named(path, entries, chosen, id_column, features)
    words = said(entries, repr(chosen.name), named)
    if named is None:
        return Content(features, None, words)
    values = parts[named.name]
    ids = values.tolist() if isinstance(values, Tensor) else values
    return Content(features, as_names(path, named.name, ids), words)


def _load(path: Path, limit: int) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise unreadable(path, "a file of torch.save (torch 1.6 or newer)", error) from error
    within(path, held, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        raise unreadable(path, "tensors and nothing else (no pickled objects)", error) from error


def _entry_of(name: str, part: Any) -> Entry:
    if isinstance(part, Tensor):
        kind = "I" if not part.is_floating_point() and not part.is_complex() else "F"
        entry = _entry(name, tuple(part.shape), kind)
        return Entry(name, entry.kind, f"{part.dtype} {tuple(part.shape)}", entry.count)
    if not isinstance(part, list | tuple | dict):
        return Entry(name, "other", type(part).__name__)
    types = {type(value).__name__ for value in part}
    what = f"{type(part).__name__} of {len(part)} {' and '.join(sorted(types)[:3])}"
    if isinstance(part, dict) or not types <= {"str", "bytes", "int"}:
        return Entry(name, "other", what, len(part))
    return Entry(name, "integers" if types == {"int"} else "text", what, len(part))


def _entry(name: str, shape: tuple[int, ...], dtype: str) -> Entry:
    kind: Literal["vectors", "integers", "other"] = "vectors" if len(shape) > 1 else "other"
    if len(shape) == 1 and dtype.startswith(("I", "U")):
        kind = "integers"
    return Entry(name, kind, f"{dtype} {shape}", shape[0] if shape else None)


def _lists_in(path: Path, metadata: dict[str, str], id_column: str | None) -> dict[str, Entry]:
    """Find the names in the metadata: under `ids` or `id`, or under the key that was asked for."""
    entries: dict[str, Entry] = {}
    for key in sorted({"ids", "id", id_column or "ids"} & set(metadata)):
        try:
            names = json.loads(metadata[key])
        except (ValueError, RecursionError):
            names = None
        good = isinstance(names, list) and all(isinstance(name, str) for name in names)
        what = "a list in JSON" if good else "text that is no list of strings in JSON"
        entries[key] = Entry(key, "text" if good else "other", what, len(names) if good else None)
    return entries


def _named(
    path: Path, entries: list[Entry], chosen: Entry, id_column: str | None, features: np.ndarray
) -> Entry | None:
    return choose_ids(path, entries, [chosen.name], id_column, len(features) if features.ndim else None)


def _is_mapping(entries: list[Entry], column: str | None) -> bool:
    """Say whether the entries are {path: vector}: one axis each, and none has the name of all vectors."""
    flat = all(entry.kind == "other" and entry.count is not None and entry.type.endswith(",)") for entry in entries)
    return column is None and len(entries) > 0 and flat and not {entry.name for entry in entries} & set(FEATURES)


def _of_mapping(path: Path, parts: dict[str, Any], limit: int, id_column: str | None) -> Content:
    if id_column is not None:
        raise BadInput(
            f"{path}: expected no --id-column, got {id_column!r}; the keys of {{path: vector}} are the names"
        )
    widths = sorted({len(part) for part in parts.values()})
    if len(widths) > 1:
        raise BadInput(f"{path}: expected vectors of one width, got {widths[:4]}; store those of one encoder")
    rows = np.stack([_numbers(path, part, limit) for part in parts.values()])
    return Content(rows, list(parts), (f"{len(parts)} vectors of one axis; ids from their keys",))


def _numbers(path: Path, tensor: Tensor, limit: int) -> np.ndarray:
    if tensor.layout != torch.strided or not tensor.is_floating_point() or tensor.device.type != "cpu":
        raise BadInput(
            f"{path}: expected dense floating-point features, got {tensor.dtype}, {tensor.layout}, {tensor.device}; "
            "convert them to a float32 tensor"
        )
    # A few stored bytes can be expanded to any shape.
    within(path, tensor.numel() * tensor.element_size(), limit)
    # numpy knows no bfloat16.
    return (tensor.detach().float() if tensor.dtype.itemsize < 4 else tensor.detach()).numpy()
