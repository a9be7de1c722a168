"""One run of the reproduction: what the figures share, and which function draws which."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import figure_1
import figure_2
import figure_3
import figure_4
import figure_5
import images
import models
import numbers_page
from scales import Scale

import featinv as fi
from featinv.assembly import JudgeSettings, VictimSettings
from featinv.configuration import Component
from featinv.files import read_json, write_json
from featinv.tracking import TrackingSettings

FIGURES = {
    "1": figure_1.draw,
    "2": figure_2.draw,
    "3": figure_3.draw,
    "4": figure_4.draw,
    "5": figure_5.draw,
}


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
        found = images.photographs(self.scale, self.data, self.upscale)
        self.confirm({"the photographs": found.fingerprint})
        return found

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
        made = models.prepare(self.scale, victim, training, unseen, judge, self.out / "models")
        made.listener = self.told.listener
        return made

    @cached_property
    def told(self) -> "fi.tracking.Study":
        """What wandb gets."""
        return fi.tracking.Study(self.out, self.tracking, config=self.config)

    @cached_property
    def trained(self) -> Any:
        """All models of figures 4 and 5."""
        return models.models(self.study)


def draw(job: Job, figure: str) -> None:
    """Draw one figure unless it is there, and write its numbers."""
    record = job.out / f"figure_{figure}.json"
    if fi.processes.broadcast(record.is_file()):
        if fi.processes.is_main():
            drawn = job.out / f"figure_{figure}.png"
            print(f"figure {figure}: is there already ({drawn}; its images were not read again)")
        return
    numbers = FIGURES[figure](job)
    if fi.processes.is_main():
        write_json(record, numbers)
        found = {name: read_json(path) for name in FIGURES if (path := job.out / f"figure_{name}.json").is_file()}
        with fi.files.atomic_file(job.out / "numbers.md") as temporary:
            temporary.write_text(numbers_page.page(found, enlarged=job.upscale), encoding="utf-8")
        print(f"figure {figure}: {job.out / f'figure_{figure}.png'}", flush=True)
    fi.processes.barrier()
