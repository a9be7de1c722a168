"""From names to objects and back: `Component`s, and what a saved attack says of its decoder.

Nothing here imports torch, so that every `--help` answers at once; `build` and `rebuild` import what a name asks for.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from featinv import environment
from featinv.errors import BadInput
from featinv.plain_numbers import plain


@dataclass(frozen=True)
class Component:
    """A class or function by name, with its own keywords: what a command line or YAML file writes for an object.

    `--decoder Upsampling --decoder.width 128`, in YAML `decoder: {name: Upsampling, args: {width: 128}}`. A name with
    a dot (`my_package.MyDecoder`) is imported; a name without one is looked up in the group's export list.
    """

    name: str
    """exported name, or the import path of a class of yours"""
    args: dict[str, Any] = field(default_factory=dict)
    """its own keywords; on the command line `--decoder.width 128` is short for `--decoder.args.width 128`"""


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
        near = difflib.get_close_matches(name, group.__all__, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadInput(
            f"{kind}: there is no {name!r}{hint} Exported: {', '.join(exported(group))}. "
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


def build(part: Component, group: ModuleType, *positional: Any) -> Any:
    """Build the object that `part` names, with `positional` arguments first and the part's own keywords after them.

    The positional arguments may have any name in a foreign class. What was given is remembered for `describe`.
    Raises BadInput for an unknown name or keyword, saying which exist.
    """
    factory = find(part.name, group)
    signature = inspect.signature(factory)
    try:
        bound = signature.bind(*positional, **part.args)
    except TypeError as error:
        names = list(signature.parameters)[len(positional) :]
        raise BadInput(f"{part.name}: {error}; its own keywords are: {', '.join(names) or 'none'}") from error
    built = factory(*bound.args, **bound.kwargs)
    if inspect.isclass(factory):
        _remember(built, bound.arguments)
    return built


# ---------------------------------------------------------------------------------------------- objects -> names


def _remember(made: object, arguments: Mapping[str, Any]) -> None:
    """Note on the object how it was built; one that refuses attributes must keep its arguments itself."""
    try:
        object.__setattr__(made, "_built_from", dict(arguments))
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
    known = getattr(value, "_built_from", None)
    arguments = {}
    for name, parameter in inspect.signature(type(value)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadInput(
                f"{path}: cannot be saved, because its constructor takes *{name}; give every argument a name"
            )
        if known is not None:
            if name in known:
                arguments[name] = describe(known[name])
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
    made = kind(*bound.args, **bound.kwargs)
    _remember(made, bound.arguments)
    return made


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
        if name in group.__all__ and inspect.isclass(found := getattr(group, name)):
            return found
    raise BadInput(
        f"class {path!r} is not one of featinv's; if you trust its author, allow it by name "
        f"(load_attack(..., allow=[{path!r}]) or --allow {path})"
    )
