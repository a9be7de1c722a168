"""Judges and surrogates on disk: one safetensors file whose metadata say which of our networks it holds."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from featinv.configuration import describe
from featinv.errors import BadInput
from featinv.files import atomic_file

from . import networks
from .encoder import Encoder
from .judging import Judge
from .weight_files import check_weights, load_weights, read_json_metadata, read_safetensors

_SCHEMA = 1
_LIMIT = 2 << 30
_KEY = "featinv"
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "network": str,
    "args": dict,
    "name": str,
    "family": str,
    "trained_on": str,
    "classes": list,
    "input_size": int,
    "mean": list,
    "std": list,
}


def judge(source: str | os.PathLike[str]) -> Judge:
    """Return the packaged judge of that name ("scenes-vgg"), or one from a .safetensors file written by `save_judge`.

    Nothing is unpickled, and only our own networks are built. Raises BadInput for an unknown name and for a file that
    is missing, truncated, over 2 GiB, or of another kind.
    """
    packaged = {file.stem: file for file in Path(__file__).parent.glob("weights/*-*.safetensors")}
    path = packaged.get(os.fspath(source), Path(source))
    if path.suffix != ".safetensors" and not path.exists():
        raise BadInput(
            f"judge: expected {' or '.join(sorted(packaged)) or 'a packaged name'} or a .safetensors file written by "
            f"save_judge, got {os.fspath(source)!r}; train one by recipes/train_judge.py"
        )
    network, metadata = read_classifier(path)
    return Judge(
        network,
        name=metadata["name"],
        family=metadata["family"],
        trained_on=metadata["trained_on"],
        classes=metadata["classes"],
        input_size=metadata["input_size"],
        mean=metadata["mean"],
        std=metadata["std"],
    )


def save_judge(judge: Judge, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Write a judge made of one of `featinv.encoders.networks` to a .safetensors file, replacing it at once.

    `half` stores float16 (half the size; read back as float32). Raises BadInput for another network or file name.
    """
    _save(judge, path, list(judge.classes), half=half)


def save_encoder(encoder: Encoder, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Write an encoder made of one of `featinv.encoders.networks`, a surrogate say, to a .safetensors file.

    The layer is not part of it: `saved` cuts the network where you say. Replaces the file at once. Raises BadInput for
    another network or file name.
    """
    _save(encoder, path, [], half=half)


def saved(source: str | os.PathLike[str], *, layer: str = "avgpool") -> Encoder:
    """Return an encoder from a .safetensors file that `save_encoder` or `save_judge` wrote, cut at `layer`.

    Nothing is unpickled, and only our own networks are built. Raises BadInput for an unknown layer and for a file that
    is missing, truncated, over 2 GiB, or of another kind.
    """
    path = Path(source)
    network, metadata = read_classifier(path)
    return _encoder(network, metadata, layer)


def _encoder(network: nn.Module, metadata: dict[str, Any], layer: str | None) -> Encoder:
    return Encoder(
        network,
        name=metadata["name"] if layer is None else f"{metadata['name']}/{layer}",
        family=metadata["family"],
        trained_on=metadata["trained_on"],
        layer=layer,
        input_size=metadata["input_size"],
        mean=metadata["mean"],
        std=metadata["std"],
    )


def _save(kept: Judge | Encoder, path: str | os.PathLike[str], classes: list[str], *, half: bool) -> None:
    if not os.fspath(path).endswith(".safetensors"):
        raise BadInput(f"{os.fspath(path)}: expected a name that ends in .safetensors; rename it")
    metadata, tensors = _described(kept, classes, torch.float16 if half else torch.float32)
    with atomic_file(Path(path)) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(metadata)})


def _described(
    kept: Judge | Encoder, classes: list[str], precision: torch.dtype
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    network = kept.network
    kind = type(network).__name__
    if kind not in networks.__all__ or type(network) is not getattr(networks, kind):
        what = type(kept).__name__.lower()
        got = getattr(network, "unsaved", f"{kind}; save it yourself")
        raise BadInput(f"{what}: expected one of {', '.join(networks.__all__)} to save, got {got}")
    metadata = {
        "schema": _SCHEMA,
        "network": kind,
        "args": describe(network)["args"],
        "name": kept.name.partition("/")[0],
        "family": kept.family,
        "trained_on": kept.trained_on,
        "classes": classes,
        "input_size": kept.image_size,
        **kept.normalisation,
    }
    return metadata, {
        name: tensor.detach().cpu().to(precision).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def encoder_state(encoder: Encoder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `encoder_from_state` needs: for attacks that look through an encoder when they reconstruct.

    Raises BadInput for an encoder that is not made of one of `featinv.encoders.networks`.
    """
    metadata, tensors = _described(encoder, [], torch.float32)
    return {**metadata, "layer": encoder.layer}, tensors


def encoder_from_state(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> Encoder:
    """Rebuild the encoder. Raises BadInput for metadata of no network of ours, and for weights of another one."""
    source = Path(f"encoder {metadata.get('name')}")
    network, metadata = _classifier(metadata, tensors, source)
    layer = metadata.get("layer")
    return _encoder(network, metadata, None if layer is None else str(layer))


def read_classifier(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network and the metadata of a file written by `save_judge`; raises BadInput for any other file."""
    tensors, header = read_safetensors(path, limit=_LIMIT)
    return _classifier(read_json_metadata(header, _KEY, source=path), tensors, path)


def _classifier(metadata: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> tuple[nn.Module, dict[str, Any]]:
    _check(metadata, path)
    # First without memory: a stranger's file may name a network of any size, but must hold its weights.
    with torch.device("meta"):
        check_weights(_build(metadata["network"], metadata["args"], path), tensors, source=path)
    network = _build(metadata["network"], metadata["args"], path)
    load_weights(network, {key: value.float() for key, value in tensors.items()}, source=path)
    return network, metadata


def _check(metadata: dict[str, Any], path: Path) -> None:
    for field, kind in _FIELDS.items():
        if not isinstance(metadata.get(field), kind) or isinstance(metadata.get(field), bool):
            raise BadInput(f"{path}: expected {field} in its metadata, got {metadata.get(field)!r}; save it again")
    if metadata["schema"] != _SCHEMA:
        raise BadInput(f"{path}: expected a judge of schema {_SCHEMA}, got {metadata['schema']}; use a newer featinv")
    if not all(isinstance(name, str) for name in metadata["classes"]):
        raise BadInput(f"{path}: expected class names in its metadata, got {metadata['classes'][:3]!r}")
    if not all(isinstance(x, int | float) for x in [*metadata["mean"], *metadata["std"]]):
        raise BadInput(f"{path}: expected numbers as mean and std, got {metadata['mean']!r}, {metadata['std']!r}")


def _build(kind: str, args: dict[str, Any], path: Path) -> nn.Module:
    if kind not in networks.__all__:
        raise BadInput(f"{path}: expected one of the networks {', '.join(networks.__all__)}, got {kind!r}")
    try:
        network: nn.Module = getattr(networks, kind)(**args)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path}: expected arguments of {kind}, got {args!r} ({error}); save it again") from error
    return network


_TINY = Path(__file__).parent / "weights" / "tiny.safetensors"


def tiny(*, layer: str = "avgpool") -> Encoder:
    """Return the packaged small ResNet (input 32 px, 64-d pooled features), trained on `featinv.data.scenes`.

    Its metadata is docs/encoder_tiny.md, its recipe recipes/train_tiny.py. Raises BadInput for an unknown layer.
    """
    return saved(_TINY, layer=layer)
