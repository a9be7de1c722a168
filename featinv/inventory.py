"""What there is to build from: the export lists of the rooms, with a line on each name."""

import difflib
import importlib
import inspect

from featinv.configuration import exported
from featinv.errors import BadInput

ROOMS = ("attacks", "data", "decoders", "defences", "discriminators", "encoders", "losses", "metrics")


def descriptions(room: str) -> list[tuple[str, str]]:
    """Return the names that a room exports, each with the first line of its docstring.

    Raises BadInput for a room that does not exist, saying which do.
    """
    if room not in ROOMS:
        near = difflib.get_close_matches(room, ROOMS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise BadInput(f"list: there is no {room!r}{hint} There are {', '.join(ROOMS)}")
    module = importlib.import_module(f"featinv.{room}")
    documented = {name: inspect.getdoc(getattr(module, name)) or "" for name in exported(module)}
    return [(name, text.partition("\n")[0]) for name, text in documented.items()]
