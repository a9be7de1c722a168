"""One finished comparison, as far as its folder tells."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featinv import files
from featinv.evaluation import Scoreboard, load_scoreboard
from featinv.report.shown_images import Exhibit, read_exhibit

Rows = list[dict[str, float]]
_ATTACK_LIMIT = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Run:
    """A scoreboard with what else its folder holds: how attacks learnt, how they were made, images, and the record.

    `histories` and `makings` map rows to the rows of a training and to words; `record` is `run.json`.
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
        makings={name: words for name, config in saved.items() if (words := _making(config))},
        record=record if isinstance(record, dict) else {},
        exhibit=read_exhibit(folder),
    )


def _saved(folder: Path) -> dict[str, Any]:
    """Return what `attack.json` says; nothing where the attack was not saved."""
    if not (folder / "attack.json").is_file():
        return {}
    document = files.read_json(folder / "attack.json", _ATTACK_LIMIT)
    return document if isinstance(document, dict) and isinstance(document.get("config"), dict) else {}


def _history(saved: dict[str, Any]) -> Rows:
    rows = saved.get("config", {}).get("history", [])
    kept = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [{key: float(value) for key, value in row.items() if isinstance(value, int | float)} for row in kept]


def _making(saved: dict[str, Any]) -> str:
    """Return the class of an attack, and of a decoder what it was trained for, in a few words."""
    if not saved:
        return ""
    config = saved["config"]
    words = [str(saved.get("class", "")).rpartition(".")[2]]
    decoder = config.get("decoder")
    if isinstance(decoder, dict):
        words.append(str(decoder.get("class", "")).rpartition(".")[2])
    words += [str(config[key]) for key in ("objective", "adversary") if config.get(key)]
    return ", ".join(word for word in words if word)
