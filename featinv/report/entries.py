"""The rows of one or several scoreboards as the report shows them: which lead, in which order, under which names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featinv.evaluation import AttackScore, Catalogue, Scoreboard
from featinv.evaluation.attack_score import WITHOUT_IMAGES
from featinv.metrics.metric import Metric, Place
from featinv.report.runs import Rows, Run


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of a run under its `label`; `leads` and `is_best_control` mark the leading attack and its best control."""

    label: str
    run: Run
    row: AttackScore
    leads: bool
    is_best_control: bool

    @property
    def is_attack(self) -> bool:
        """Whether the row is an attack and no control."""
        return self.row.kind == "attack"

    @property
    def links(self) -> bool:
        """Whether the row identifies images from their vectors and reconstructs nothing."""
        return self.row.role in WITHOUT_IMAGES

    @property
    def history(self) -> Rows:
        """Return the rows of its training."""
        return self.run.histories.get(self.row.name, [])

    def values(self, metric: str) -> np.ndarray | None:
        """Return the numbers per image, where they are at hand."""
        return self.run.board.per_image.get(f"{self.row.name}/{metric}")


def catalogue_of(runs: Sequence[Run]) -> Catalogue:
    """Return the metrics of these runs.

    Raises BadInput where two runs mean different things by one name: their numbers do not compare.
    """
    return Catalogue.of(*(run.board.protocol for run in runs))


def shown_metrics(listed: Sequence[Entry], place: Place) -> list[Metric]:
    """Return the metrics that a place of the report shows."""
    return catalogue_of([entry.run for entry in listed]).at(place)


def entries(runs: Sequence[Run]) -> list[Entry]:
    """Return the controls of all runs, then the attacks of all runs."""
    several = len(runs) > 1
    listed = []
    for run in runs:
        leading, best = leading_attack(run.board), named_control(run.board)
        for row in run.board.attacks:
            label = f"{row.name} ({run.name})" if several else row.name
            listed.append(Entry(label, run, row, row is leading, row is best))
    return sorted(listed, key=lambda entry: entry.is_attack)


def leading_attack(board: Scoreboard) -> AttackScore | None:
    """Return the attack that the level rests on, else the one with the greatest strength; None where there is none."""
    attacks = [row for row in board.attacks if row.kind == "attack"]
    level = board.leak_level
    if level is not None and level.row in {row.name for row in attacks}:
        return board[level.row or ""]
    return max(attacks, key=_strength, default=None)


def best_control(rows: Sequence[AttackScore]) -> AttackScore | None:
    """Return the control that an attack has to beat: the one with the highest top-10 re-identification."""
    return max((row for row in rows if row.counts_as_control), key=_strength, default=None)


def named_control(board: Scoreboard) -> AttackScore | None:
    """Return the control that strengths are relative to, which the protocol names."""
    name = board.protocol.get("best_control")
    return next((row for row in board.attacks if row.name == name), None)


def _strength(row: AttackScore) -> tuple[float, float]:
    rate = row.metrics.get("attack_strength") or row.metrics.get("reid_top10")
    fidelity = row.metrics.get("psnr")
    return (rate.mean if rate else -math.inf, fidelity.mean if fidelity else -math.inf)
