"""What happens between steps: validation, checkpoints, snapshots, the progress bar."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from featinv.errors import BadInput
from featinv.training.checkpoints import Checkpoints
from featinv.training.collapse import CollapseWatch
from featinv.training.history import History
from featinv.training.progress import Progress
from featinv.training.selection import Selection, check_finite, copied_weights, validate
from featinv.training.settings import Training
from featinv.training.step import Step
from featinv.types import PairsLike


@final
class Snapshots:
    """Calls `take(attack, images)` once for each number in `at`, as soon as so many training images have been seen.

    `attack` is a fitted copy with the weights of that moment (the averaged ones where there is an average). A training
    that resumes from a checkpoint does not repeat those of before it. Raises BadInput for a number below 1.
    """

    def __init__(self, at: Sequence[int], take: Callable[[Any, int], object]) -> None:
        self.at = tuple(sorted(set(at)))
        self.take = take
        if self.at and self.at[0] < 1:
            raise BadInput(f"snapshots: expected numbers of images of at least 1, got {self.at[0]}")


class SnapshotCallback:
    """The callback of `Snapshots`: hands over copies of the weights when they are due."""

    def __init__(self, step: Step, snapshots: Snapshots) -> None:
        self.step, self.snapshots = step, snapshots

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        for images in self.snapshots.at:
            if progress.last_images < images <= progress.images:
                self.snapshots.take(copied_weights(self.step.network), images)


VALIDATIONS = 20
"""over the budget, unless the settings say every how many images"""
WARM_STEPS = 12
"""steps before the speed is believed"""


class Validation:
    """Measures the network on held-out public pairs now and then and at the end; the best weights go to `selection`."""

    def __init__(
        self,
        step: Step,
        held_out: PairsLike,
        settings: Training,
        history: History,
        selection: Selection,
        device: torch.device,
    ) -> None:
        self.step, self.held_out, self.settings = step, held_out, settings
        self.history, self.selection, self.device = history, selection, device

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        every = self.settings.validate_every
        if not (progress.done or progress.every(images=every, parts=None if every else VALIDATIONS)):
            return
        self.history.check(progress)
        score = validate(self.step.network, self.held_out, self.device)
        self.history.record(progress, {"val/psnr": score})
        if self.settings.keep == "best":
            self.selection.offer(self.step.network, score, progress.step)


class CheckpointCallback:
    """Writes a checkpoint when one is due and at the end; a state that is not finite is not written."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        accelerator: Accelerator,
        step: Step,
        history: History,
        identity: dict[str, Any],
        watch: CollapseWatch | None,
    ) -> None:
        self.checkpoints, self.accelerator, self.step = checkpoints, accelerator, step
        self.history, self.identity, self.watch = history, identity, watch

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        if progress.done or self.checkpoints.due(progress):
            self.history.check(progress)
            check_finite(self.step.network.state_dict(), progress)
            since = None if self.watch is None else self.watch.since
            self.checkpoints.save(self.accelerator, progress, self.identity, sound_until=since)


class ListenerCallback:
    """Hands every closed row of the history to `listener` once, validation included: to a tracker or a plot."""

    def __init__(self, history: History, listener: Callable[[dict[str, float]], object]) -> None:
        self.history, self.listener = history, listener
        self._handed = len(history.rows)  # those of before a resume were handed over then

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        for row in self.history.rows[self._handed :]:
            self.listener(dict(row))
        self._handed = len(self.history.rows)


class Bar:
    """The progress bar: images, loss, PSNR of the last validation, time left; writes one estimate above itself."""

    def __init__(self, bar: tqdm, history: History, progress: Progress) -> None:
        self.bar, self.history = bar, history
        self._first = progress.step
        self._warm: tuple[float, float, int] | None = None
        self._estimated = False
        self._psnr = ""

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        taken = progress.step - self._first
        if self._warm is None and taken >= 2:  # the first steps allocate, plan and compile
            self._warm = (progress.seconds, progress.fraction, progress.images)
        left = self._seconds_left(progress)
        if not self._estimated and taken >= WARM_STEPS and self._warm is not None and left is not None:
            self._estimated = True
            speed = (progress.images - self._warm[2]) / max(progress.seconds - self._warm[0], 1e-9)
            if not self.bar.disable:
                estimate = f"{self.bar.desc}: about {format_duration(left)} to go ({speed:,.0f} images/s)"
                self.bar.write(estimate, file=sys.stderr)
        postfix = {"loss": f"{self.history.means['train/loss']:.4f}"} if "train/loss" in self.history.means else {}
        if self.history.rows and "val/psnr" in self.history.rows[-1]:
            self._psnr = f"{self.history.rows[-1]['val/psnr']:.2f}"
        if self._psnr:
            postfix["psnr"] = self._psnr
        if left is not None:
            postfix["left"] = format_duration(left)
        self.bar.set_postfix(postfix, refresh=False)
        self.bar.update(progress.images - self.bar.n)

    def _seconds_left(self, progress: Progress) -> float | None:
        if self._warm is None or progress.fraction <= self._warm[1]:
            return None
        seconds, fraction, _ = self._warm
        return (progress.seconds - seconds) / (progress.fraction - fraction) * (1.0 - progress.fraction)


def format_duration(seconds: float) -> str:
    """Return a duration rounded for reading: 40 s, 4 min, 2.5 h."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
