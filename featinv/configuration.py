"""From names to objects and back: `Component`s, and what a saved attack says of its decoder.

Nothing here imports torch, so that every `--help` answers at once; `build` and `rebuild` import what a name asks for.
"""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import yaml

from featinv import environment
from featinv.errors import BadInput
from featinv.plain_numbers import plain


@dataclass(frozen=True)
class Component:
    """A class or function by name, with its own keywords: what a command line or YAML file writes for an object.

    Written as one text, `NAME[:VALUE][,KEY=VALUE...]` (`parse_component` reads it), or field by field:
    `--decoder Upsampling:width=128`, `--decoder Upsampling --decoder.width 128`, and in YAML
    `decoder: Upsampling:width=128` or `decoder: {name: Upsampling, args: {width: 128}}` are equal. A name with a dot
    (`my_package.MyDecoder`) is imported; a name without one is looked up in the group's export list.
    """

    name: str
    """exported name, or the import path of a class of yours"""
    args: dict[str, Any] = field(default_factory=dict)
    """its own keywords; on the command line `--decoder.width 128` is short for `--decoder.args.width 128`"""

    def __str__(self) -> str:
        """Return the component as a command line writes it, `torchvision:name=resnet50,layer=avgpool`."""
        args = [f"{key}={_as_text(value)}" for key, value in self.args.items()]
        return ":".join([self.name, ",".join(args)]) if args else self.name


# ----------------------------------------------------------------------------------------------- text -> Component

GRAMMAR = "NAME[:VALUE][,KEY=VALUE...]"
PACKAGES = {
    "attack": "featinv.attacks",
    "decoder": "featinv.decoders",
    "defence": "featinv.defences",
    "discriminator": "featinv.discriminators",
    "encoder": "featinv.encoders",
    "judge": "featinv.encoders",
    "losses": "featinv.losses",
    "network": "featinv.encoders.networks",
    "penalties": "featinv.losses",
    "second_judge": "featinv.encoders",
    "victim": "featinv.encoders",
}
"""where the name in a field of this name is looked up"""


def parse_component(text: str, group: ModuleType | str, flag: str) -> Component:
    """Return the component that NAME[:VALUE][,KEY=VALUE...] names; a VALUE without a key goes to the first parameter.

    `group` is the package that exports the name, or its import path; it is imported only where a VALUE has no key.
    Values are read as `component_value` does. Raises BadInput, naming the flag, for text of another form and for a
    VALUE of an unknown name.
    """
    parts = re.fullmatch(r"([\w.]+)(?:[:,](.+))?", text.strip(), re.DOTALL)
    if parts is None:
        raise BadInput(f"{flag}: expected {GRAMMAR}, got {text!r}; e.g. torchvision:resnet50,layer=avgpool")
    name, rest = parts.groups()
    args: dict[str, Any] = {}
    for place, item in enumerate(_OUTER_COMMA.split(rest) if rest else ()):
        key, equals, value = item.partition("=")
        if not (equals and key.isidentifier()):
            if place > 0 or text.strip()[len(name)] == ",":
                raise BadInput(f"{flag}: expected KEY=VALUE after a comma, got {item!r}; e.g. GaussianNoise:std=0.1")
            key, value = _first_parameter(name, group, flag), item
        if key in args:
            raise BadInput(f"{flag}: expected each keyword once, got {key!r} twice in {text!r}")
        args[key] = component_value(value)
    return Component(name, args)


_OUTER_COMMA = re.compile(r",(?![^\[{(]*[\])}])")
"""a comma that is not inside brackets"""


def component_value(text: str) -> Any:
    """Return the value that a keyword of a component is given as text: a number, true, null, [a, b], or else text.

    Reads YAML as the configuration files do (1e-3 is a number); what is no YAML is text as it stands.
    """
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        return text
    brackets = isinstance(value, dict | list) and text.lstrip()[:1] not in ("{", "[")  # as in "C: x"
    unquoted = isinstance(value, str) and text.lstrip()[:1] not in ("'", '"')
    return text if not text.strip() or brackets or unquoted else value


def _as_text(value: Any) -> str:
    """Return what `component_value` reads as this value again."""
    if isinstance(value, str) and component_value(value) == value:
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).strip().removesuffix("\n...")


def load_yaml(text: str) -> Any:
    """Return what YAML text holds, read as the configuration files are: 1e-3 is a number, 2026-01-01 is text."""
    from jsonargparse import get_loader  # here, because `import featinv` does without

    return get_loader("yaml")(text)


def _first_parameter(name: str, group: ModuleType | str, flag: str) -> str:
    package = importlib.import_module(group) if isinstance(group, str) else group
    try:
        return next(iter(inspect.signature(find(name, package)).parameters), "")
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error


def check_component(component: Component, group: ModuleType | str, flag: str) -> None:
    """Raise BadInput, naming the flag, for a name that does not exist or a keyword that it does not take."""
    package = importlib.import_module(group) if isinstance(group, str) else group
    try:
        factory = find(component.name, package)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in component.args:
        if name not in parameters:
            raise BadInput(
                f"{flag}.{name}: {component.name} takes no such keyword; it takes "
                f"{', '.join(parameters) or 'none'}{nearest(name, parameters)}"
            )


