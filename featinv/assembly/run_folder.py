"""One folder a run: a finished run is shown again, another configuration never overwrites it."""

import dataclasses
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import featinv as fi
from featinv.files import read_json, write_json


class RunFolder:
    """The folder of one run of one configuration.

    `settings` is a (nested) dataclass; all of it but the folder itself and `tracking` must be equal when the run is
    opened again, else BadInput names the difference. `finished` tells whether `complete` was called.
    """

    def __init__(self, path: Path | str, settings: Any) -> None:
        self.path = Path(path)
        self.settings = _plain(dataclasses.asdict(settings))
        for name in ("out", "tracking"):  # where results go and who is told of them changes no result
            self.settings.pop(name, None)
        if self.path.is_file():
            raise fi.BadInput(f"{self.path}: expected a folder for the run's results, got a file; choose another --out")
        there = [file.name for file in self.path.iterdir()] if self.path.is_dir() else []
        # A run that failed before it made anything, mostly by a wrong flag, leaves only its name: nothing to protect.
        if there == ["run.json"] and not self.finished:
            there = []
        elif "run.json" in there:
            self._must_be_equal(read_json(self.path / "run.json").get("settings"))
        elif there:
            raise fi.BadInput(
                f"{self.path}: holds files, but no run of featinv; choose an empty or new folder with --out"
            )
        self._started = time.monotonic()
        fi.processes.barrier()
        if fi.processes.is_main() and not self.finished:
            write_json(self.path / "run.json", {"schema": 1, "settings": self.settings, "finished": False})
        fi.processes.barrier()

    @property
    def finished(self) -> bool:
        """Whether a run of this configuration ended here."""
        file = self.path / "run.json"
        return file.is_file() and bool(read_json(file).get("finished"))

    def complete(self) -> None:
        """Mark the run as finished, with the time it took (of this process) and where it ran."""
        if fi.processes.is_main():
            record = {
                "schema": 1,
                "settings": self.settings,
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
            write_json(self.path / "run.json", record)

    def folder(self, name: str) -> Path:
        """Return the folder of one attack: its name in lower case, with dashes."""
        return self.path / fi.files.folder_name(name)

    def _must_be_equal(self, there: Any) -> None:
        if there == self.settings:
            return
        differences = sorted(_differences(there, self.settings))
        raise fi.BadInput(
            f"{self.path}: holds a run of another configuration ({'; '.join(differences[:3])}"
            f"{'; ...' if len(differences) > 3 else ''}); choose another --out, or remove that folder"
        )


def _accelerator() -> str:
    """Return the name of the device that the main process computes on."""
    import torch

    device = fi.processes.device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _plain(value: Any) -> Any:
    """Return what JSON would give back: tuples as lists, paths as strings, and so NaN, which it has no number for."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    unwritable = isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value))
    return str(value) if unwritable else value


def _differences(there: Any, here: Any, path: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        keys = sorted(set(there) | set(here))
        return [
            difference
            for key in keys
            for difference in _differences(there.get(key), here.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if there == here else [f"{path or 'settings'}: {there!r} there, {here!r} here"]
