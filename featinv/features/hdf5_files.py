"""Reading vectors from HDF5."""

from pathlib import Path
from typing import Any

import numpy as np

from featinv.errors import BadInput
from featinv.features.choosing import Content, Entry, as_names, choose_features, choose_ids, said
from featinv.files import missing_extra, unreadable, within

BROKEN = (OSError, RuntimeError, ValueError, TypeError, LookupError, OverflowError, MemoryError, AttributeError)
"""What h5py raises for a damaged file (found by damaging files at random)."""
MOST_DATASETS = 10_000


def read_hdf5(path: Path, limit: int, column: str | None = None, id_column: str | None = None) -> Content:
    """Read the dataset of vectors and the dataset of names; one inside groups is named by its path, `images/features`.

    Data that lies in other files (external and virtual datasets) is refused.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise missing_extra(path, "HDF5", "h5py", "hdf5") from error
    try:
        with h5py.File(path, "r") as file:
            datasets: dict[str, Any] = {}

            def visit(name: str, item: Any) -> int | None:
                if isinstance(item, h5py.Dataset):
                    datasets[name] = item
                return 1 if len(datasets) > MOST_DATASETS else None

            file.visititems(visit)
            entries = [_entry(name, dataset, h5py) for name, dataset in datasets.items()]
            chosen = choose_features(path, entries, column)
            features = _read(path, datasets[chosen.name], limit)
            named = choose_ids(path, entries, [chosen.name], id_column, len(features) if features.ndim else None)
            names = None if named is None else _read(path, datasets[named.name], limit).tolist()
    except BadInput:
        raise
    except BROKEN as error:
        raise unreadable(path, "an HDF5 file", error) from error
    ids = None if names is None or named is None else as_names(path, named.name, names)
    return Content(features, ids, said(entries, repr(chosen.name), named))


def _read(path: Path, dataset: Any, limit: int) -> np.ndarray:
    if dataset.is_virtual or dataset.external:
        raise BadInput(f"{path}: expected {dataset.name!r} in this file, got data that lies in others; copy it in")
    # The shape may be announced without a byte being stored.
    within(path, dataset.size * dataset.dtype.itemsize, limit)
    return np.asarray(dataset[()])


def _entry(name: str, dataset: Any, h5py: Any) -> Entry:
    shape, dtype = dataset.shape, dataset.dtype
    if shape is None:
        return Entry(name, "other", "empty")
    count = shape[0] if shape else None
    text = h5py.check_string_dtype(dtype) is not None
    what = f"{'text' if text else dtype} {shape}"
    if len(shape) == 1 and text:
        return Entry(name, "text", what, count)
    if len(shape) == 1 and dtype.kind in "iu":
        return Entry(name, "integers", what, count)
    return Entry(name, "vectors" if len(shape) > 1 and dtype.kind in "fiuc" else "other", what, count)
