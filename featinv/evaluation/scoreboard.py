"""The frozen result of a comparison."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from featinv.errors import BadInput
from featinv.evaluation.attack_score import AttackScore
from featinv.evaluation.intervals import Interval, paired
from featinv.evaluation.scoreboard_file import SCHEMA, save
from featinv.evaluation.table import render


@dataclass(frozen=True, eq=False)
class Scoreboard:
    """Rows of numbers with intervals, controls first, with the victim, the protocol and the numbers of every picture.

    `per_image` maps "<attack>/<metric>" (first judge, whole gallery) and "<attack>/<metric>/<view>" to (N,) arrays in
    the order of the release. `print(board)` shows the table.
    """

    victim: dict[str, Any]
    protocol: dict[str, Any]
    attacks: tuple[AttackScore, ...]
    per_image: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return render(self.victim, self.protocol, self.attacks)

    def __getitem__(self, name: str) -> AttackScore:
        """Return the row called `name`; BadInput lists the names that exist."""
        for row in self.attacks:
            if row.name == name:
                return row
        raise BadInput(f"scoreboard: no row {name!r}; there are {', '.join(repr(row.name) for row in self.attacks)}")

    def as_json(self) -> dict[str, Any]:
        """Return the public shape of `scoreboard.json`."""
        return {
            "schema": SCHEMA,
            "victim": self.victim,
            "protocol": self.protocol,
            "attacks": [row.as_json() for row in self.attacks],
        }

    def save(self, folder: Path | str) -> None:
        """Write `scoreboard.json` and `per_image.npz` into `folder`, atomically; BadInput when the disk is full."""
        save(Path(folder), self.as_json(), self.per_image)

    def versus(self, first: str, second: str, metric: str = "psnr") -> Interval:
        """Return the mean of `first - second` over the pictures, in pairs, with its interval.

        `metric` is a per-picture name such as "psnr", "judge_agreement" or "judge_cosine/low-pass". Raises BadInput for
        a row or a metric that was not measured, and for a scoreboard without numbers per picture.
        """
        columns = [self._column(name, metric).astype(np.float64) for name in (first, second)]
        return paired(*columns, resamples=int(self.protocol["resamples"]), seed=int(self.protocol["seed"]))

    def _column(self, name: str, metric: str) -> np.ndarray:
        name = self[name].name
        if f"{name}/{metric}" not in self.per_image:
            known = sorted(key[len(name) + 1 :] for key in self.per_image if key.startswith(f"{name}/"))
            have = f"it has {', '.join(known)}" if known else "its per_image.npz is missing"
            raise BadInput(f"scoreboard: {name!r} has no numbers per picture for {metric!r}; {have}")
        return self.per_image[f"{name}/{metric}"]
