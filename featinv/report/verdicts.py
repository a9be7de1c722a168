"""The verdict at the top: the level, the sentence to quote, and what stands beside it."""

from featinv.evaluation import AttackScore, Interval
from featinv.evaluation.attack_score import MISMATCHED_FEATURES
from featinv.evaluation.leak_level import LEVELS, NOT_SHOWN, LeakLevel
from featinv.evaluation.positive_controls import check_power, read_checks
from featinv.report.document import Confirmation, Step, Verdict
from featinv.report.finished_run import Run
from featinv.report.leading import leading_attack, named_control
from featinv.report.words import LEVEL_MEANINGS

NOT_ASSESSED = "not assessed"
_NOTHING = "No attack was measured here, so that nothing can be said of what leaks."


def verdict(run: Run) -> Verdict:
    """Return what one run says in a sentence, what its best control finds, and where it stands on the scale."""
    level = run.board.leak_level
    if level is None:
        return Verdict(run.name, NOT_ASSESSED, beside_the_control(run) or _NOTHING)
    held = {one.level for one in level.evidence if one.shown}
    steps = tuple(Step(name, LEVELS[name], LEVEL_MEANINGS[name], name in held) for name in LEVELS)
    reached = level.level
    title = f"{reached} ({LEVELS[reached]})" if reached in LEVELS else reached
    return Verdict(run.name, title, level.sentence, steps, beside_the_control(run), confirmations(run, level))


def confirmations(run: Run, level: LeakLevel) -> tuple[Confirmation, ...]:
    """Return the checklist of an audit: its positive controls, and the power to show more than was shown."""
    checks = read_checks(run.board.protocol)
    if not checks:
        return ()
    reached = level.level if level.level in LEVELS else NOT_SHOWN
    return tuple(Confirmation(check.name, check.passed, check.text) for check in (*checks, check_power(level, reached)))


def beside_the_control(run: Run) -> str:
    """Say how many originals the leading attack finds, and how many are found without any; "" without an attack."""
    leader, control = leading_attack(run.board), named_control(run.board)
    found = leader.metrics.get("reid_top10") if leader else None
    if leader is None or found is None:
        return ""
    told = (
        f"From what {leader.name!r} makes of a vector, a judge finds the original among the first ten of "
        f"{run.board.protocol.get('gallery', found.n):,} candidates for {_percent(found)} of images"
    )
    against = control.metrics.get("reid_top10") if control else None
    if control is None or against is None:
        return f"{told}."
    what = "other images' vectors" if control.role == MISMATCHED_FEATURES else "no trained attack"
    beside = f"The best control, {control.name!r} ({what}), does so for {_percent(against)}."
    return f"{told}. {beside} {_added(leader)}".strip()


def _added(attack: AttackScore) -> str:
    strength = attack.metrics.get("attack_strength")
    if strength is None:
        return ""
    if strength.low > 0:
        return "The attack finds more than any control."
    if strength.high < 0:
        return "The control finds more than the attack: this much the vectors give away without any training."
    return "That the attack finds more than the control is not shown."


def _percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f} to {100 * interval.high:.1f}]"
