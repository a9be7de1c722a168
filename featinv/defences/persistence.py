"""Fitted defences as a folder with `defence.json` and `weights.safetensors`, no pickle anywhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featinv import __version__, configuration, files
from featinv.defences.chains import least_batch, parts
from featinv.defences.defence import Learned
from featinv.errors import BadInput
from featinv.saved_folder import DOCUMENT_LIMIT, read_weights, write_folder

SCHEMA = 1
JSON_NAME = "defence.json"
WEIGHTS_LIMIT = 4 * 2**30


def save(defence: nn.Module, folder: Path | str) -> None:
    """Write a defence, or a `torch.nn.Sequential` of them, so that `load` applies the same map, bit by bit.

    `defence.json` lists the parts with their settings; `weights.safetensors` holds what part i learned as `i.NAME`, in
    the terms of docs/defences.md. The folder of a `RandomRotation` holds its key: keep it secret. Raises BadInput for a
    part that is not fitted or does not keep its constructor's arguments, and for a folder that holds anything else.
    """
    described: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, part in enumerate(parts(defence)):
        entry = dict(configuration.describe(part))
        if isinstance(part, Learned):
            if part.feature_shape is None and not part.is_identity:
                raise BadInput(f"{part!r}: expected a fitted defence, got one that is not; call fit first")
            shape = part.feature_shape
            entry |= {"feature_shape": None if shape is None else list(shape)}
            entry |= {"encoder_fingerprint": part.encoder_fingerprint, "layer": part.layer}
        described.append(entry)
        tensors |= {f"{number}.{name}": tensor for name, tensor in part.state_dict().items()}
    document = {"schema": SCHEMA, "featinv": __version__, "parts": described}
    write_folder(Path(folder), JSON_NAME, document, tensors, what="defence", name=repr(defence))


def load(folder: Path | str, allow: Iterable[type | str] | type | str = (), *, limit: int = WEIGHTS_LIMIT) -> nn.Module:
    """Read a defence that `save` wrote: one module, or a `torch.nn.Sequential` where there were several parts.

    Reads JSON and safetensors only. Classes must be exports of featinv, or named by `allow` (the class itself, or its
    import path), because importing one runs its code. `limit` bounds the bytes of weights. Raises BadInput that names
    the file when anything is missing, damaged, of another width or not trusted.
    """
    folder = Path(folder)
    allow = (allow,) if isinstance(allow, type | str) else tuple(allow)
    path = folder / JSON_NAME
    if not folder.is_dir():
        what = "a file (pickles and checkpoints are not read)" if folder.exists() else "nothing there"
        raise BadInput(f"{folder}: expected a folder that featinv.defences.save wrote, got {what}")
    document = files.read_json(path, DOCUMENT_LIMIT)
    _check_document(path, document)
    tensors = read_weights(folder, document["weights"], limit, "defence", JSON_NAME)
    try:
        members = [_part(number, entry, tensors, allow) for number, entry in enumerate(document["parts"])]
        defence = members[0] if len(members) == 1 else nn.Sequential(*members)
        _try_out(defence)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path}: expected the description of a defence, got one that does not make it "
            f"({type(error).__name__}: {error}); was it written by another version?"
        ) from error
    return defence


def _check_document(path: Path, document: Any) -> None:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise BadInput(f"{path}: expected schema {SCHEMA}, got {got!r}; use the version of featinv that wrote it")
    listed = document.get("parts")
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise BadInput(f"{path}: expected 'parts' to list at least one defence, got {listed!r}")
    if not isinstance(document.get("weights"), dict):
        raise BadInput(f"{path}: expected 'weights' to describe the weights, got {document.get('weights')!r}")


def _part(number: int, entry: dict[str, Any], tensors: dict[str, Tensor], allow: tuple[type | str, ...]) -> nn.Module:
    part = configuration.rebuild({"class": entry["class"], "args": entry["args"]}, allow)
    if not isinstance(part, nn.Module):
        raise BadInput(f"part {number}: expected a module, got {entry['class']}")
    own = {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith(f"{number}.")}
    if broken := [name for name, value in own.items() if not bool(value.isfinite().all())]:
        raise BadInput(f"part {number}: expected finite numbers in {broken[0]!r}, got NaN or infinity")
    if isinstance(part, Learned):
        for name, value in own.items():
            part.register_buffer(name, value)
        shape = entry["feature_shape"]
        part.feature_shape = None if shape is None else tuple(int(size) for size in shape)
        part.encoder_fingerprint, part.layer = entry["encoder_fingerprint"], entry["layer"]
    else:
        part.load_state_dict(own)
    return part.requires_grad_(False)


@torch.no_grad()
def _try_out(defence: nn.Module) -> None:
    """Apply a loaded defence to zeros, so that weights of another width are refused here and not at the release."""
    shape = next((shape for part in parts(defence) if (shape := getattr(part, "feature_shape", None))), None)
    if shape is not None:
        defence(torch.zeros(max(2, least_batch(defence)), *shape))
