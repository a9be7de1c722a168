"""The verdict at the top: the level, the sentence to quote, and the best control beside it."""

from featinv.evaluation import AttackScore, Interval
from featinv.evaluation.attack_score import MISMATCHED_FEATURES
from featinv.evaluation.leak_level import LEVELS, NOT_SHOWN, LeakLevel
from featinv.evaluation.positive_controls import check_power, read_checks
from featinv.report.document import Confirmation, Step, Verdict
from featinv.report.entries import leading_attack, named_control
from featinv.report.runs import Run

NOT_ASSESSED = "not assessed"
_NOTHING = "No attack was measured here. The scoreboard does not show what leaks."
_MEANINGS = {
    "L1": "A judge recognises what kind of thing an image shows.",
    "L2": "Reconstructions look more like their own originals than like others of their kind.",
    "L3": "Some originals are identified among many candidates.",
    "L4": "Most originals are identified among many candidates.",
}


def verdict(run: Run) -> Verdict:
    """Return the verdict of one run: its sentence, its best control, and its place on the scale of levels."""
    level = run.board.leak_level
    if level is None:
        return Verdict(run.name, NOT_ASSESSED, beside_the_control(run) or _NOTHING)
    held = {evidence.level for evidence in level.evidence if evidence.shown}
    steps = tuple(Step(name, LEVELS[name], _MEANINGS[name], name in held) for name in LEVELS)
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
    """Return top-10 re-identification of the leading attack and of the best control; "" without an attack."""
    leader, control = leading_attack(run.board), named_control(run.board)
    rate = leader.metrics.get("reid_top10") if leader else None
    if leader is None or rate is None:
        return ""
    candidates = run.board.protocol.get("gallery", rate.n)
    sentences = [
        f"A judge that sees the reconstructions of {leader.name!r} ranks the original among the first ten of "
        f"{candidates:,} candidates for {_percent(rate)} of images."
    ]
    best = control.metrics.get("reid_top10") if control else None
    if control is not None and best is not None:
        what = "other images' vectors" if control.role == MISMATCHED_FEATURES else "no trained attack"
        sentences += [f"The best control, {control.name!r} ({what}), reaches {_percent(best)}.", _added(leader)]
    return " ".join(sentence for sentence in sentences if sentence)


def _added(attack: AttackScore) -> str:
    strength = attack.metrics.get("attack_strength")
    if strength is None:
        return ""
    if strength.low > 0:
        return "The attack identifies more images than any control."
    if strength.high < 0:
        return "The control identifies more images than the attack: this much leaks without any training."
    return "It is not shown that the attack identifies more images than the control."


def _percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f} to {100 * interval.high:.1f}]"
