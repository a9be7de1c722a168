"""`featinv list`: the exports of each group, with a line on each name."""

import difflib
import importlib
import inspect

from featinv.configuration import exported
from featinv.errors import BadInput

GROUPS = ("attacks", "data", "decoders", "defences", "discriminators", "encoders", "losses", "metrics")
OF_CLASSES = frozenset({"attacks", "decoders", "defences", "discriminators"})
"""Groups whose components are classes; their functions (loading and saving) are not listed."""


def descriptions(group: str) -> list[tuple[str, str]]:
    """Return the names that a group exports, each with its first docstring line; for some groups the classes only.

    Raises BadInput for a group that does not exist, with the list of groups.
    """
    if group not in GROUPS:
        matches = difflib.get_close_matches(group, GROUPS, n=1, cutoff=0.5)
        hint = f"; did you mean {matches[0]}?" if matches else ";"
        raise BadInput(f"list: there is no {group!r}{hint} There are {', '.join(GROUPS)}")
    module = importlib.import_module(f"featinv.{group}")
    exports = {name: getattr(module, name) for name in exported(module)}
    listed = {name: item for name, item in exports.items() if group not in OF_CLASSES or inspect.isclass(item)}
    return [(name, (inspect.getdoc(item) or "").partition("\n")[0]) for name, item in listed.items()]
