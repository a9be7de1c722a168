"""What is attacked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.configuration import Component, build

if TYPE_CHECKING:
    from featinv.victim import Victim


@dataclass(frozen=True)
class VictimSettings:
    """What is attacked: a frozen encoder, and what the publisher does to the vectors before release."""

    encoder: Component = Component("tiny")
    """an export of featinv.encoders, or the import path of a function of yours that returns an encoder"""
    defence: Component = Component("Identity")
    """an export of featinv.defences, or the import path of a class of yours"""


def build_victim(settings: VictimSettings, folders: Mapping[str, str | None] | None = None) -> "Victim":
    """Build the victim; `{weights}` in a component's arguments stands for the folder of that name in `folders`."""
    encoder = build(fill(settings.encoder, folders), fi.encoders)
    return fi.Victim(encoder, build(fill(settings.defence, folders), fi.defences))


def fill(component: Component, folders: Mapping[str, str | None] | None) -> Component:
    """Put the folders that the caller named into a component's arguments: `{weights}/cifar10_resnet20.safetensors`."""

    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: filled(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        for name, folder in (folders or {}).items():
            if f"{{{name}}}" in value:
                if folder is None:
                    raise fi.BadInput(f"--{name}: {component.name} needs {value!r}; say where it is with --{name} DIR")
                value = value.replace(f"{{{name}}}", str(folder))
        return value

    return replace(component, args={key: filled(value) for key, value in component.args.items()})
