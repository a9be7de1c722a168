"""The runs of one study in a tracker: one an attack, one for the comparison."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

from featinv import processes
from featinv.evaluation import Scoreboard
from featinv.tracking.attack_record import attack_record, first_record
from featinv.tracking.comparison_record import comparison_record
from featinv.tracking.open_runs import OpenRuns
from featinv.tracking.places import plain_settings
from featinv.tracking.posterior_record import posterior_parts, samples_table
from featinv.tracking.probe_table import PROBE_KEY, draw_probe, probe_tables
from featinv.tracking.run_record import Reference, RunRecord
from featinv.tracking.tracking_settings import TrackingSettings
from featinv.types import Attack
from featinv.victim import Release

_log = logging.getLogger(__name__)


@final
class Study:
    """Logs one run folder to wandb: learning curves while attacks train, everything else after scoring.

    Files go to `folder`/wandb; the ids of the runs stand in its runs.json, so that a killed run goes on under the same
    ids. Only the main process logs. Only BadInput for wrong arguments is raised: after a failure of the tracker the
    study logs one line and stays silent. `config` are the settings that made the run (a dataclass or
    a mapping).
    """

    def __init__(self, folder: Path | str, settings: TrackingSettings | None = None, *, config: Any = None) -> None:
        self.folder = Path(folder)
        self.settings = TrackingSettings() if settings is None else settings
        self.config = plain_settings(config)
        self.name = self.settings.study or self.folder.absolute().name
        self.runs = OpenRuns(self.folder / "wandb", self.name, self.settings) if processes.is_main() else None

    def listener(self, name: str, attack: Attack) -> Callable[[Mapping[str, int | float]], None] | None:
        """Return a function that logs the rows of an attack's learning curves, for `fit(pairs, listener=...)`.

        None where nothing is logged.
        """
        runs = self.runs
        if runs is None or runs.silent:
            return None
        start = first_record(name, attack, self.config, tags=self.settings.tags)
        return lambda row: runs.row(start, row)

    def log(
        self,
        board: Scoreboard,
        attacks: Mapping[str, Attack] | None = None,
        release: Release | None = None,
        *,
        features: Path | str | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> dict[str, str]:
        """Log one run an attack and one for the comparison; returns their ids by name (none where nothing is logged).

        `attacks` adds how each was made and learnt; with `release`, and when the settings ask for private images by
        name, the images of the probe too. `features` is the folder of the attacker's feature store, and `folders`
        those of the saved attacks: they become artifacts.
        """
        runs = self.runs
        if runs is None or runs.silent:
            return {}
        settings, size = self.settings, int(board.protocol["private"]["count"])
        if settings.probe > size:
            _log.warning(
                "tracking.probe: %d images asked for, but the release has %d; all are shown", settings.probe, size
            )
        given = {} if attacks is None else dict(attacks)
        drawn = draw_probe(board, settings.probe if settings.log_private_images else 0)
        probes = probe_tables(board, given, release, settings.probe, with_images=settings.log_private_images)
        saved = {name: self._saved(name, Path(folder), board) for name, folder in (folders or {}).items()}
        store = None if features is None else self._store(board, Path(features))
        ids: dict[str, str] = {}
        for row in board.attacks:
            if row.role != row.kind or (attacks is not None and row.name not in given):
                continue  # rows that the scorer makes stand in the comparison only
            if runs.sweep and row.kind != "attack":
                continue  # an agent's run is one attack
            attack = given.get(row.name)
            samples = samples_table(board, row.name, attack, release, drawn) if len(drawn) else None
            posterior = posterior_parts(board, row.name, samples)
            record = attack_record(
                board,
                row,
                attack,
                self.config,
                tags=settings.tags,
                tables={**posterior.tables, **({PROBE_KEY: probes[row.name]} if row.name in probes else {})},
                images=posterior.images,
                plots=posterior.plots,
                references=tuple(reference for reference in (saved.get(row.name), store) if reference is not None),
            )
            ids |= runs.finish(record)
        if not runs.sweep:
            used = [replace(reference, made=False) for reference in saved.values()]
            references = (*used, *([] if store is None else [replace(store, made=True)]))
            ids |= runs.finish(comparison_record(board, self.config, tags=settings.tags, references=references))
        runs.log_place()
        return ids

    def log_records(self, records: Sequence[RunRecord]) -> dict[str, str]:
        """Log runs that a caller describes itself; returns their ids by name. A sweep's agent has one: the first."""
        runs = self.runs
        if runs is None or runs.silent:
            return {}
        ids: dict[str, str] = {}
        for record in records[:1] if runs.sweep else records:
            ids |= runs.finish(record)
        runs.log_place()
        return ids

    def _saved(self, name: str, folder: Path, board: Scoreboard) -> Reference:
        facts = {"victim": board.victim.get("fingerprint"), "study": self.name}
        return Reference(_artifact_name(self.name, "attack", name), "attack", folder, facts, made=True)

    def _store(self, board: Scoreboard, folder: Path) -> Reference:
        public = board.protocol.get("public") or {}
        facts = {"victim": board.victim.get("fingerprint"), "public": public.get("fingerprint"), "study": self.name}
        return Reference(_artifact_name(self.name, "features"), "features", folder, facts, made=False)


def log(
    board: Scoreboard,
    attacks: Mapping[str, Attack] | None = None,
    release: Release | None = None,
    *,
    project: str = "featinv",
    study: str = "",
    mode: Literal["online", "offline", "disabled"] = "online",
    folder: Path | str = ".",
    log_private_images: bool = False,
    config: Any = None,
) -> dict[str, str]:
    """Log a scoreboard to wandb: one run an attack and one for the comparison; returns the runs' ids by name.

    `attacks` adds settings and learning curves. The private images of `release` are shown only with
    `log_private_images`. Online without a login it writes to `folder`/wandb and logs a line; a failing wandb never
    stops the program. Raises BadInput for wrong arguments. `Study` has all the settings.
    """
    settings = TrackingSettings(project=project, study=study, mode=mode, log_private_images=log_private_images)
    return Study(folder, settings, config=config).log(board, attacks, release)


def _artifact_name(*names: str) -> str:
    """Return a name that wandb takes (letters, digits, dashes; 128 of them), and that other names do not get."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(names)).strip("-")[:100]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{readable}-{digest}"
