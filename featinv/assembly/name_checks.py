"""Names and keywords of a command line, checked before any image is read."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from featinv.assembly.attack_settings import Term
from featinv.configuration import PACKAGES, Component, check_component


def check_names(settings: Any, prefix: str = "") -> None:
    """Raise BadInput for a name that does not exist or a keyword that it does not take, in a (nested) dataclass.

    The message begins with the flag, as in `--decoder: ...`.
    """
    for item in dataclasses.fields(settings):
        _check(getattr(settings, item.name), item.name, f"{prefix}{item.name}")


def _check(value: Any, field: str, flag: str) -> None:
    if isinstance(value, Term):
        value = Component(value.name, value.args)
    if isinstance(value, Component):
        if field in PACKAGES:
            check_component(value, PACKAGES[field], f"--{flag}")
    elif dataclasses.is_dataclass(value):
        check_names(value, f"{flag}.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check(item, field, f"{flag}.{name}")
    elif isinstance(value, tuple | list):
        for item in value:
            _check(item, field, flag)
