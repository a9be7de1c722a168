"""What an audit writes down before it scores: the plan, who was named, the inputs, and the time that was spent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featinv.audit.suite import SuitePlan
from featinv.errors import BadInput
from featinv.files import read_json, write_json

FILE_NAME = "audit.json"


class Record:
    """`audit.json` in the folder of an audit: written before any attack is trained, so that a killed one goes on."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self.content: dict[str, Any] = read_json(self.file) if self.file.is_file() else {}

    def must_be_of(self, inputs: dict[str, Any]) -> None:
        """Raise BadInput where the folder holds an audit of other inputs, or does not say of which."""
        noted = self.content.get("inputs", {}) if self.content else inputs
        if noted != inputs:
            other = next((key for key in inputs if noted.get(key) != inputs[key]), "some")
            raise BadInput(
                f"{self.file.parent}: holds an audit of other inputs ({other} differ now); choose another --out, or "
                "remove that folder"
            )

    def begin(self, inputs: dict[str, Any], plan: SuitePlan, named: str | None) -> None:
        """Write the plan down, unless a killed audit has done so."""
        if not self.content:
            self.content = {"inputs": inputs, "plan": plan.as_json(), "named": named}
            self.content |= {"minutes": {}, "images": {}, "seen": {}, "seconds": {}, "failed": {}}
            self.write()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each attack took to fit."""
        return self.content["seconds"]

    @property
    def failed(self) -> dict[str, str]:
        """What could not be fitted, and why."""
        return self.content["failed"]

    @property
    def minutes(self) -> dict[str, float]:
        """The minutes for which each training was planned; a killed audit goes on with the same."""
        return self.content["minutes"]

    @property
    def images(self) -> dict[str, int]:
        """How many images each training is planned to see."""
        return self.content["images"]

    @property
    def seen(self) -> dict[str, int]:
        """How many images each training has seen."""
        return self.content["seen"]

    def note_files(self, **sides: Sequence[tuple[str, str]]) -> None:
        """Write down which image files of each side were not read, and why; at most 10,000 a side."""
        self.content["not_read"] = {name: [list(entry) for entry in files[:10_000]] for name, files in sides.items()}
        self.write()

    def write(self) -> None:
        write_json(self.file, self.content)