def nearest(name: str, names: Iterable[str], prefix: str = "") -> str:
    """Return "; did you mean NAME?" of the most similar name, or nothing where none is similar."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


# ---------------------------------------------------------------------------------------------- names -> objects


def exported(group: ModuleType) -> list[str]:
    """Return the names that a group exports, in alphabetical order."""
    return sorted(group.__all__)


def find(name: str, group: ModuleType) -> Any:
    """Return what `name` stands for: an export of `group`, or an import path. Raises BadInput that says which exist."""
    kind = group.__name__.rpartition(".")[2]
    if "." not in name:
        if name in group.__all__:
            return getattr(group, name)
        raise BadInput(
            f"{kind}: there is no {name!r}{nearest(name, group.__all__)} Exported: {', '.join(exported(group))}. "
            "For a class of your own give its import path (my_package.MyClass)."
        )
    module_name, _, attribute = name.rpartition(".")
    try:
        # `--decoder mine.MyDecoder` means the folder that the script was started from, which sys.path lacks.
        here = environment.working_folder()
        if here not in sys.path:
            sys.path.append(here)
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BadInput(f"{kind}: cannot import {name!r}: {error}") from error
    if not hasattr(module, attribute):
        public = [n for n, v in vars(module).items() if inspect.isclass(v) and not n.startswith("_")]
        raise BadInput(
            f"{kind}: module {module_name!r} has no {attribute!r}; its classes: {', '.join(public) or 'none'}"
        )
    return getattr(module, attribute)


def build(component: Component, group: ModuleType, *positional: Any) -> Any:
    """Build the object that `component` names, with `positional` arguments first and its own keywords after them.

    The positional arguments may have any name in a foreign class. What was given is remembered for `describe`.
    Raises BadInput for an unknown name or keyword, saying which exist.
    """
    factory = find(component.name, group)
    signature = inspect.signature(factory)
    try:
        bound = signature.bind(*positional, **component.args)
    except TypeError as error:
        names = list(signature.parameters)[len(positional) :]
        raise BadInput(f"{component.name}: {error}; its own keywords are: {', '.join(names) or 'none'}") from error
    instance = factory(*bound.args, **bound.kwargs)
    if inspect.isclass(factory):
        _remember(instance, bound.arguments)
    return instance


# ---------------------------------------------------------------------------------------------- objects -> names


def _remember(instance: object, arguments: Mapping[str, Any]) -> None:
    """Note on the object how it was built; one that refuses attributes must keep its arguments itself."""
    try:
        object.__setattr__(instance, "_built_from", dict(arguments))
    except (AttributeError, TypeError):
        return


def public_path(kind: type) -> str:
    """Return the import path of a class: the group's for an export of ours (`featinv.decoders.Listik`)."""
    package, _, rest = kind.__module__.partition(".")
    if package == "featinv" and rest:
        group = importlib.import_module(f"featinv.{rest.partition('.')[0]}")
        if kind.__name__ in getattr(group, "__all__", ()):
            return f"{group.__name__}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def describe(value: Any) -> Any:
    """Return a JSON-able description from which `rebuild` makes an equal object.

    Numbers (NumPy scalars as plain ones), strings and containers describe themselves; an object is its class path and
    constructor arguments, which it must keep under their own names (`self.width = width`) unless `build` made it.
    Raises BadInput naming what is missing.
    """
    value = plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    path = public_path(type(value))
    built_from = getattr(value, "_built_from", None)
    arguments = {}
    for name, parameter in inspect.signature(type(value)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadInput(
                f"{path}: cannot be saved, because its constructor takes *{name}; give every argument a name"
            )
        if built_from is not None:
            if name in built_from:
                arguments[name] = describe(built_from[name])
            continue
        if not hasattr(value, name):
            raise BadInput(
                f"{path}: cannot be saved, because it does not keep its argument {name!r}; write self.{name} = {name} "
                "in its constructor"
            )
        arguments[name] = describe(getattr(value, name))
    return {"class": path, "args": arguments}


def rebuild(description: Any, allow: Iterable[type | str] = ()) -> Any:
    """Make the object that `describe` described.

    Classes that featinv exports may be built; any other only when `allow` names it (the class itself or its import
    path), because a stranger's file must not decide what code runs here. Raises BadInput otherwise.
    """
    if isinstance(description, list):
        # JSON has no tuples, and settings hold no lists.
        return tuple(rebuild(item, allow) for item in description)
    if not isinstance(description, dict):
        return description
    if set(description) != {"class", "args"}:
        return {key: rebuild(item, allow) for key, item in description.items()}
    kind = trusted_class(str(description["class"]), allow)
    arguments = {str(name): rebuild(item, allow) for name, item in dict(description["args"]).items()}
    try:
        bound = inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise BadInput(f"{description['class']}: {error}; was the attack saved by another version?") from error
    instance = kind(*bound.args, **bound.kwargs)
    _remember(instance, bound.arguments)
    return instance


def trusted_class(path: str, allow: Iterable[type | str] = ()) -> type:
    """Return the class that a saved file names: an export of featinv, or what `allow` names; BadInput otherwise."""
    for trusted in allow:
        if isinstance(trusted, str):
            if trusted == path:
                module, _, name = path.rpartition(".")
                return getattr(importlib.import_module(module), name)
        elif path == f"{trusted.__module__}.{trusted.__qualname__}":
            return trusted
    groups = {"attacks", "decoders", "defences", "discriminators", "losses", "training"}
    package, _, rest = path.partition(".")
    group_name, _, name = rest.partition(".")
    if package == "featinv" and group_name in groups:
        group = importlib.import_module(f"featinv.{group_name}")
        if name in group.__all__ and inspect.isclass(exported_class := getattr(group, name)):
            return exported_class
    raise BadInput(
        f"class {path!r} is not one of featinv's; if you trust its author, allow it by name "
        f"(load_attack(..., allow=[{path!r}]) or --allow {path})"
    )
