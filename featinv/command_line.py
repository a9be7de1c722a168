"""The command line of recipes: from flags and YAML to a frozen dataclass.

Nothing here imports torch, so that every `--help` is fast.
"""

import dataclasses
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from featinv import environment
from featinv.allocator import set_allocator
from featinv.component_flags import expand, field_paths
from featinv.configuration import Component, nearest
from featinv.errors import BadInput
from featinv.leaving import keep_output, leave_with, show_log
from featinv.outputs import check_out, check_out_file
from featinv.plain_numbers import check_positive, check_seed

Config = TypeVar("Config")
_PATHS = ("data", "weights", "judge_folder", "attack", "features", "source")
_COUNTS = ("public", "private", "count", "batch_size", "size", "width")


def _plain_defaults(kind: type) -> dict[str, Any]:
    """Return defaults that are containers of dataclasses as plain values, because --print_config prints only these."""
    defaults = {}
    for item in dataclasses.fields(kind):
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        if isinstance(default, dict) and default and all(dataclasses.is_dataclass(value) for value in default.values()):
            defaults[item.name] = {key: dataclasses.asdict(value) for key, value in default.items()}
    return defaults


def parse(config: type[Config], description: str | None = None, arguments: Sequence[str] | None = None) -> Config:
    """Parse the command line into a frozen dataclass: a flag for every field, `--config FILE`, `--print_config`.

    Exits with code 2 and one line about the wrong flag.
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
            namespace = parser.parse_args(expand(given, config))
            built = parser.instantiate(namespace)
        except (jsonargparse.ArgumentError, BadInput, UnicodeDecodeError) as error:
            hint = _nearest_flag(str(error), config)
            print(f"error: {_one_line(str(error))}{hint}; --help lists the flags", file=sys.stderr, flush=True)
            sys.exit(2)
    return config(**{item.name: built[item.name] for item in dataclasses.fields(config)})  # type: ignore[arg-type]


def _nearest_flag(message: str, config: type) -> str:
    """Return the most similar flag to one that the parser does not know, or nothing."""
    unknown = re.search(r"unrecognized arguments: --([\w.-]+)", message)
    return nearest(unknown[1], field_paths(config), "--") if unknown else ""


def _one_line(message: str) -> str:
    """Remove the type details of jsonargparse about a flag that takes a group of settings or null."""
    about_types = ("Does not validate", "Subtypes:", "Errors:", "- Problem with", "- Expected a <class 'None")
    about_groups = ("Given value type:", "Given value: NestedArg", "Given value: {", "Given value: Namespace")
    noise = (*about_types, *about_groups)
    lines = [line.strip() for line in message.splitlines()]
    return " ".join(line.removeprefix("- ") for line in lines if line and not line.startswith(noise))


def run(main: Callable[[Config], int | None], config: type[Config], description: str | None = None) -> None:
    """Parse the command line, check it and the environment, call `main`, and exit as `leave_with` does.

    What `main` returns is the exit code; None is 0.
    """
    keep_output()
    show_log()

    def checked() -> int | None:
        environment.working_folder()  # the parser of files needs it
        settings = parse(config, description)
        environment.check()
        environment.no_windows()
        check_settings(settings)
        set_allocator()
        # Imported here, because it imports torch, which `--help` does not need.
        from featinv.precision import check_precision

        check_precision(settings)
        return main(settings)

    leave_with(checked)


def check_settings(settings: Any, prefix: str = "") -> None:
    """Raise BadInput for an invalid setting in a dataclass and in those inside it.

    Invalid are seeds outside 0 to 2**63 - 1, numbers that are not finite, minutes and counts that are not positive,
    empty paths, and an `out` that cannot be written. Only the main process of a run checks `out`.
    """
    for item in dataclasses.fields(settings):
        name, value = f"{prefix}{item.name}", getattr(settings, item.name)
        if item.name == "seed":
            check_seed(f"--{name}", value)
        elif item.name == "minutes" and value is not None:
            check_positive(f"--{name}", value)
        elif item.name in _PATHS and isinstance(value, str) and (not value.strip() or "\0" in value):
            raise BadInput(f"--{name}: expected a path, got {value!r}; leave the flag out, or give one")
        elif item.name in _COUNTS and isinstance(value, int) and value < 1:
            raise BadInput(f"--{name}: expected a whole number of at least 1, got {value}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"--{name}: expected a finite number, got {value}")
        elif name == "out" and value is not None and _is_main_process():
            _check_out(value, needed=item.default != "")
        elif dataclasses.is_dataclass(value) and not isinstance(value, Component):
            check_settings(value, f"{name}.")


def _check_out(out: str, *, needed: bool) -> None:
    if out.endswith(".safetensors"):
        check_out_file(out)
    elif out or needed:
        check_out(out)


def _is_main_process() -> bool:
    """Return whether this process writes files, according to the launcher's RANK."""
    return environment.rank("RANK", 0) <= 0
