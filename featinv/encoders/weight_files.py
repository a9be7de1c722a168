"""Weights from files, without unpickling: safetensors, and torch files of plain tensors."""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from featinv.errors import BadInput


def read_safetensors(path: str | os.PathLike[str], *, limit: int = 4 << 30) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises BadInput when the file is missing, larger than `limit` bytes, truncated, or no safetensors file (a pickle).
    """
    file = check_file(path, limit=limit)
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(
            f"{file}: expected a complete .safetensors file, got one that cannot be read ({error}); it is truncated or "
            "of another format (a pickle is never read here)"
        ) from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors, .pt or .pth file; torch files are read with weights_only=True.

    A torch file may hold them under "state_dict". Raises BadInput naming the file when it cannot be used.
    """
    file = check_file(path, limit=64 << 30)
    if file.suffix not in (".pt", ".pth", ".th", ".bin"):
        return read_safetensors(file, limit=64 << 30)[0]
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise BadInput(
            f"{file}: expected plain tensors that torch.load(weights_only=True) reads, got {_first_line(error)}; "
            "save its state_dict as .safetensors"
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise BadInput(f"{file}: expected a state dict (names to tensors), got {type(loaded).__name__}; save that")
    return {str(name): tensor for name, tensor in loaded.items()}


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str | os.PathLike[str]) -> None:
    """Copy the tensors into the network; raises BadInput as `check_weights` does."""
    check_weights(network, tensors, source=source)
    network.load_state_dict(dict(tensors), strict=False)


def check_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str | os.PathLike[str]) -> None:
    """Raise BadInput unless names and shapes match (`num_batches_tracked` may be missing) and weights are finite.

    It names the source and the first names that differ.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in own]
    if missing or unexpected:
        raise BadInput(
            f"{os.fspath(source)}: expected the weights of {type(network).__name__}, but {_some('missing', missing)}"
            f"{'; ' if missing and unexpected else ''}{_some('unexpected', unexpected)}; give the file of this network "
            "(same depth and number of classes)"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise BadInput(
                f"{os.fspath(source)}: expected {name} of shape {tuple(own[name].shape)}, got {tuple(tensor.shape)}; "
                "give the file of this network (same depth and number of classes)"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadInput(f"{os.fspath(source)}: expected finite weights, got NaN or infinity in {name}; train again")


def check_file(path: str | os.PathLike[str], *, limit: int) -> Path:
    """Return the path of a plain file of at most `limit` bytes; raises BadInput otherwise."""
    file = Path(path)
    if not file.is_file():
        raise BadInput(f"{file}: expected a file of weights, found {'a folder' if file.is_dir() else 'nothing there'}")
    if not 0 < file.stat().st_size <= limit:
        raise BadInput(f"{file}: expected 1 to {limit} bytes of weights, got {file.stat().st_size}")
    return file


def read_json_metadata(metadata: Mapping[str, str], key: str, *, source: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object stored under a metadata key; raises BadInput when it is missing or not an object."""
    try:
        value = json.loads(metadata[key])
    except (KeyError, json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"{os.fspath(source)}: expected JSON under the metadata key {key!r}, got none") from error
    if not isinstance(value, dict):
        raise BadInput(f"{os.fspath(source)}: expected a JSON object under {key!r}, got {type(value).__name__}")
    return value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{len(names)} {what} ({', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''})"
