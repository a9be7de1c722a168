"""What was measured is kept, a file a setting, so that an interrupted sweep goes on where it was."""

import hashlib
import json
from pathlib import Path
from typing import Any

import featinv as fi
from featinv.defend.candidates import Candidate
from featinv.defend.inputs import Inputs
from featinv.defend.measurement import Measurement
from featinv.defend.settings import DefendSettings
from featinv.errors import BadInput
from featinv.files import folder_name, read_json, write_json

SCHEMA = 2
FOLDER = "settings"
OURS = frozenset({FOLDER, "report.html", "decision.json", "defence", "attacked", "wandb", "defend.json"})
MARK = "defend.json"


class Cache:
    """`settings/` in the folder of the results: one JSON file a setting, each with the key of what it was measured on.

    Raises BadInput for a folder that holds anything but the results of this command.
    """

    def __init__(self, out: Path, settings: DefendSettings, inputs: Inputs) -> None:
        others = sorted(file.name for file in out.iterdir() if not file.name.startswith(".")) if out.is_dir() else []
        if others and not (out / MARK).is_file():
            raise BadInput(
                f"{out}: holds files ({others[0]}), but no results of defend; choose a new folder with --out"
            )
        self._folder = out / FOLDER
        self._facts = {
            "schema": SCHEMA,
            "featinv": fi.__version__,
            "digests": inputs.digests,
            "columns": [settings.column, settings.id_column],
            "gallery": inputs.gallery,
            "top": settings.asked.k,
            "seed": settings.seed,
        }
        write_json(out / MARK, {"schema": SCHEMA, "featinv": fi.__version__})

    def read(self, candidate: Candidate) -> Measurement | None:
        """Return what was measured of a setting on these inputs, None where it was not or the file is damaged."""
        file = self._file(candidate)
        if not file.is_file():
            return None
        try:
            document = read_json(file)
            if not isinstance(document, dict) or document.get("key") != self._key(candidate):
                return None
            return Measurement.from_json(document.get("measurement"), str(file))
        except BadInput:
            return None

    def write(self, candidate: Candidate, measured: Measurement) -> None:
        """Keep what was measured. Raises BadInput where a number is not finite, which no JSON can hold."""
        try:
            write_json(self._file(candidate), {"key": self._key(candidate), "measurement": measured.as_json()})
        except ValueError as error:
            raise BadInput(f"--defences: {candidate.shown}: expected finite measurements ({error})") from error

    def _file(self, candidate: Candidate) -> Path:
        return self._folder / f"{folder_name(candidate.shown)}.json"

    def _key(self, candidate: Candidate) -> str:
        """Return a digest of the inputs and of the setting, its secrets included."""
        facts: dict[str, Any] = {**self._facts, "setting": candidate.label}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
