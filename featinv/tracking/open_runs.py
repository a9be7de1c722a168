"""The runs of a study that are open, their ids on disk, and the one guarded call: a failing tracker stops nothing."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from featinv import environment, files
from featinv.errors import BadInput
from featinv.tracking.run_record import CURVE_STEP, RunRecord
from featinv.tracking.tracking_settings import TrackingSettings

IDS = "runs.json"
OF_AGENTS = ("attack", "setting")
"""kinds of runs that take the id which a sweep's agent gives; the first one does"""
Mode = Literal["disabled", "offline", "online"]
_SECONDS_BETWEEN_WRITES = 5.0
_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Guard:
    """Calls functions that use a tracker; after the first failure it logs one line and is `silent`."""

    def __init__(self, tracker: str, *, silent: bool = False) -> None:
        self.tracker = tracker
        self.silent = silent

    def call(self, function: Callable[[], Result]) -> Result | None:
        """Return the result; None after a failure, now or before."""
        if self.silent:
            return None
        try:
            return function()
        except ModuleNotFoundError as error:
            self._give_up(f"{error.name} is not installed (pip install {self.tracker})")
        except Exception as error:  # noqa: BLE001  # the one broad except of featinv: a tracker never stops a run
            self._give_up(one_line(error))
        return None

    def _give_up(self, why: str) -> None:
        self.silent = True
        _log.warning("%s: %s; the run goes on without it", self.tracker, why)


def one_line(error: Exception) -> str:
    """Return an error as a line of at most 300 letters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class OpenRuns:
    """The runs of a study that are open in this process.

    Under a wandb agent (`sweep`) the first attack takes the agent's id.
    """

    def __init__(self, folder: Path, study: str, settings: TrackingSettings) -> None:
        self.folder = folder
        self.study = study
        self.settings = settings
        self.mode = environment.wandb_mode(settings.mode)
        self._guard = Guard("wandb", silent=self.mode == "disabled")
        self.sweep = bool(os.environ.get("WANDB_SWEEP_ID"))
        self._runs: dict[str, Any] = {}
        self._states = self._read()
        self._written = 0.0

    @property
    def silent(self) -> bool:
        """Whether nothing more is logged: switched off, or failed."""
        return self._guard.silent

    def row(self, record: RunRecord, row: Mapping[str, int | float]) -> None:
        """Log one row of a learning curve."""
        self._guard.call(lambda: self._log_rows(self._open(record), record.key, [row]))

    def finish(self, record: RunRecord) -> dict[str, str]:
        """Log the rest of a run and close it; returns its id by its name, or nothing after a failure."""
        return self._guard.call(lambda: self._finish(record)) or {}

    def log_place(self) -> None:
        """Log where the study is and how to send it."""
        if not self.silent and self.mode == "offline":
            where = f"{self.folder}/offline-run-*"
            _log.info("wandb: study %r is written, offline; `wandb sync %s` sends it", self.study, where)

    def _finish(self, record: RunRecord) -> dict[str, str]:
        from featinv.tracking import wandb_runs

        run = self._open(record)
        self._log_rows(run, record.key, record.curves)
        with wandb_runs.kept_in(self.folder):
            wandb_runs.write_results(run, record, settings=self.settings, mode=self.mode)
            run.finish()
        del self._runs[record.key]
        self._write_states()
        return {record.name: run.id}

    def _log_rows(self, run: Any, key: str, rows: Any) -> None:
        from featinv.tracking import wandb_runs

        state = self._states[key]
        for row in rows:
            if row.get(CURVE_STEP, 0) > state["logged"]:
                wandb_runs.write_row(run, row)
                state["logged"] = row[CURVE_STEP]
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self._write_states()

    def _open(self, record: RunRecord) -> Any:
        if record.key in self._runs:
            return self._runs[record.key]
        from featinv.tracking import wandb_runs

        state = self._states.setdefault(record.key, {"id": self._new_id(record), "logged": -1})
        self._write_states()
        if self.mode == "online" and (why := wandb_runs.not_to_be_sent()):
            self._offline(why)
        with wandb_runs.kept_in(self.folder):
            run = self._start(record, state)
        self._runs[record.key] = run
        return run

    def _start(self, record: RunRecord, state: dict[str, Any]) -> Any:
        from featinv.tracking import wandb_runs

        def start() -> Any:
            return wandb_runs.open_run(
                record,
                run_id=state["id"],
                study=self.study,
                folder=self.folder,
                mode=self.mode,
                settings=self.settings,
            )

        if self.mode == "offline":
            return start()
        try:
            return start()
        except wandb_runs.NO_SERVER as error:
            self._offline(one_line(error))
            # wandb keeps the id of a run that failed to open.
            state.update(id=secrets.token_hex(8), logged=-1)
            self._write_states()
            return start()

    def _offline(self, why: str) -> None:
        self.mode = "offline"
        _log.warning(
            "wandb: %s; the study goes to %s instead (`wandb login`, then `wandb sync`, sends it)", why, self.folder
        )

    def _new_id(self, record: RunRecord) -> str:
        given = os.environ.get("WANDB_RUN_ID") if self.sweep and record.job_type in OF_AGENTS else None
        taken = {state["id"] for state in self._states.values()}
        return given if given and given not in taken else secrets.token_hex(8)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            states = files.read_json(self.folder / IDS)
            return {
                str(key): {"id": str(state["id"]), "logged": float(state["logged"])} for key, state in states.items()
            }
        except (BadInput, KeyError, TypeError, ValueError, AttributeError):
            return {}  # none yet, or another program's: new ids

    def _write_states(self) -> None:
        self._written = time.monotonic()
        files.write_json(self.folder / IDS, self._states)
