"""One folder a run: a finished run is shown again, and no other configuration, input or process overwrites it."""

import dataclasses
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import featinv as fi
from featinv.assembly.folder_lock import LOCK_NAME, FolderLock
from featinv.assembly.setting_differences import differences, located, plain
from featinv.files import read_json, write_json

RECORD = "run.json"
CACHES = frozenset({"features", "images", "release"})
"""what a run computes before its first result; a manifest in each says of what, so that no other run takes it for its
own"""


class RunFolder:
    """The folder of one run: of one configuration, on the same inputs, in one process at a time.

    `settings` is a (nested) dataclass; all of it but the folder itself and `tracking` must be equal when the run is
    opened again, else BadInput names the difference. Paths of existing files are equal where they point to the same
    file. An unfinished folder stays locked as long as this object lives (under `accelerate launch`, that of the main
    process); BadInput where another process has the lock. `finished` tells whether `complete` was called.
    """

    def __init__(self, path: Path | str, settings: Any) -> None:
        self.path = Path(path)
        self.settings = plain(dataclasses.asdict(settings))
        for name in ("out", "tracking"):  # where results go and who is told of them changes no result
            self.settings.pop(name, None)
        self._paths = located(self.settings)
        self._lock: FolderLock | None = None
        self._started = time.monotonic()
        error = ""
        if fi.processes.is_main():
            try:
                self._open()
            except fi.BadInput as refusal:
                self._unlock()
                error = str(refusal)
        # One process looks, so that all agree; the others wait here until run.json is written.
        if error := fi.processes.broadcast(error):
            raise fi.BadInput(error)

    @property
    def finished(self) -> bool:
        """Whether a run of this configuration ended here."""
        return bool(self._record().get("finished"))

    def must_be_of(self, inputs: Mapping[str, Any]) -> None:
        """Note the inputs (JSON-able fingerprints by what they are of), or compare them with those noted before.

        Raises BadInput where one differs, and where a finished run does not say what it was made of.
        """
        error = ""
        if fi.processes.is_main():
            record = self._record()
            recorded, here = record.get("inputs", {}), plain(dict(inputs))
            differing = [what for what in here if what in recorded and recorded[what] != here[what]]
            unknown = [what for what in here if what not in recorded]
            if differing or (unknown and record.get("finished")):
                said = f"{', '.join(differing)} differ now" if differing else f"it does not say of which {unknown[0]}"
                error = (
                    f"{self.path}: holds a run of other inputs ({said}); choose another --out, or remove that folder"
                )
            elif unknown:
                write_json(self.path / RECORD, {**record, "inputs": {**recorded, **here}})
        if error := fi.processes.broadcast(error):
            raise fi.BadInput(error)

    def complete(self) -> None:
        """Mark the run as finished, with the time it took (of this process) and where it ran."""
        if fi.processes.is_main():
            record = {
                **self._identity(),
                "inputs": self._record().get("inputs", {}),
                "finished": True,
                "seconds": round(time.monotonic() - self._started, 1),
                "processes": fi.processes.world_size(),
                "machine": {
                    "system": platform.system(),
                    "processor": platform.machine(),
                    "python": platform.python_version(),
                    "cores": os.cpu_count(),
                    "accelerator": _accelerator(),
                },
                "featinv": fi.__version__,
            }
            write_json(self.path / RECORD, record)

    def folder(self, name: str) -> Path:
        """Return the folder of one attack; different names have different folders."""
        return self.path / fi.files.folder_name(name)

    def _open(self) -> None:
        if self.path.is_file():
            raise fi.BadInput(f"{self.path}: expected a folder for the run's results, got a file; choose another --out")
        if self._files() and not (self.path / RECORD).exists():
            raise fi.BadInput(
                f"{self.path}: holds files, but no run of featinv; choose an empty or new folder with --out"
            )
        if not self.finished:
            self._take_lock()
        record = self._record()
        # A run that failed before its first result, mostly by a wrong flag, has nothing to protect.
        if self._files() <= {RECORD} | CACHES and not record.get("finished"):
            record = {}
        if record:
            self._must_be_equal(record)
        if record.get("finished"):
            self._unlock()
            return
        begun = {"finished": False, "process": {"pid": os.getpid(), "host": platform.node()}}
        write_json(self.path / RECORD, {**self._identity(), "inputs": record.get("inputs", {}), **begun})

    def _take_lock(self) -> None:
        try:
            self._lock = FolderLock(self.path)
        except (OSError, NotImplementedError) as error:
            raise fi.BadInput(
                f"{self.path}: cannot be written and locked ({error}); choose another --out, on a local disk"
            ) from error
        if not self._lock.taken:
            process = self._record().get("process", {})
            raise fi.BadInput(
                f"{self.path}: another process (pid {process.get('pid', 'unknown')} on "
                f"{process.get('host', 'an unknown host')}) works in this folder; wait for it, or choose another --out"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _files(self) -> set[str]:
        return {file.name for file in self.path.iterdir()} - {LOCK_NAME} if self.path.is_dir() else set()

    def _record(self) -> dict[str, Any]:
        file = self.path / RECORD
        record = read_json(file) if file.is_file() else {}
        if not isinstance(record, dict):
            raise fi.BadInput(
                f"{file}: expected the record of a run, got {type(record).__name__}; choose another --out"
            )
        return record

    def _identity(self) -> dict[str, Any]:
        return {"schema": 2, "settings": self.settings, "paths": self._paths}

    def _must_be_equal(self, record: Mapping[str, Any]) -> None:
        differing = differences(record.get("settings"), self.settings, record.get("paths", {}), self._paths)
        if differing:
            raise fi.BadInput(
                f"{self.path}: holds a run of another configuration ({'; '.join(differing[:3])}"
                f"{'; ...' if len(differing) > 3 else ''}); choose another --out, or remove that folder"
            )


def _accelerator() -> str:
    """Return the name of the device that the main process computes on."""
    import torch

    device = fi.processes.device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
