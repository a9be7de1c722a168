"""The rows of one or several scoreboards as the report shows them: controls first, each with a name of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featinv.evaluation import AttackScore, Catalogue
from featinv.evaluation.attack_score import LINKAGE
from featinv.metrics.metric import Metric, Place
from featinv.report.finished_run import Rows, Run
from featinv.report.leading import leading_attack, named_control


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of a run, called `label`; `leads` and `is_best_control` say what it is to its scoreboard."""

    label: str
    run: Run
    row: AttackScore
    leads: bool
    is_best_control: bool

    @property
    def is_attack(self) -> bool:
        """Whether the row is what is being measured, and no control."""
        return self.row.kind == "attack"

    @property
    def links(self) -> bool:
        """Whether the row matches vectors with images at hand and reconstructs nothing."""
        return self.row.role == LINKAGE

    @property
    def history(self) -> Rows:
        """What its training said of itself."""
        return self.run.histories.get(self.row.name, [])

    def values(self, metric: str) -> np.ndarray | None:
        """Return the numbers per image, where they are at hand."""
        return self.run.board.per_image.get(f"{self.row.name}/{metric}")


def catalogue_of(runs: Sequence[Run]) -> Catalogue:
    """Return the metrics that these runs speak of.

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
