"""What has to be confirmed before a low level means anything: the positive controls of a pass."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from featinv.evaluation.leak_level import LEVELS, NOT_SHOWN, LeakLevel
from featinv.features import Pairs

MOST_ZERO_ROWS = 0.01
LEAST_DISTINCT_ROWS = 8
"""more than a handful; a codebook of 16 codes is still a release"""
BLIND = 0.5
"""share of softened, compressed or moved originals that a judge should rank first; one that ranks fewer sees little"""
LARGEST_EFFECT = {"L1": 0.25, "L2": 0.65, "L3": 0.95, "L4": 0.95}
"""largest minimum detectable effect with which a level could have been shown: L1, label agreement above that of
mismatched vectors; L2, share of the other images of its class; L3 and L4, top-1 re-identification"""


@dataclass(frozen=True)
class Check:
    """One positive control: its name, whether it holds, and the evidence in one sentence without a full stop."""

    name: str
    passed: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return the check in the public shape of `scoreboard.json`."""
        return asdict(self)


def read_checks(protocol: Mapping[str, Any]) -> tuple[Check, ...]:
    """Return the checks that an audit left in a scoreboard's protocol; none for a board that no audit made.

    Raises ValueError for entries that are no checks.
    """
    checks = []
    for entry in protocol.get("checks") or ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("passed"), bool):
            raise ValueError(f"checks: expected name, passed and text, got {entry!r}")
        checks.append(Check(str(entry["name"]), entry["passed"], str(entry["text"])))
    return tuple(checks)


def check_vectors(public: Pairs, private: np.ndarray) -> Check:
    """Check that the vectors vary: hardly any zero row, more than a handful of distinct ones; duplicates are counted.

    `private` is (N, D) or (N, C, h, w), as released.
    """
    step = 4096
    blocks = [
        public.features(np.arange(start, min(start + step, len(public)))) for start in range(0, len(public), step)
    ]
    sides = {"public": _row_facts(blocks), "private": _row_facts([private])}
    wrong = [f"{side}: {fault}" for side, facts in sides.items() if (fault := facts.fault)]
    counted = "; ".join(f"{side}: {facts.text}" for side, facts in sides.items())
    return Check("vectors", not wrong, "; ".join(wrong) if wrong else f"the vectors vary ({counted})")


def check_power(level: LeakLevel, above: str) -> Check:
    """Check that each level above `above` ("not shown" or "L1" to "L4") could have been shown with these images.

    A level could have been shown where its minimum detectable effect (80 % power) is at most `LARGEST_EFFECT`.
    """
    order = (NOT_SHOWN, *LEVELS)
    wanted = order[order.index(above) + 1 :]
    short = [name for name in wanted if not _detectable(level, name)]
    if not wanted:
        return Check("power", True, "no level lies above the one that is allowed")
    if short:
        return Check(
            "power",
            False,
            f"too few private images to show {' or '.join(short)} had it been there ({_effects(level, short)}); "
            "give more private images",
        )
    return Check("power", True, f"{' and '.join(wanted)} could have been shown ({_effects(level, wanted)})")


def _detectable(level: LeakLevel, name: str) -> bool:
    effect = level.minimum_detectable_effect.get(name)
    if effect is None:
        return False
    if name != "L1":
        return effect <= LARGEST_EFFECT[name]
    # L1 is measured against the agreement that mismatched vectors reach, which differs from run to run.
    chances = [entry.value.chance for entry in level.evidence if entry.level == "L1" and entry.value.chance is not None]
    return bool(chances) and effect - float(np.mean(chances)) <= LARGEST_EFFECT["L1"]


def _effects(level: LeakLevel, names: Sequence[str]) -> str:
    effects = [
        f"{name}: {100 * level.minimum_detectable_effect[name]:.0f} %"
        if name in level.minimum_detectable_effect
        else f"{name}: none"
        for name in names
    ]
    return "minimum detectable effect " + ", ".join(effects)


@dataclass(frozen=True)
class _RowFacts:
    count: int
    zeros: int
    distinct: int

    @property
    def fault(self) -> str:
        """Why these rows are no release of images; "" where nothing is wrong."""
        if self.distinct == 1:
            return f"all {self.count:,} vectors are equal"
        if self.zeros > max(1, MOST_ZERO_ROWS * self.count):
            return f"{self.zeros:,} of {self.count:,} vectors are zero"
        if self.distinct < LEAST_DISTINCT_ROWS:
            return f"only {self.distinct} distinct vectors among {self.count:,}"
        return ""

    @property
    def text(self) -> str:
        """The counts in words."""
        return f"{self.distinct:,} distinct of {self.count:,}, {self.count - self.distinct:,} duplicates"


def _row_facts(blocks: Sequence[np.ndarray]) -> _RowFacts:
    digests: set[bytes] = set()
    count = zeros = 0
    for block in blocks:
        rows = np.ascontiguousarray(block, dtype=np.float32).reshape(len(block), -1) + 0.0  # -0.0 equals 0.0
        count += len(rows)
        zeros += int((~rows.any(axis=1)).sum())
        # Digests: a million vectors of 2,048-d would hold 8 GB.
        digests.update(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
    return _RowFacts(count, zeros, len(digests))
