"""The only file that calls wandb: it opens runs and writes records, without output and without unrequested data."""

import contextlib
import json
import netrc
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import numpy as np
import wandb

from featinv.files import sha256_file
from featinv.tracking.places import without_places
from featinv.tracking.run_record import CURVE_STEP, Plot, Reference, RunRecord, RunTable
from featinv.tracking.tracking_settings import TrackingSettings

Mode = Literal["disabled", "offline", "online"]
DIRECTIONS = {"val/psnr": "max", "train/loss": "min"}
"""Best value of a curve, kept in the summary. All private numbers go into the summary as they are."""
NO_SERVER = (wandb.errors.CommError, wandb.errors.UsageError)
"""Raised on opening a run where there is no network or the login is refused."""
LARGEST = 64 * 2**20
"""Bytes up to which a file is read for its sha256; a larger one is recorded by name and size."""
_SECONDS_TO_START, _SECONDS_TO_UPLOAD = 60.0, 600.0


def logged_in() -> bool:
    """Say whether wandb would find credentials, without asking for them."""
    settings = wandb.setup().settings
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")) or settings.api_key:
        return True
    host = urlparse(settings.base_url).hostname or ""
    given = os.environ.get("NETRC")
    for file in [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(file).authenticators(host):
                return True
    return False


def not_to_be_sent() -> str:
    """Return why nothing may be sent: wandb's own settings files forbid it, or nobody is logged in; else ""."""
    settings = wandb.Settings()
    settings.update_from_system_settings()  # what `wandb offline` and `wandb init --mode` wrote
    if settings.mode in ("offline", "dryrun", "disabled"):
        return f"wandb's settings file says mode = {settings.mode}"
    return "" if logged_in() else "nobody is logged in"


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Make wandb stage its files, the images of tables among them, under `folder` instead of the home folder."""
    places = {"WANDB_DATA_DIR": folder / "data", "WANDB_CACHE_DIR": folder / "cache"}
    added = {name: str(place.absolute()) for name, place in places.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def open_run(
    record: RunRecord, *, run_id: str, study: str, folder: Path, mode: Mode, settings: TrackingSettings
) -> wandb.Run:
    """Open the run of this id anew or again; other runs of the same process are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=settings.project,
        entity=settings.entity or None,
        dir=str(folder.parent),
        id=run_id,
        resume="allow",
        name=record.name,
        group=study,
        job_type=record.job_type,
        tags=[tag[:64] for tag in dict.fromkeys(record.tags)],
        config=_without_machine(record.config, settings),
        mode=mode,
        reinit="create_new",
        settings=_reserved(settings),
    )
    run.define_metric(CURVE_STEP, hidden=True)
    for family in ("train/*", "val/*"):
        run.define_metric(family, step_metric=CURVE_STEP)
    for name, direction in DIRECTIONS.items():
        run.define_metric(name, step_metric=CURVE_STEP, summary=direction)
    return run


def write_row(run: wandb.Run, row: Mapping[str, int | float]) -> None:
    """Add one row of a learning curve."""
    run.log({name: value for name, value in row.items() if name != "step"})


def write_results(run: wandb.Run, record: RunRecord, *, settings: TrackingSettings, mode: str) -> None:
    """Add tables, images, plots, references and the summary of a run; its curves are written as they come."""
    run.config.update(_without_machine(record.config, settings), allow_val_change=True)
    logged: dict[str, Any] = {key: _table(table) for key, table in record.tables.items()}
    logged |= {key: wandb.Image(pixels) for key, pixels in record.images.items()}
    logged |= {key: _plot(plot) for key, plot in record.plots.items()}
    if logged:
        run.log(logged)
    for reference in record.references:
        _refer(run, reference, settings, mode)
    run.summary.update(_without_machine(record.summary, settings))


def _without_machine(facts: Mapping[str, Any], settings: TrackingSettings) -> dict[str, Any]:
    return dict(facts) if settings.log_machine else without_places(facts)


def _reserved(settings: TrackingSettings) -> wandb.Settings:
    """Return wandb's settings: silent, without console, code and statistics, and (unless asked) without the machine."""
    values: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "disable_code": True,
        "save_code": False,
        "disable_job_creation": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
        "init_timeout": _SECONDS_TO_START,
        "finish_timeout": _SECONDS_TO_UPLOAD,
    }
    if not settings.log_machine:
        values |= {"disable_git": True, "x_disable_meta": True, "x_disable_machine_info": True}
        values |= dict.fromkeys(("host", "username", "email", "program", "program_relpath", "program_abspath"), "")
    return wandb.Settings(**values)


def _table(table: RunTable) -> wandb.Table:
    rows = [[wandb.Image(cell) if isinstance(cell, np.ndarray) else cell for cell in row] for row in table.rows]
    return wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True)


def _plot(plot: Plot) -> Any:
    if plot.kind == "line":
        stroke = plot.table.columns[0]
        return wandb.plot.line(_table(plot.table), plot.first, plot.second, stroke=stroke, title=plot.title)
    draw = {"bar": wandb.plot.bar, "scatter": wandb.plot.scatter}[plot.kind]
    return draw(_table(plot.table), plot.first, plot.second, title=plot.title)


def _refer(run: wandb.Run, reference: Reference, settings: TrackingSettings, mode: str) -> None:
    """Name a folder as an artifact by a list of its files; those themselves only when asked for."""
    if not reference.folder.is_dir() or not (reference.made or mode == "online"):
        return  # a folder that was used is known to a server only
    metadata = {**reference.metadata, "folder": reference.folder.name}
    artifact = wandb.Artifact(reference.name, type=reference.kind, metadata=without_places(metadata))
    with artifact.new_file("contents.json", encoding="utf-8") as file:
        json.dump(_contents(reference.folder), file, indent=1)
    if settings.upload:
        artifact.add_dir(str(reference.folder))
    elif settings.log_machine:
        artifact.add_reference(reference.folder.absolute().as_uri(), checksum=False)
    if reference.made:
        run.log_artifact(artifact)
    else:
        run.use_artifact(artifact)


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {"name": {"bytes", "sha256"}} of all files below `folder`, in alphabetical order."""
    listed = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        digest = {"sha256": sha256_file(file)} if size <= LARGEST else {}
        listed[file.relative_to(folder).as_posix()] = {"bytes": size, **digest}
    return listed
