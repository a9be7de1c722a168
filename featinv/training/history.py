"""The history of a training, a row at a time."""

import math
from typing import Any

import torch
from torch import Tensor

from featinv import processes
from featinv.errors import Diverged
from featinv.training.progress import Progress, rate
from featinv.training.settings import Training

ROWS = 200
"""rows over the whole budget, besides those of validations"""
STEPS_BETWEEN_CHECKS = 20
"""with an accelerator or several processes: reading a loss makes the host wait, so it is read this often"""


class History:
    """Keeps the means of the values that steps return as rows, and stops a training that is not finite.

    A row is {"step", "images", "seconds", "lr", "train/loss", "train/loss/<term>", ...}, with "val/psnr" where a
    validation took place. Call it after every step. Raises Diverged that names the term, the step and what to try.
    """

    def __init__(self, settings: Training) -> None:
        self.settings = settings
        self.rows: list[dict[str, float]] = []
        self.means: dict[str, float] = {}
        # By the names that came together: not every step returns every value.
        self._sums: dict[tuple[str, ...], tuple[Tensor, int]] = {}
        self._checked = 0

    def __call__(self, progress: Progress, values: dict[str, Tensor]) -> None:
        stacked = torch.stack([value.detach() for value in values.values()])
        before = self._sums.get(names := tuple(values))
        self._sums[names] = (stacked, 1) if before is None else (before[0] + stacked, before[1] + 1)
        cheap = stacked.device.type == "cpu" and processes.world_size() == 1
        if progress.every(parts=ROWS):
            self.record(progress, {})
        elif cheap or progress.step % STEPS_BETWEEN_CHECKS == 0:
            self.check(progress)

    def check(self, progress: Progress) -> None:
        """Bring the means up to date; raises Diverged when one is not finite (in all processes together)."""
        if not self._sums:
            return
        summed = torch.cat([sums for sums, _ in self._sums.values()])
        if processes.world_size() > 1:
            torch.distributed.all_reduce(summed)
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}
        numbers = iter(summed.tolist())
        for names, (_, count) in self._sums.items():
            for name in names:
                totals[name] = totals.get(name, 0.0) + next(numbers)
                counts[name] = counts.get(name, 0) + count
        self.means = {name: total / counts[name] for name, total in totals.items()}
        self._stop_if_not_finite(progress)
        self._checked = progress.step

    def record(self, progress: Progress, extra: dict[str, float]) -> None:
        """Close a row at this step, or add `extra` to the one that was closed at it."""
        if self.rows and self.rows[-1]["step"] == progress.step:
            self.rows[-1].update(extra)
            return
        self.check(progress)
        row = {"step": progress.step, "images": progress.images, "seconds": round(progress.seconds, 3)}
        row["lr"] = self.settings.lr * rate(self.settings, progress.last_fraction)
        self.rows.append(row | self.means | extra)
        self._sums = {}

    def _stop_if_not_finite(self, progress: Progress) -> None:
        # Losses only: a gradient that overflows in fp16 is left out and harmless, in other precisions the loss follows.
        bad = [name for name, mean in self.means.items() if name.startswith("train/loss") and not math.isfinite(mean)]
        if not bad:
            return
        first = self._checked + 1
        when = f"step {first}" if first == progress.step else f"steps {first} to {progress.step}"
        named = max(bad, key=lambda name: name.count("/"))  # a single term says more than the total
        raise Diverged(
            f"{named} became {self.means[named]} in {when} ({progress.images} images); nothing saved before is "
            f"lost. Try a smaller training.lr (now {self.settings.lr:g}), a smaller training.clip (now "
            f"{self.settings.clip}), or mixed_precision 'no', and resume or start again."
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        sums = [(list(names), total, count) for names, (total, count) in self._sums.items()]
        return {"rows": self.rows, "sums": sums, "looked": self._checked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows, self._checked = state["rows"], state["looked"]
        self._sums = {tuple(names): (total, count) for names, total, count in state["sums"]}
