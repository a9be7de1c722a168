"""Which row of a scoreboard the report speaks of first."""

import math
from collections.abc import Sequence

from featinv.evaluation import AttackScore, Scoreboard


def leading_attack(board: Scoreboard) -> AttackScore | None:
    """Return the attack that the level rests on, else the one with the greatest strength; None where there is none."""
    attacks = [row for row in board.attacks if row.kind == "attack"]
    level = board.leak_level
    if level is not None and level.row in {row.name for row in attacks}:
        return board[level.row or ""]
    return max(attacks, key=_strength, default=None)


def best_control(rows: Sequence[AttackScore]) -> AttackScore | None:
    """Return the control that an attack has to beat: the first of those that find most originals among ten."""
    return max((row for row in rows if row.counts_as_control), key=_strength, default=None)


def named_control(board: Scoreboard) -> AttackScore | None:
    """Return the control that strengths are held against, which the protocol names."""
    name = board.protocol.get("best_control")
    return next((row for row in board.attacks if row.name == name), None)


def _strength(row: AttackScore) -> tuple[float, float]:
    known = row.metrics.get("attack_strength") or row.metrics.get("reid_top10")
    fidelity = row.metrics.get("psnr")
    return (known.mean if known else -math.inf, fidelity.mean if fidelity else -math.inf)
