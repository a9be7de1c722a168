"""Attacks to share: a folder with `attack.json` and `weights.safetensors`, no pickle anywhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from featinv import __version__, configuration, files
from featinv.errors import BadInput
from featinv.saved_folder import DOCUMENT_LIMIT, WEIGHTS_NAME, read_weights, refuse_other_contents, write_folder

SCHEMA = 2
JSON_NAME = "attack.json"
WEIGHTS_LIMIT = 16 * 2**30
"""Bytes of weights that we are willing to load, unless the caller allows more."""


def save_attack(attack: Any, folder: Path | str) -> None:
    """Write a fitted attack to `folder`, so that `load_attack` makes the same reconstructions of it, bit by bit.

    The folder appears complete or not at all; an attack saved there before is replaced only then. Neighbour attacks
    contain the public images themselves. Call it in the main process only. Raises BadInput for an attack that is not
    fitted or cannot describe itself, and for a folder that holds anything but a saved attack.
    """
    folder = Path(folder)
    name = type(attack).__name__
    for method in ("state", "from_state"):
        if not callable(getattr(attack, method, None)):
            raise BadInput(f"{name}: expected an attack with state() and from_state(), got none of {method}; add it")
    refuse_other_contents(folder, JSON_NAME, "attack")
    config, tensors = attack.state()
    shape = attack.feature_shape
    document = {
        "schema": SCHEMA,
        "featinv": __version__,
        "class": configuration.public_path(type(attack)),
        "feature_shape": [shape] if isinstance(shape, int) else list(shape),
        "image_size": attack.image_size,
        "victim": attack.victim,
        "config": config,
    }
    write_folder(folder, JSON_NAME, document, tensors, what="attack", name=name)


def load_attack(
    folder: Path | str, allow: Iterable[type | str] | type | str = (), *, limit: int = WEIGHTS_LIMIT
) -> Any:
    """Read an attack that `save_attack` wrote; its `reconstruct` gives the same images, bit by bit, on this machine.

    Reads JSON and safetensors only. The class must be one that featinv exports, or one that `allow` names (the class
    itself, or its import path), because importing it runs its code. `limit` bounds the bytes of weights. Raises
    BadInput that names the file when anything is missing, damaged, of another attack or not trusted.
    """
    folder = Path(folder)
    allow = (allow,) if isinstance(allow, type | str) else tuple(allow)
    if not folder.is_dir():
        got = "a file (pickles and checkpoints are not read)" if folder.exists() else "nothing there"
        raise BadInput(f"{folder}: expected a folder that save_attack wrote ({JSON_NAME}, {WEIGHTS_NAME}), got {got}")
    document = _read_document(folder / JSON_NAME)
    tensors = read_weights(folder, document["weights"], limit, "attack", JSON_NAME)
    try:
        kind: Any = configuration.trusted_class(document["class"], allow)
        attack = kind.from_state(document["config"], tensors, allow)
        if _shape(attack.feature_shape) != _shape(document["feature_shape"]):
            raise BadInput(
                f"expected feature_shape {_shape(attack.feature_shape)}, as the weights have, got "
                f"{_shape(document['feature_shape'])}"
            )
    except BadInput as error:
        raise BadInput(f"{folder}: {error}") from error
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(
            f"{folder / JSON_NAME}: expected the description of a {document['class']}, got one that does not make it "
            f"({type(error).__name__}: {error}); was it written by another version?"
        ) from error
    return attack


def _read_document(path: Path) -> dict[str, Any]:
    document = files.read_json(path, DOCUMENT_LIMIT)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise BadInput(
            f"{path}: expected schema {SCHEMA}, which featinv {__version__} reads, got {got!r}; "
            "use the version of featinv that wrote it, or fit the attack again"
        )
    for key, kind in (("class", str), ("config", dict), ("feature_shape", list), ("weights", dict)):
        if not isinstance(document.get(key), kind):
            raise BadInput(f"{path}: expected {key!r} to be a {kind.__name__}, got {document.get(key)!r}; fit it again")
    return document


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(torch.Size(shape))
