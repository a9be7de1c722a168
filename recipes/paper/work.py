"""One run of the reproduction: what its figures share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import images
import models
from scales import Scale

import featinv as fi
from featinv.assembly import JudgeSettings, VictimSettings
from featinv.configuration import Component
from featinv.tracking import TrackingSettings


@dataclass
class Job:
    """The victim, the judge and the images of one run, made when a figure first needs them."""

    scale: Scale
    out: Path
    data: str | None
    upscale: bool
    weights: str | None
    tracking: TrackingSettings
    config: Any
    confirm: Callable[[dict[str, Any]], None] = lambda inputs: None
    """compares fingerprints of inputs with those that the run began with"""

    @cached_property
    def victim(self) -> "fi.Victim":
        """The encoder, without a defence. Raises BadInput with the ways to get weights where they are missing."""
        settings = VictimSettings(encoder=self.scale.encoder, defence=Component("Identity"))
        victim = fi.assembly.build_victim(settings, {"weights": self.weights}).to(fi.processes.device())
        self.confirm({"the victim": victim.fingerprint, "the version of featinv": fi.__version__})
        return victim

    @cached_property
    def judges(self) -> "list[fi.types.Judge]":
        """Who scores figures 4 and 5: the first draws the curves, the second stands in the scoreboard only."""
        parts = [part for part in (self.scale.judge, self.scale.second_judge) if part is not None]
        settings = {str(place): JudgeSettings(judge=part) for place, part in enumerate(parts)}
        nothing: Any = None  # judges that are not trained here need no images
        judges = fi.assembly.build_judges(settings, nothing, {"weights": self.weights})
        self.confirm(fi.assembly.judges_of(judge.fingerprint for judge in judges))
        return judges

    @cached_property
    def photographs(self) -> "fi.data.ImageSet":
        """The images of figures 1 to 3."""
        photographs = images.photographs(self.scale, self.data, self.upscale)
        self.confirm({"the photographs": photographs.fingerprint})
        return photographs

    @cached_property
    def split(self) -> Any:
        """(training, unseen, overlap) of figures 4 and 5."""
        training, unseen, overlap = images.many(self.scale, self.data, self.upscale, self.out / "images")
        self.confirm({"the training images": training.fingerprint, "the unseen images": unseen.fingerprint})
        return training, unseen, overlap

    @cached_property
    def study(self) -> "models.Study":
        """The shared material of figures 4 and 5."""
        victim, judge = self.victim, self.judges[0]  # weights that are missing are said before images are read
        training, unseen, _ = self.split
        study = models.prepare(self.scale, victim, training, unseen, judge, self.out / "models")
        study.listener = self.tracking_study.listener
        return study

    @cached_property
    def tracking_study(self) -> "fi.tracking.Study":
        """What is logged to wandb."""
        return fi.tracking.Study(self.out, self.tracking, config=self.config)

    @cached_property
    def trained(self) -> Any:
        """All models of figures 4 and 5."""
        return models.models(self.study)
