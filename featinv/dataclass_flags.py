"""The flags of a console command, generated from its settings: a frozen dataclass says everything once.

A field gives a flag's name, type, choices and default, and the text under the field is its help. `flag(...)`, as the
field's metadata, adds the heading under which it stands and what else a command line needs. Nothing here imports torch.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from featinv.component_flags import dataclass_of, pairs
from featinv.configuration import GRAMMAR, PACKAGES, Component, component_value, load_yaml, nearest, parse_component
from featinv.environment import WandbMode
from featinv.errors import BadInput


@dataclass(frozen=True)
class _Flag:
    group: str
    metavar: str | None
    name: str
    several: bool
    read: Callable[[str], Any] | None


def flag(
    group: str,
    metavar: str | None = None,
    *,
    name: str = "",
    several: bool = False,
    read: Callable[[str], Any] | None = None,
) -> Mapping[str, Any]:
    """Return the metadata of a dataclass field that is a flag under the heading `group`.

    `name` is the flag, by default `--` and the field's name; a tuple takes one value each time that the flag is given,
    or with `several` all that follow it; `read` turns the text into the value, and raises BadInput for a bad one.
    """
    return {"flag": _Flag(group, metavar, name, several, read)}


def read_tracking(text: str) -> dict[str, Any]:
    """Return the settings of wandb that one word (online, offline, disabled) or a YAML mapping stands for."""
    value = component_value(text)
    if isinstance(value, dict):
        return value
    if text not in get_args(WandbMode):
        raise BadInput(f"invalid choice: {text!r} (choose from {', '.join(get_args(WandbMode))})")
    return {"mode": text}


def add_flags(parser: argparse.ArgumentParser, settings: type, groups: Sequence[str]) -> None:
    """Add a flag for each field of a dataclass that has the metadata of `flag`, under these headings in this order.

    Also `--config FILE`, a YAML file of the fields; flags win over it.
    """
    headings = {group: parser.add_argument_group(group) for group in groups}
    texts = _help_texts(settings)
    for item, spec in _flags(settings):
        headings[spec.group].add_argument(
            _name(item, spec),
            dest=item.name,
            required=item.default is item.default_factory is dataclasses.MISSING,
            help=(texts.get(item.name, "") + _default_text(item)).replace("%", "%%"),
            **_reading(item, spec),
        )
    headings[groups[-1]].add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with any of these settings, by the names of the flags; flags win over it",
    )


def parse_settings(
    parser: argparse.ArgumentParser, settings: type, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line whose flags `add_flags` added: (namespace with every field's value, what is unknown).

    A component is written as in the recipes: `--victim torchvision:resnet50,layer=avgpool`, or field by field
    (`--victim.name`, `--victim.args.layer`, `--victim.layer`). Raises BadInput, naming the flag or the file.
    """
    rest, components = _take_components(list(_with_file(arguments, settings)), settings)
    namespace, unknown = parser.parse_known_args(rest)
    for item, _ in _flags(settings):
        value = components.get(item.name, getattr(namespace, item.name))
        setattr(namespace, item.name, tuple(value) if isinstance(value, list) else value)
    return namespace, unknown


def _flags(settings: type) -> Iterator[tuple[dataclasses.Field, _Flag]]:
    for item in dataclasses.fields(settings):
        if "flag" in item.metadata:
            yield item, item.metadata["flag"]


def _name(item: dataclasses.Field, spec: _Flag) -> str:
    return spec.name or f"--{item.name.replace('_', '-')}"


def _help_texts(settings: type) -> dict[str, str]:
    import docstring_parser

    parsed = docstring_parser.parse_from_object(settings)
    return {param.arg_name: " ".join((param.description or "").split()) for param in parsed.params}


def _default_text(item: dataclasses.Field) -> str:
    nothing = item.default is dataclasses.MISSING or item.default is None or item.default == ()
    return "" if nothing or isinstance(item.default, bool) else f" (default: {item.default})"


def _reading(item: dataclasses.Field, spec: _Flag) -> dict[str, Any]:
    """Return how argparse reads the values of a field: from its annotation."""
    default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    kinds = [kind for kind in _alternatives(item.type) if kind is not type(None)]
    if bool in kinds:
        return {"action": argparse.BooleanOptionalAction if default else "store_true", "default": default}
    options: dict[str, Any] = {"default": None if default is dataclasses.MISSING else default, "metavar": spec.metavar}
    if spec.read is not None:
        return {**options, "type": _reader(spec.read)}
    if dataclass_of(item.type) is Component:
        return {**options, "metavar": spec.metavar or GRAMMAR}
    if get_origin(kinds[0]) is tuple:
        return {
            **options,
            "default": [],
            **({"action": "extend", "nargs": "+"} if spec.several else {"action": "append"}),
        }
    if get_origin(kinds[0]) is Literal:
        return {"default": options["default"], "choices": get_args(kinds[0])}
    return {**options, "type": float if float in kinds else kinds[0]}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return read(text)
        except BadInput as error:
            raise argparse.ArgumentTypeError(str(error)) from error  # argparse puts the flag before it

    return checked


