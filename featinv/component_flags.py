"""Components on a command line and in YAML: every short form is written out as the parser of dataclasses reads it.

One grammar (`featinv.configuration.parse_component`) for recipes, for `featinv audit`, and for configuration files.
Nothing here imports torch, so that every `--help` answers at once.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

import yaml

from featinv.configuration import PACKAGES, Component, load_yaml, parse_component


def expand(arguments: Sequence[str], config: type) -> list[str]:
    """Return a command line for the fields of a dataclass with every short form written out.

    `--decoder X:width=8` becomes `--decoder.name X --decoder.args {width: 8}`, and `--decoder.width 8` becomes
    `--decoder.args.width 8`. Text that stands for a component inside YAML becomes a mapping (`written_out`). Where the
    dataclass has `victim: VictimSettings`, `--victim X` and `--defence X` stand for `--victim.encoder X` and
    `--victim.defence X`. A flag that names a whole component replaces the one of the configuration file; the flags of
    its keywords apply after it, wherever they stand. Raises BadInput, naming the flag.
    """
    components = list(component_paths(config))
    first, last = list[str](), list[str]()
    for flag, value, given in pairs(arguments):
        if not flag.startswith("--"):
            first += given
            continue
        if flag == "--config":
            first.append(_joined(flag, value and _config(value, config)))
            continue
        path = _in_full(flag.removeprefix("--"), config, value)
        owner = next(
            (component for component in components if path == component or path.startswith(f"{component}.")), None
        )
        if owner is None:
            full = _text_written_out(value, type_at(config, path.removesuffix("+")), flag, path)
            first += given if full == value else [_joined(f"--{path}", full)]
        elif path != owner:
            field, *more = path[len(owner) + 1 :].split(".")
            keyword = path if field in ("name", "args") else ".".join([owner, "args", field, *more])
            last.append(_joined(f"--{keyword}", value))
        elif value is None or value.startswith("{"):
            first.append(_joined(f"--{path}", value))
        else:
            named = parse_component(value, PACKAGES.get(owner.rpartition(".")[2], ""), flag)
            first += [f"--{path}.name={named.name}", f"--{path}.args={_as_yaml(named.args)}"]
    return first + last


def written_out(value: Any, annotation: Any, field: str, where: str) -> Any:
    """Return a value of a YAML file, of a field with this annotation, with components as {name, args}.

    Text stands for a component; for a dataclass whose first field is a component it stands for that field:
    `victim: tiny` is `victim: {encoder: {name: tiny, args: {}}}`. Raises BadInput that begins with `where`.
    """
    kind = dataclass_of(annotation)
    if kind is None:
        inner = get_args(annotation)
        if isinstance(value, list) and get_origin(annotation) in (tuple, list):
            return [written_out(item, inner[0], field, where) for item in value]
        if isinstance(value, Mapping) and get_origin(annotation) is dict:
            return {key: written_out(item, inner[1], field, f"{where}.{key}") for key, item in value.items()}
        return value
    items = {item.name: item for item in dataclasses.fields(kind)}
    # An inherited field may stand before the component that a short text names.
    first = next((item for item in items.values() if item.type is Component), next(iter(items.values())))
    if isinstance(value, str):
        if {"name", "args"} <= items.keys():
            return dataclasses.asdict(parse_component(value, PACKAGES.get(field, ""), where))
        return {first.name: written_out(value, first.type, first.name, where)} if first.type is Component else value
    if not isinstance(value, Mapping):
        return value
    if _is_group(kind) and value and set(value) <= {"name", "args"}:
        return {first.name: dict(value)}
    return {
        key: _with_own_args(written_out(item, items[key].type, key, f"{where}.{key}"), items[key].default)
        if key in items
        else item
        for key, item in value.items()
    }


def _with_own_args(value: Any, default: Any) -> Any:
    """Give a component that names no keywords none: the parser would give it those of the default, another one."""
    if not isinstance(default, Component) or not isinstance(value, Mapping) or set(value) != {"name"}:
        return value
    return dict(value) if value["name"] == default.name else {**value, "args": {}}


def component_paths(config: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of all fields that hold a component, of a dataclass and of those inside it."""
    for item in dataclasses.fields(config):
        kind = dataclass_of(item.type)
        if kind is Component:
            yield prefix + item.name
        elif kind is not None:
            yield from component_paths(kind, f"{prefix}{item.name}.")


