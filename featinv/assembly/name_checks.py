"""Names and keywords of a command line, checked before any image is read."""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from featinv.assembly.attack_settings import Term
from featinv.configuration import Component, find
from featinv.errors import BadInput

_PACKAGES = {
    "attack": "featinv.attacks",
    "decoder": "featinv.decoders",
    "defence": "featinv.defences",
    "discriminator": "featinv.discriminators",
    "encoder": "featinv.encoders",
    "judge": "featinv.encoders",
    "network": "featinv.encoders.networks",
    "losses": "featinv.losses",
    "penalties": "featinv.losses",
}
"""where the name in a field of this name is looked up"""


def check_names(settings: Any, prefix: str = "") -> None:
    """Raise BadInput for a name that does not exist or a keyword that it does not take, in a (nested) dataclass.

    The message begins with the flag, as in `--decoder: ...`.
    """
    for item in dataclasses.fields(settings):
        _check(getattr(settings, item.name), item.name, f"{prefix}{item.name}")


def _check(value: Any, field: str, flag: str) -> None:
    if isinstance(value, Term):
        _resolve(Component(value.name, value.args), field, flag)
    elif isinstance(value, Component):
        _resolve(value, field, flag)
    elif dataclasses.is_dataclass(value):
        check_names(value, f"{flag}.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check(item, field, f"{flag}.{name}")
    elif isinstance(value, tuple | list):
        for item in value:
            _check(item, field, flag)


def _resolve(part: Component, field: str, flag: str) -> None:
    if field not in _PACKAGES:
        return
    try:
        factory = find(part.name, importlib.import_module(_PACKAGES[field]))
    except BadInput as error:
        raise BadInput(f"--{flag}: {error}") from error
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = [name for name in part.args if name not in parameters]
    if unknown:
        raise BadInput(
            f"--{flag}.{unknown[0]}: {part.name} takes no such keyword; it takes {', '.join(parameters) or 'none'}"
        )
