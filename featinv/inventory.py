"""What there is to build from: the export lists of the rooms, with a line on each name."""

import difflib
import importlib
import inspect

from featinv.configuration import exported
from featinv.errors import BadInput

ROOMS = ("attacks", "data", "decoders", "defences", "discriminators", "encoders", "losses", "metrics")
OF_CLASSES = frozenset({"attacks", "decoders", "defences", "discriminators"})
"""Rooms whose parts are classes; the functions beside them (loading and saving) are nothing to build from."""


def descriptions(room: str) -> list[tuple[str, str]]:
    """Return the names that a room exports, each with the first line of its docstring; of some rooms the classes only.

    Raises BadInput for a room that does not exist, saying which do.
    """
    if room not in ROOMS:
        near = difflib.get_close_matches(room, ROOMS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise BadInput(f"list: there is no {room!r}{hint} There are {', '.join(ROOMS)}")
    module = importlib.import_module(f"featinv.{room}")
    parts = {name: getattr(module, name) for name in exported(module)}
    shown = {name: part for name, part in parts.items() if room not in OF_CLASSES or inspect.isclass(part)}
    return [(name, (inspect.getdoc(part) or "").partition("\n")[0]) for name, part in shown.items()]
