"""What there is to build from: the export lists of the groups, with a line on each name."""

import difflib
import importlib
import inspect

from featinv.configuration import exported
from featinv.errors import BadInput

GROUPS = ("attacks", "data", "decoders", "defences", "discriminators", "encoders", "losses", "metrics")
OF_CLASSES = frozenset({"attacks", "decoders", "defences", "discriminators"})
"""Packages whose exports are classes; the functions beside them (loading and saving) are nothing to build from."""


def descriptions(group: str) -> list[tuple[str, str]]:
    """Return the names that a group exports, each with its first docstring line; of some groups the classes only.

    Raises BadInput for a group that does not exist, saying which do.
    """
    if group not in GROUPS:
        near = difflib.get_close_matches(group, GROUPS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise BadInput(f"list: there is no {group!r}{hint} There are {', '.join(GROUPS)}")
    module = importlib.import_module(f"featinv.{group}")
    parts = {name: getattr(module, name) for name in exported(module)}
    shown = {name: part for name, part in parts.items() if group not in OF_CLASSES or inspect.isclass(part)}
    return [(name, (inspect.getdoc(part) or "").partition("\n")[0]) for name, part in shown.items()]