# ------------------------------------------------------------------------------------------------------ components

_ALSO = {"victim.encoder": "victim", "victim.defence": "defence"}
"""as the recipes write them"""


def _take_components(arguments: Sequence[str], settings: type) -> tuple[list[str], dict[str, Component | str]]:
    """Return what is no component's flag, and the component of each field that some flag names.

    One that is named as a whole stays text for the dataclass to read, because reading it may import torch.
    """
    defaults = {item.name: item.default for item, _ in _flags(settings) if dataclass_of(item.type) is Component}
    rest, components, keywords = list[str](), dict[str, Component | str](), list[tuple[str, str, str, str]]()
    for name, value, given in pairs(arguments):
        path = name.removeprefix("--") if name.startswith("--") else ""
        path = next((own + path[len(also) :] for also, own in _ALSO.items() if f"{path}.".startswith(f"{also}.")), path)
        owner, _, keyword = path.partition(".")
        if owner not in defaults:
            rest += given
        elif value is None:
            raise BadInput(f"{name}: expected a value, got none")
        elif keyword:
            keywords.append((owner, keyword, value, name))
        else:
            components[owner] = _mapping(value, name) if value.startswith("{") else value
    order = ["name", "args"]
    for owner, keyword, value, name in sorted(keywords, key=lambda one: order.index(one[1]) if one[1] in order else 2):
        base = components.get(owner, defaults[owner])
        base = parse_component(base, PACKAGES[owner], f"--{owner}") if isinstance(base, str) else base
        components[owner] = _with_keyword(base, keyword, value, owner, name)
    return rest, components


def _mapping(text: str, name: str) -> Component:
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        value = None
    args = value.get("args") or {} if isinstance(value, Mapping) else None
    if (
        not isinstance(value, Mapping)
        or not {"name"} <= set(value) <= {"name", "args"}
        or not isinstance(args, Mapping)
    ):
        raise BadInput(f"{name}: expected {GRAMMAR} or {{name: ..., args: {{...}}}}, got {text!r}")
    return Component(str(value["name"]), dict(args))


def _with_keyword(base: Any, keyword: str, value: str, owner: str, name: str) -> Component:
    if keyword == "name":
        return Component(value, dict(base.args) if isinstance(base, Component) else {})
    if not isinstance(base, Component):
        raise BadInput(f"{name}: expected --{owner} NAME beside it, the component whose keyword this is")
    if keyword == "args":
        args = component_value(value)
        if not isinstance(args, dict):
            raise BadInput(f"{name}: expected {{KEY: VALUE, ...}}, got {value!r}")
        return Component(base.name, args)
    key = keyword.removeprefix("args.")
    if not key.isidentifier():
        raise BadInput(f"{name}: expected --{owner}.KEYWORD, got {key!r} as keyword")
    return Component(base.name, {**base.args, key: component_value(value)})


# -------------------------------------------------------------------------------------------------- --config FILE


def _with_file(arguments: Sequence[str], settings: type) -> Iterator[str]:
    """Yield a command line with the settings of `--config FILE` before everything else, so that flags win."""
    rest = list[str]()
    for name, value, given in pairs(arguments):
        if name == "--config":
            if value is None:
                raise BadInput("--config: expected a YAML file, got none")
            yield from _as_flags(value, settings)
        else:
            rest += given
    yield from rest


def _as_flags(file: str, settings: type) -> Iterator[str]:
    try:
        with open(file, encoding="utf-8") as opened:
            content = load_yaml(opened.read())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"--config {file}: expected a YAML file: {error}") from error
    if not isinstance(content, Mapping):
        raise BadInput(f"--config {file}: expected settings by name, got {type(content).__name__}")
    specs = {item.name: (item, spec) for item, spec in _flags(settings)}
    specs |= {_name(item, spec).removeprefix("--"): (item, spec) for item, spec in _flags(settings)}
    for key, value in content.items():
        if key not in specs:
            raise BadInput(f"--config {file}: there is no setting {key!r}{nearest(str(key), specs)}")
        yield from _value_as_flags(*specs[key], value)


def _value_as_flags(item: dataclasses.Field, spec: _Flag, value: Any) -> Iterator[str]:
    name = _name(item, spec)
    if isinstance(value, bool):
        yield from [name] if value else [name.replace("--", "--no-", 1)] if item.default else []
    elif isinstance(value, Mapping) and dataclass_of(item.type) is Component and not set(value) <= {"name", "args"}:
        for key, inner in value.items():
            yield f"{name}.{key}={_text(inner)}"
    elif isinstance(value, list):
        for one in value:
            yield f"{name}={_text(one)}"
    elif value is not None:
        yield f"{name}={_text(value)}"


def _text(value: Any) -> str:
    containers = isinstance(value, Mapping | list)
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).strip() if containers else str(value)
