"""What every attack asks of the vectors that it is given."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.types import Features

Layout: TypeAlias = Mapping[str, tuple[torch.dtype, tuple[int | str, ...]]]
"""Type and shape of every tensor of an attack; a name in place of a size is any size, the same wherever it stands."""


def check_features(features: Features, feature_shape: tuple[int, ...]) -> Features:
    """Return (B, *feature_shape) vectors on the CPU as float32; what an attack does first in `reconstruct`.

    Raises BadInput when the attack was fitted on another shape, or naming the first row with NaN or infinity.
    """
    if tuple(features.shape[1:]) != feature_shape:
        raise BadInput(
            f"features: expected shape (B, {', '.join(map(str, feature_shape))}), as the attack was fitted on, got "
            f"{tuple(features.shape)}; give vectors of the same victim"
        )
    check_finite(features)
    return features.detach().to("cpu", torch.float32)


def check_finite(features: Features, first_row: int = 0) -> None:
    """Raise BadInput naming the first row with NaN or infinity; rows are counted from `first_row`."""
    finite = features.detach().flatten(1).isfinite().all(dim=1)
    if not bool(finite.all()):
        row = first_row + int((~finite).nonzero()[0])
        raise BadInput(
            f"features: expected finite numbers, got NaN or infinity in row {row}; drop or correct that vector"
        )


def check_positive(name: str, value: int | float) -> None:
    """Raise BadInput unless the option `name` is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{name}: expected a finite number above 0, got {value}")


def check_tensors(tensors: dict[str, Tensor], layout: Layout) -> None:
    """Raise BadInput unless the saved tensors have exactly the names, types and shapes that `layout` says."""
    if set(tensors) != set(layout):
        raise BadInput(
            f"weights: expected the tensors {sorted(layout)}, got {sorted(tensors)}; is this of another attack?"
        )
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in layout.items():
        got = tensors[name]
        fits = got.ndim == len(shape) and all(
            size > 0 and size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
            for want, size in zip(shape, got.shape, strict=True)
        )
        if got.dtype != dtype or not fits:
            raise BadInput(
                f"weights: expected {name} to be {dtype} of shape {shape}, got {got.dtype} {tuple(got.shape)}; "
                "is this of another attack or victim?"
            )
        if got.is_floating_point() and not bool(got.isfinite().all()):
            raise BadInput(f"weights: expected finite numbers in {name}, got NaN or infinity; the file is damaged")
