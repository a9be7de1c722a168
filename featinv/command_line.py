"""From a command line to a frozen dataclass, and from an error to one line: what every recipe ends in.

Nothing here imports torch, so that every `--help` answers at once.
"""

import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import UnionType
from typing import Any, TypeVar, get_args

from featinv.configuration import Part
from featinv.errors import BadInput, Diverged

Config = TypeVar("Config")


def _part_flags(kind: Any, prefix: str = "") -> Iterable[str]:
    for item in dataclasses.fields(kind):
        held = item.type
        if isinstance(held, UnionType):  # `X | None`
            held = next((one for one in get_args(held) if dataclasses.is_dataclass(one)), None)
        if held is Part:
            yield prefix + item.name
        elif dataclasses.is_dataclass(held):
            yield from _part_flags(held, f"{prefix}{item.name}.")


def _expand(arguments: Sequence[str], parts: Iterable[str]) -> list[str]:
    """Write `--decoder X` as `--decoder.name X`, and `--decoder.width 8` as `--decoder.args.width 8`."""
    written = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        for part in parts:
            if flag == f"--{part}":
                flag = f"--{part}.name"
            elif flag.startswith(f"--{part}.") and flag.split(".")[part.count(".") + 1] not in ("name", "args"):
                flag = f"--{part}.args.{flag[len(part) + 3 :]}"
        written.append(flag + equals + value)
    return written


def _plain_defaults(kind: type) -> dict[str, Any]:
    """Write defaults that are containers of dataclasses as plain values, which is all that --print_config can print."""
    defaults = {}
    for item in dataclasses.fields(kind):
        made = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        if isinstance(made, dict) and made and all(dataclasses.is_dataclass(value) for value in made.values()):
            defaults[item.name] = {key: dataclasses.asdict(value) for key, value in made.items()}
    return defaults


def parse(config: type[Config], description: str | None = None, arguments: Sequence[str] | None = None) -> Config:
    """Parse the command line into a frozen dataclass: every field a flag, `--config FILE`, `--print_config`.

    Leaves with exit code 2 and one line about the wrong flag.
    """
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=os.path.basename(sys.argv[0]),
        description=description,
        formatter_class=jsonargparse.DefaultHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the settings below")
    parser.add_class_arguments(config, None)
    parser.set_defaults(_plain_defaults(config))
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            namespace = parser.parse_args(_expand(given, list(_part_flags(config))))
            built = parser.instantiate(namespace)
        except (jsonargparse.ArgumentError, BadInput) as error:
            print(f"error: {_one_line(str(error))}; --help lists the flags", file=sys.stderr, flush=True)
            sys.exit(2)
    return config(**{item.name: built[item.name] for item in dataclasses.fields(config)})  # type: ignore[arg-type]


def _one_line(message: str) -> str:
    """Leave out what only a type checker would ask about a flag that takes a group of settings or null."""
    about_types = ("Does not validate", "Subtypes:", "Errors:", "- Problem with", "- Expected a <class 'None")
    about_groups = ("Given value type:", "Given value: NestedArg", "Given value: {", "Given value: Namespace")
    noise = (*about_types, *about_groups)
    lines = [line.strip() for line in message.splitlines()]
    return " ".join(line.removeprefix("- ") for line in lines if line and not line.startswith(noise))


def run(main: Callable[[Config], None], config: type[Config], description: str | None = None) -> None:
    """Parse the command line and call `main`; bad input is one line on stderr, said once, and exit code 2."""
    settings = parse(config, description)
    try:
        main(settings)
    except (BadInput, Diverged) as error:
        if os.environ.get("RANK", "0") != "0":
            # The main process mostly met the same error, and the launcher ends us with it; ours alone is ours to say.
            time.sleep(5)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(2 if isinstance(error, BadInput) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
