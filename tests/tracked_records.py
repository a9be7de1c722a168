"""Offline runs read back with wandb's own reader, as somebody who syncs them would."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Records:
    """What one offline run holds: its start, config, summary, rows of history, tables and images."""

    def __init__(self, folder: Path) -> None:
        wandb = Path(sys.executable).with_name("wandb")
        told = subprocess.run([wandb, "leet", "inspect", "--json", folder], capture_output=True, text=True, check=True)
        self.folder = folder
        self.text = told.stdout
        self.records = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
        self.start = self.of("run")[0]
        self.config = dict(self.start["config"]["update"])
        for update in self.of("config"):
            self.config |= update["update"]
        self.summary: dict[str, Any] = {}
        for update in self.of("summary"):
            self.summary |= update["update"]
        self.history = [row["item"] for row in self.of("history")]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in self.records if record["type"] == kind]

    def table(self, key: str) -> dict[str, list[Any]]:
        """Columns of a table; images as arrays. wandb keeps them in the artifact that belongs to the table."""
        entries = [one["manifest"]["contents"] for one in self.of("artifact")]
        found = next(one for one in entries if any(entry["path"] == f"{key}.table.json" for entry in one))
        files = {entry["path"]: Path(entry["local_path"]) for entry in found}
        content = json.loads(files[f"{key}.table.json"].read_text(encoding="utf-8"))
        columns = list(zip(*content["data"], strict=True))
        return {
            name: [self._cell(cell, files) for cell in column]
            for name, column in zip(content["columns"], columns, strict=True)
        }

    def image(self, key: str) -> np.ndarray:
        return np.asarray(Image.open(self.folder / "files" / self.summary[f"{key}.path"]))

    @staticmethod
    def _cell(cell: Any, files: dict[str, Path]) -> Any:
        is_image = isinstance(cell, dict) and cell.get("_type") == "image-file"
        return np.asarray(Image.open(files[cell["path"]])) if is_image else cell


def read_all(folder: Path) -> dict[str, Records]:
    """All runs of a study by their names."""
    runs = [Records(run) for run in sorted((folder / "wandb").glob("offline-run-*"))]
    return {run.start["display_name"]: run for run in runs}
