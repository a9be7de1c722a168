"""The network at chosen moments of its training, for whoever wants to look."""

from collections.abc import Callable, Sequence
from typing import Any, final

from torch import Tensor

from featinv.errors import BadInput
from featinv.training.progress import Progress
from featinv.training.selection import copied_weights
from featinv.training.step import Step


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
    """The watcher of `Snapshots`: hands over copies of the weights when they are due."""

    def __init__(self, step: Step, at: Sequence[int], take: Callable[[dict[str, Tensor], int], object]) -> None:
        self.step, self.at, self.take = step, at, take

    def __call__(self, progress: Progress, _: dict[str, Tensor]) -> None:
        for images in self.at:
            if progress.last_images < images <= progress.images:
                self.take(copied_weights(self.step.network), images)
