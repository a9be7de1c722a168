"""Reading .safetensors and .pt files of strangers: weights only, nothing is executed."""

import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import safetensors
import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.features.array_files import the_one, unreadable, within

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


def read_safetensors(path: Path) -> np.ndarray:
    """Read the tensor `features` (or the only one) of a safetensors file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return _numbers(path, file.get_tensor(the_one(path, list(file.keys()))), path.stat().st_size)
    except safetensors.SafetensorError as error:
        raise unreadable(path, "a safetensors file", error) from error


def read_torch(path: Path, limit: int) -> np.ndarray:
    """Read a tensor, or the entry `features` (or the only tensor) of a dict, that torch.save wrote; weights only."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise unreadable(path, "a file of torch.save (torch 1.6 or newer)", error) from error
    within(path, held, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        raise unreadable(path, "tensors and nothing else (no pickled objects)", error) from error
    if isinstance(loaded, dict):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        loaded = tensors[the_one(path, list(tensors))]
    if not isinstance(loaded, Tensor):
        raise BadInput(f"{path}: expected a tensor or a dict of tensors, got {type(loaded).__name__}")
    return _numbers(path, loaded, limit)


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
