"""What the encoders by name share: families, refusals of unknown names and of weights that cannot be had."""

import contextlib
import difflib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import nn

from featinv.errors import BadInput

LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, OSError, ImportError)
"""what model libraries raise on a name, a configuration or a file that they cannot use"""

_FAMILIES = {
    "vision_transformer": "vit",
    "deit": "vit",
    "beit": "vit",
    "eva": "vit",
    "dinov2": "vit",
    "dinov2_with_registers": "vit",
    "dinov3_vit": "vit",
    "clip": "vit",
    "clip_vision_model": "vit",
    "siglip": "vit",
    "siglip_vision_model": "vit",
    "siglip2_vision_model": "vit",
    "swin_transformer": "swin",
    "swin_transformer_v2": "swin",
    "swinv2": "swin",
    "modifiedresnet": "resnet",
    "visiontransformer": "vit",
}


def family_of(module: str) -> str:
    """Return the family of a network from the name of its library's module, model type or class, as judges have it."""
    return _FAMILIES.get(module.lower(), module.lower())


def unknown_model(kind: str, name: str, names: Iterable[str]) -> BadInput:
    """Return the refusal of a model that does not exist, with the nearest names."""
    near = difflib.get_close_matches(name, list(names), n=4, cutoff=0.4)
    listed = f"; nearest: {', '.join(near)}" if near else ""
    return BadInput(f"encoder: expected a model of {kind}, got {name!r}{listed}")


def first_line(error: BaseException) -> str:
    """Return the first line of what a library said, or the name of its error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def no_weights(kind: str, name: str, error: BaseException, *, ways: str) -> BadInput:
    """Return the refusal of a model whose trained weights cannot be had, with the ways to get them."""
    return BadInput(f"weights: those of {kind} {name!r} cannot be had ({first_line(error)}); {ways}")


def short_name(name: str) -> str:
    """Return a model's name without the folders before it: the name stands in reports, which are shared."""
    local = name.startswith("local-dir:") or Path(name).is_dir()
    return Path(name.removeprefix("local-dir:")).name if local else name


def titled(kind: str, name: str, layer: str | None, readout: str) -> str:
    """Return the name of an encoder: library, model, and the layer and readout where they are not its own."""
    return "/".join([kind, short_name(name), *([layer] if layer else []), *([readout] if readout != "pooled" else [])])


def frozen(network: nn.Module) -> nn.Module:
    """Return the network in eval mode, in float32, on the CPU."""
    return network.eval().float().cpu()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep a library from logging what it raises as well: an error is one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
