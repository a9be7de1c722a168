"""In which way two names that look alike differ: for the message of a name that was not found."""

import difflib
import unicodedata
from collections.abc import Sequence

SCANNED = 2000
"""names among which a similar one is looked for; the message is not worth more time"""


def examples_of_a_miss(absent: Sequence[str], others: Sequence[str]) -> str:
    """Show two names of each side, and what differs where a name of one side looks like one of the other."""
    shown = f" (the first: {', '.join(map(ascii, absent[:2]))})" if absent else ""
    held = f"; the file names {', '.join(map(ascii, others[:2]))}" if others else "; the file names no other image"
    twins = [(name, twin) for name in absent[:2] if (twin := _look_alike(name, others)) is not None]
    differences = "".join(f"; {twin!a} differs from {name!a} in {difference(name, twin)}" for name, twin in twins)
    return f"{shown}{held}{differences}"


def difference(name: str, twin: str) -> str:
    """Say in which way `twin` (in the vectors' file) differs from `name` (of an image)."""
    if name == twin:
        return "the folders before it, which are not those before the other ids"
    if _form(name) == _form(twin):
        return "its Unicode form"
    if name.casefold() == twin.casefold():
        return "case"
    if name.split() == twin.split() or _stripped(name) == _stripped(twin):
        return f"spaces ({len(twin) - len(name):+d} in the file)"
    if _stem(name) == _stem(twin):
        return f"the suffix ({_suffix(twin)!a} in the file, {_suffix(name)!a} of the image)"
    if name.rpartition("/")[2] == twin.rpartition("/")[2]:
        return f"the folders before it ({twin.rpartition('/')[0]!a} in the file)"
    for place, (ours, theirs) in enumerate(zip(name, twin, strict=False)):
        if ours != theirs:
            return f"character {place + 1} ({_character(theirs)} in the file, {_character(ours)} of the image)"
    return f"its length ({len(twin)} characters in the file, {len(name)} of the image)"


def _look_alike(name: str, others: Sequence[str]) -> str | None:
    for loose in (_loose, lambda text: _loose(_stem(text)), lambda text: _loose(text.rpartition("/")[2])):
        wanted = loose(name)
        for other in others:
            if loose(other) == wanted:
                return other
    # Of plain letters and digits, another name is another image; what looks alike is in other alphabets or invisible.
    strange = others[:SCANNED] if not name.isascii() else [other for other in others[:SCANNED] if not other.isascii()]
    return next(iter(difflib.get_close_matches(name, strange, n=1, cutoff=0.75)), None)


def _loose(text: str) -> str:
    return "".join(_form(text).casefold().split())


def _form(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _stripped(text: str) -> str:
    return "".join(text.split())


def _stem(text: str) -> str:
    folder, _, last = text.rpartition("/")
    return f"{folder}/{last.rpartition('.')[0] or last}"


def _suffix(text: str) -> str:
    last = text.rpartition("/")[2]
    return last[len(last.rpartition(".")[0]) :] if "." in last else ""


def _character(letter: str) -> str:
    return f"U+{ord(letter):04X} {unicodedata.name(letter, 'without a name')}"
