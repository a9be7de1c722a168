"""The runs of a report: what the folder of a finished comparison holds, and whether several runs compare."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from featinv import files
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard, load_scoreboard
from featinv.report.exhibit import Exhibit, read_exhibit

Rows = list[dict[str, float]]
_ATTACK_LIMIT = 64 * 2**20
_SHORT = 16
"""Characters of a fingerprint that an error message shows."""
_FACTS = (
    "their victims are",
    "their private images are",
    "their galleries are",
    "their first judges are",
)


@dataclass(frozen=True, eq=False)
class Run:
    """A scoreboard with the other files of its folder.

    `histories` maps attacks to the rows of their training, `makings` to a short description of their settings; `record`
    is `run.json`, `exhibit` the private images.
    """

    name: str
    board: Scoreboard
    histories: dict[str, Rows] = field(default_factory=dict)
    makings: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    exhibit: Exhibit | None = None


def read_run(source: "Path | str | Scoreboard | Run") -> Run:
    """Return the run of a folder (or of the scoreboard.json in it), or of a scoreboard at hand.

    Raises BadInput that names the file when the scoreboard is missing, damaged or of another schema.
    """
    if isinstance(source, Run):
        return source
    if isinstance(source, Scoreboard):
        return Run("this run", source)
    path = Path(source)
    board = load_scoreboard(path)
    folder = path if path.is_dir() else path.parent
    saved = {row.name: _saved(folder / files.folder_name(row.name)) for row in board.attacks}
    record = files.read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    return Run(
        name=folder.resolve().name,
        board=board,
        histories={name: rows for name, config in saved.items() if (rows := _history(config))},
        makings={name: making for name, config in saved.items() if (making := _making(config))},
        record=record if isinstance(record, dict) else {},
        exhibit=read_exhibit(folder),
    )


def _saved(folder: Path) -> dict[str, Any]:
    """Return the content of `attack.json`; nothing where the attack was not saved."""
    if not (folder / "attack.json").is_file():
        return {}
    document = files.read_json(folder / "attack.json", _ATTACK_LIMIT)
    return document if isinstance(document, dict) and isinstance(document.get("config"), dict) else {}


def _history(saved: dict[str, Any]) -> Rows:
    rows = saved.get("config", {}).get("history", [])
    dicts = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [{key: float(value) for key, value in row.items() if isinstance(value, int | float)} for row in dicts]


def _making(saved: dict[str, Any]) -> str:
    """Return the class of an attack, and of a trained one its decoder, objective and adversary."""
    if not saved:
        return ""
    config = saved["config"]
    parts = [str(saved.get("class", "")).rpartition(".")[2]]
    decoder = config.get("decoder")
    if isinstance(decoder, dict):
        parts.append(str(decoder.get("class", "")).rpartition(".")[2])
    parts += [str(config[key]) for key in ("objective", "adversary") if config.get(key)]
    return ", ".join(part for part in parts if part)


def comparable(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs under different names.

    Raises BadInput that names the difference where victims, private images, galleries or first judges differ: rates
    among other candidates or of other images are not comparable.
    """
    if not runs:
        raise BadInput("report: expected at least one run, got none; name the folder of a finished comparison")
    first = runs[0]
    for other in runs[1:]:
        for what, there, here in zip(_FACTS, _facts(first), _facts(other), strict=True):
            if there != here:
                raise BadInput(
                    f"report: {first.name!r} and {other.name!r} do not compare: {what} {_in_short(there)} and "
                    f"{_in_short(here)}; write a report of each"
                )
    return tuple(_renamed(runs))


def _facts(run: Run) -> tuple[Any, ...]:
    victim, protocol = run.board.victim, run.board.protocol
    judges = protocol.get("judges") or [{}]
    return (
        victim.get("fingerprint", victim.get("name")),
        protocol["private"].get("fingerprint"),
        (protocol.get("gallery"), *protocol.get("galleries", ())),
        judges[0].get("fingerprint") or judges[0].get("name"),
    )


def _in_short(fact: Any) -> str:
    return ", ".join(map(str, fact)) if isinstance(fact, tuple) else str(fact)[:_SHORT]


def _renamed(runs: Sequence[Run]) -> list[Run]:
    """Number the runs whose folders have the same name, so that all names differ."""
    names = [run.name for run in runs]
    taken = {name for name in names if names.count(name) == 1}
    renamed = []
    for run in runs:
        name = run.name
        if names.count(run.name) > 1:
            name = next(label for k in itertools.count(1) if (label := f"{run.name} ({k})") not in taken)
            taken.add(name)
        renamed.append(replace(run, name=name))
    return renamed
