"""What an audit writes down before it scores: the plan, who was named, the inputs, and the time that was spent."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from featinv.audit.encoding import EncodingPlan
from featinv.audit.suite import SuitePlan
from featinv.errors import BadInput
from featinv.files import read_json, write_json

FILE_NAME = "audit.json"


class Record:
    """`audit.json` in the folder of an audit: written before any attack is trained, so that a killed one goes on."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self.content: dict[str, Any] = read_json(self.file) if self.file.is_file() else {}
        self._before: dict[str, float] = {}
        self.encoding: EncodingPlan | None = None
        """what is still to be encoded, as the plan said it"""

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
            self.content |= {"before_training": {}}
            self.content |= {} if self.encoding is None else {"encoding": self.encoding.as_json()}
        for what, seconds in self._before.items():
            self.before_training[what] = self.before_training.get(what, 0.0) + seconds
        self._before = {}
        self.write()

    @contextlib.contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Note how long the body takes: work that is done before training, and is no part of the minutes."""
        started = time.monotonic()
        yield
        self._before[what] = self._before.get(what, 0.0) + time.monotonic() - started

    @property
    def before_training(self) -> dict[str, float]:
        """Seconds of reading and encoding, those of an audit that was killed while it trained included."""
        return self.content.setdefault("before_training", {})

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
