"""The whole logging in one call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from featinv.evaluation import Scoreboard
from featinv.tracking.study import Study
from featinv.tracking.tracking_settings import TrackingSettings
from featinv.types import Attack
from featinv.victim import Release


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

    `attacks` adds how each was made and its learning curves. The private images of `release` are shown only with
    `log_private_images`. Online without a login it writes to `folder`/wandb and says so; a wandb that fails never stops
    the program. Raises BadInput for wrong arguments. `Study` has all the settings.
    """
    settings = TrackingSettings(project=project, study=study, mode=mode, log_private_images=log_private_images)
    return Study(folder, settings, config=config).log(board, attacks, release)
