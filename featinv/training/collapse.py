"""Noticing that an adversarial training has failed."""

import logging
from typing import Any

import torch
from torch import Tensor

from featinv import processes
from featinv.training.progress import Progress

_log = logging.getLogger(__name__)

STEPS_IN_A_ROW = 500
"""steps for which it must look bad before a warning is given"""
STEPS_BETWEEN_LOOKS = 20
"""over which the figures are averaged; looking at them makes the host wait for an accelerator"""
WON = 0.99
"""accuracy from which the discriminator has won"""
COLLAPSED = 0.05
"""share of the originals' spread below which the reconstructions are one image; a decoder that explains a hundredth
of the variance of the pixels has twice that"""

_ACCURACY, _DIVERSITY = "train/discriminator/accuracy", "train/diversity"


class CollapseWatch:
    """Watches accuracy and diversity from the share `start` of the budget on, and warns when one stays bad.

    `notices` are the warnings, one of a kind at most; each is logged once. `since` is the step after which the trouble
    began: set as soon as it may be one, and kept once it was reported, because the training state from before is worth
    keeping. The state is part of a checkpoint, so that a resumed training gives the same warnings.
    """

    def __init__(self, start: int | float) -> None:
        self.start = start
        self.notices: list[str] = []
        self._began: dict[str, int] = {}
        self._reported: list[str] = []
        self._sums: Tensor | None = None
        self._count = 0

    @property
    def since(self) -> int | None:
        """The step after which the oldest trouble began, or None."""
        return min(self._began.values(), default=None)

    def __call__(self, progress: Progress, values: dict[str, Tensor]) -> None:
        if progress.last_fraction >= self.start and _ACCURACY in values:
            accuracy = values[_ACCURACY].detach()
            # A batch of one image has no diversity to measure.
            diversity = values.get(_DIVERSITY, torch.ones_like(accuracy) / processes.world_size()).detach()
            both = torch.stack([accuracy, diversity])
            self._sums = both if self._sums is None else self._sums + both
            self._count += 1
        if self._sums is not None and progress.step % STEPS_BETWEEN_LOOKS == 0:
            self._look(progress)

    def _look(self, progress: Progress) -> None:
        assert self._sums is not None
        if processes.world_size() > 1:
            torch.distributed.all_reduce(self._sums)
        accuracy, diversity = (self._sums / self._count).tolist()
        began = progress.step - self._count
        self._sums, self._count = None, 0
        self._judge("won", accuracy >= WON, began, progress, f"an accuracy of {accuracy:.3f}")
        self._judge("collapsed", diversity < COLLAPSED, began, progress, f"a diversity of {diversity:.3f}")

    def _judge(self, kind: str, bad: bool, began: int, progress: Progress, figure: str) -> None:
        if kind in self._reported:
            return
        if not bad:
            self._began.pop(kind, None)
            return
        if progress.step - self._began.setdefault(kind, began) >= STEPS_IN_A_ROW:
            self._reported.append(kind)
            when = f"since step {self._began[kind]} ({figure} over the last {STEPS_BETWEEN_LOOKS} steps)"
            self.notices.append(f"{_WORDS[kind]} {when}. {_TRY[kind]} {_KEPT}")
            if processes.is_main():
                _log.warning("%s", self.notices[-1])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {
            "notices": list(self.notices),
            "began": dict(self._began),
            "said": list(self._reported),
            "sums": self._sums,
            "count": self._count,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.notices, self._began, self._reported = list(state["notices"]), dict(state["began"]), list(state["said"])
        self._sums, self._count = state["sums"], int(state["count"])


_KEPT = "The newest training state from before, if any was written, is kept."
_WORDS = {
    "won": "The discriminator has won: it tells originals from their reconstructions almost always",
    "collapsed": "The reconstructions have collapsed: different vectors give almost the same image",
}
_TRY = {
    "won": "The decoder learns little from it now: try a smaller adversary.lr, an augmentation, a penalty (R1, LeCam), "
    "or a larger adversary.weight.",
    "collapsed": "Try a smaller adversary.weight or adversary.lr, or penalties (R1 and R2).",
}
