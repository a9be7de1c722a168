"""Who scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import featinv as fi
from featinv.assembly.victim_settings import fill
from featinv.configuration import Component, build
from featinv.training.settings import ClassifierTraining

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.types import Judge


@dataclass(frozen=True)
class JudgeSettings:
    """An independent network that only ever scores."""

    judge: Component = Component("judge", {"source": "scenes-vgg"})
    """an export of featinv.encoders that returns a judge: `judge` (a packaged name or a file) or `cifar_judge`"""
    train: bool = False
    """train one on the labelled public images when the file `judge.args.source` does not exist, and keep it there"""
    network: Component = Component("SmallVGG")
    """what to train: SmallVGG, or SmallMixer where the encoder itself is of VGG's family or a second judge is wanted"""
    training: ClassifierTraining = field(default_factory=ClassifierTraining)
    """how to train it"""


def build_judges(
    settings: Mapping[str, JudgeSettings], public: "ImageSet", folders: Mapping[str, str | None] | None = None
) -> "list[Judge]":
    """Load the judges, training those that are missing and may be trained. Raises BadInput when there is none."""
    if not settings:
        raise fi.BadInput("--judges: expected at least one judge of another family than the encoder; got none")
    return [_judge(setting, public, folders) for setting in settings.values()]


def judge_fingerprints(
    settings: Mapping[str, JudgeSettings], folders: Mapping[str, str | None] | None = None
) -> list[str]:
    """Return the fingerprints of the judges as they are now; empty for one that would have to be trained first."""
    parts = [fill(setting.judge, folders) for setting in settings.values()]
    missing = [
        setting.train and not Path(str(part.args.get("source", ""))).is_file()
        for setting, part in zip(settings.values(), parts, strict=True)
    ]
    return ["" if absent else build(part, fi.encoders).fingerprint for part, absent in zip(parts, missing, strict=True)]


def _judge(settings: JudgeSettings, public: "ImageSet", folders: Mapping[str, str | None] | None) -> "Judge":
    part = fill(settings.judge, folders)
    file = Path(str(part.args.get("source", "")))
    # The main process answers for all: another one may come to look only when this judge has just been saved.
    if settings.train and not fi.processes.broadcast(file.is_file()):
        if fi.processes.is_main():
            judge, _ = fi.training.train_judge(
                public, settings.training, make=lambda heads: build(settings.network, fi.encoders.networks, heads)
            )
            fi.encoders.save_judge(judge, file)
        fi.processes.barrier()
    return build(part, fi.encoders).to(fi.processes.device())