def field_paths(config: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of all fields of a dataclass and of those inside it: its flags without the dashes."""
    for item in dataclasses.fields(config):
        yield prefix + item.name
        if (kind := dataclass_of(item.type)) is not None:
            yield from field_paths(kind, f"{prefix}{item.name}.")


def type_at(config: type, path: str) -> Any:
    """Return the annotation of the field at a dotted path, None where there is none; keys of a dict are a step each."""
    name, _, rest = path.partition(".")
    annotation = next((item.type for item in dataclasses.fields(config) if item.name == name), None)
    if rest and get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
        _, _, rest = rest.partition(".")
    if not rest:
        return annotation
    kind = dataclass_of(annotation)
    return None if kind is None else type_at(kind, rest)


def dataclass_of(annotation: Any) -> Any:
    """Return the dataclass that a field with this annotation holds (`X` or `X | None`), None where it holds none."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)), None)


def _is_group(kind: Any) -> bool:
    """Say whether a dataclass holds components only, as VictimSettings does."""
    return all(item.type is Component for item in dataclasses.fields(kind))


def _in_full(path: str, config: type, value: str | None) -> str:
    """Write `victim`, `victim.layer` and `defence` as `victim.encoder`, `victim.encoder.layer`, `victim.defence`."""
    names = [item.name for item in dataclasses.fields(config)]
    for item in dataclasses.fields(config):
        kind = dataclass_of(item.type)
        if kind is None or not _is_group(kind):
            continue
        inside = [field.name for field in dataclasses.fields(kind)]
        head, *rest = path.split(".")
        if head in inside and head not in names:
            return f"{item.name}.{path}"
        if head != item.name:
            continue
        if not rest:
            mapping_or_file = value is None or value.startswith("{") or os.path.isfile(value)
            return path if mapping_or_file else f"{path}.{inside[0]}"
        if rest[0] not in inside and (len(rest) == 1 or rest[0] == "args"):
            return ".".join([head, inside[0], *rest])
    return path


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield (flag, value, both as they were given) of a command line; the value is None where none follows."""
    rest = list(arguments)
    while rest:
        given = [rest.pop(0)]
        flag, equals, value = given[0].partition("=")
        if not flag.startswith("--"):
            yield given[0], None, given
        elif equals or not rest or rest[0].startswith("--"):
            yield flag, value if equals else None, given
        else:
            given.append(rest.pop(0))
            yield flag, given[1], given


def _joined(flag: str, value: str | None) -> str:
    return flag if value is None else f"{flag}={value}"


def _text_written_out(text: str | None, annotation: Any, flag: str, path: str) -> str | None:
    """Write out a flag's value where it is YAML that holds components; anything else stays as it is."""
    if text is None or annotation is None or os.path.isfile(text):
        return text
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        value = text
    full = written_out(value, annotation, path.rpartition(".")[2].removesuffix("+"), flag)
    return text if full == value else _as_yaml(full)


def _config(file: str, config: type) -> str:
    """Return the content of a configuration file with components written out, or its path where nothing changes."""
    try:
        with open(file, encoding="utf-8") as opened:
            content = load_yaml(opened.read())
    except (OSError, ValueError, yaml.YAMLError):
        return file  # the parser says what is wrong with it
    if not isinstance(content, Mapping):
        return file
    full = dict(content)
    for item in dataclasses.fields(config):
        kind = dataclass_of(item.type)
        for name in [field.name for field in dataclasses.fields(kind)] if kind is not None and _is_group(kind) else []:
            if name in full and type_at(config, name) is None:  # `defence:` stands for `victim: {defence: ...}`
                group = written_out(full.get(item.name, {}), kind, item.name, f"{file}: {item.name}")
                full[item.name] = {**group, name: full.pop(name)}
    full = {
        key: written_out(value, type_at(config, str(key)), str(key), f"{file}: {key}") for key, value in full.items()
    }
    return file if full == content else _as_yaml(full)


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False).strip()
