"""Several runs in one report: only where their numbers compare."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from featinv.errors import BadInput
from featinv.report.finished_run import Run

_SHORT = 16


def comparable(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs under different names.

    Raises BadInput that names the difference where victims, private images, galleries or first judges differ: rates
    among other candidates, or of other images, say nothing about each other.
    """
    if not runs:
        raise BadInput("report: expected at least one run, got none; name the folder of a finished comparison")
    first = runs[0]
    for other in runs[1:]:
        for what, there, here in zip(_FACTS, _facts(first), _facts(other), strict=True):
            if there != here:
                raise BadInput(
                    f"report: {first.name!r} and {other.name!r} do not compare: {what} {_shown(there)} and "
                    f"{_shown(here)}; write a report of each"
                )
    return tuple(_renamed(runs))


_FACTS = (
    "their victims are",
    "their private images are",
    "their galleries are",
    "their first judges are",
)


def _facts(run: Run) -> tuple[Any, ...]:
    victim, protocol = run.board.victim, run.board.protocol
    judges = protocol.get("judges") or [{}]
    return (
        victim.get("fingerprint", victim.get("name")),
        protocol["private"].get("fingerprint"),
        (protocol.get("gallery"), *protocol.get("galleries", ())),
        judges[0].get("fingerprint") or judges[0].get("name"),
    )


def _shown(fact: Any) -> str:
    return ", ".join(map(str, fact)) if isinstance(fact, tuple) else str(fact)[:_SHORT]


def _renamed(runs: Sequence[Run]) -> list[Run]:
    """Number the runs whose folders have the same name, so that all names differ."""
    names = [run.name for run in runs]
    taken = {name for name in names if names.count(name) == 1}
    renamed = []
    for run in runs:
        name = run.name
        if names.count(run.name) > 1:
            name = next(one for k in itertools.count(1) if (one := f"{run.name} ({k})") not in taken)
            taken.add(name)
        renamed.append(replace(run, name=name))
    return renamed
