"""What an audit writes down before it scores: the plan, who was named, the inputs, and the time that was spent."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from featinv.assembly import Ladder
from featinv.errors import BadInput
from featinv.files import read_json, write_json

FILE_NAME = "audit.json"


class Record:
    """`audit.json` in the folder of an audit: written before any attack is trained, so that a killed one goes on."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self.content: dict[str, Any] = read_json(self.file) if self.file.is_file() else {}

    def begin(self, inputs: dict[str, Any], ladder: Ladder, named: str | None) -> None:
        """Write the plan down. Raises BadInput where the folder holds an audit of other inputs."""
        known = self.content.get("inputs")
        if known is not None and known != inputs:
            other = next(key for key in inputs if known.get(key) != inputs[key])
            raise BadInput(
                f"{self.file.parent}: holds an audit of other inputs ({other} differ now); choose another --out, or "
                "remove that folder"
            )
        if known is None:
            self.content = {"inputs": inputs, "plan": asdict(ladder), "named": named, "seconds": {}, "failed": {}}
            self.write()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each attack took to fit."""
        return self.content["seconds"]

    @property
    def failed(self) -> dict[str, str]:
        """What could not be fitted, and why."""
        return self.content["failed"]

    def minutes(self, planned: dict[str, float] | None = None) -> dict[str, float] | None:
        """Return the minutes of the trained attacks; those of the first call, where they were planned already."""
        if "minutes" not in self.content and planned is not None:
            self.content["minutes"] = planned
            self.write()
        return self.content.get("minutes")

    def write(self) -> None:
        write_json(self.file, self.content)
