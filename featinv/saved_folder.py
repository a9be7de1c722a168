"""A folder to share: one JSON document and `weights.safetensors`, written at once, read without pickle and with limits.

The document says bytes and sha256 of the weights, so that a truncated or damaged copy is named.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from featinv import files
from featinv.errors import BadInput

WEIGHTS_NAME = "weights.safetensors"
DOCUMENT_LIMIT = 16 * 2**20


def write_folder(
    folder: Path, document_name: str, document: dict[str, Any], tensors: dict[str, Tensor], *, what: str, name: str
) -> None:
    """Write document and weights; the folder appears complete or not at all, and replaces one saved there before.

    `what` is "attack" or "defence", `name` the one that is saved. Raises BadInput when the folder holds anything else,
    and when the document is not JSON-able.
    """
    refuse_other_contents(folder, document_name, what)
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name}: expected state() to give a JSON-able configuration; {error}") from error
    with files.publish_folder(folder) as draft:
        weights = draft / WEIGHTS_NAME
        save_file(_apart(tensors), weights)
        record = {"bytes": weights.stat().st_size, "sha256": files.sha256_file(weights)}
        files.write_json(draft / document_name, {**document, "weights": record})


def refuse_other_contents(folder: Path, document_name: str, what: str) -> None:
    """Raise BadInput for a file, and for a folder with anything in it that saving would remove."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder to save the {what} in, got a file; choose another name")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if others := sorted(names - {document_name, WEIGHTS_NAME}):
        raise BadInput(
            f"{folder}: expected a new folder or one with a saved {what} only, got one with {others[0]!r} in it, which "
            "saving would remove; choose another folder"
        )


def read_weights(folder: Path, record: dict[str, Any], limit: int, what: str, document_name: str) -> dict[str, Tensor]:
    """Read the weights that the document's `record` describes; raise BadInput when they are not those, or too many."""
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise BadInput(f"{path}: expected the weights of the {what}, found no such file; copy the whole folder")
    size = path.stat().st_size
    if size > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes, got {size}; if you trust it, give limit={size}")
    if size != record.get("bytes"):
        raise BadInput(f"{path}: expected {record.get('bytes')} bytes, got {size}; it is truncated, copy it again")
    if files.sha256_file(path) != record.get("sha256"):
        raise BadInput(
            f"{path}: expected the sha256 that {document_name} tells, got another; it is damaged, copy it again"
        )
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise BadInput(f"{path}: expected a safetensors file, got something else ({error})") from error


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous CPU tensors that share no memory, as safetensors wants them (tied weights are stored twice)."""
    storages: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        whole = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in storages
        apart[name] = tensor if whole else tensor.clone()
        storages.add(storage.data_ptr())
    return apart
