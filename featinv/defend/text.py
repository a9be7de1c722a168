"""What a sweep prints, and the sentences that its report and decision share."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featinv.defend.policy import Keep, Policy, percent

if TYPE_CHECKING:
    from featinv.defend.candidates import Candidate
    from featinv.defend.inputs import Inputs
    from featinv.defend.measurement import Measurement
    from featinv.defend.running import Decision
    from featinv.defend.settings import DefendSettings

WIDTH = 120
NAMES = {
    "probe": "the accuracy of a linear probe",
    "20-NN": "the accuracy of 20 nearest neighbours",
    "head": "the accuracy of the untouched classifier",
    "class mAP@50": "class mAP@50",
    "recall@10": "recall@10 of the undefended neighbours",
}
NOT_SHOWN = (
    "Ceilings are for an attack on one released vector at a time, in a closed gallery, when every candidate is equally "
    "likely. An attacker who assigns all vectors at once, holds several releases of an image or knows more of the "
    "candidates is not covered.",
    "The ceiling is the mean over images. Single images, such as unusual ones, can be found more often; only a bound "
    "marked worst case holds for each image.",
    "Every limit is one side of a 95 % interval of its own. The recommended setting is the best of many, so that its "
    "numbers are slightly optimistic: measure it again on other vectors.",
    "Utility is measured for the classes given, and by simple readers. Another task can lose more, or less.",
    "Classes and attributes can be read from the vectors wherever class utility is kept: nothing here hides them. "
    "Membership in the encoder's training data is not examined.",
    "Pixel error is not bounded, because such certificates say nothing for pooled vectors: at 2.8 bits a pixel value, "
    "which density models reach on CIFAR-10, the entropy-power bound allows every attack 43.6 dB on a release of 7 "
    "bits, and the strongest attacks reach about 14 dB.",
)
OWASP = (
    ("Embedding inversion", "measured: floor and ceiling bound what any reconstruction of one vector identifies"),
    (
        "Unauthorised access and data leakage",
        "in part: the numbers say what a reader of leaked vectors could identify; access control is not examined",
    ),
    (
        "Cross-context leaks",
        "in part: linkage with another collection of the same encoder is the attack whose rate is reported",
    ),
    ("Data poisoning", "not measured"),
    ("Behaviour alteration", "not measured; class utility says what classification loses"),
)
"""the weaknesses listed by OWASP LLM08:2025, vector and embedding weaknesses, and what a report says of each"""


def sentence(decision: "Decision", policy: Policy, keep: Keep | None, gallery: int, measure: str) -> str:
    """Return one sentence to quote: the recommended setting, what it keeps, and its floor and ceiling."""
    demanded = str(policy) + (f" and {keep}" if keep is not None else "")
    if decision.recommended is None:
        count = len(decision.sweep.measurements)
        met = [verdict for verdict in decision.verdicts if verdict.policy_met]
        closest = f"; {len(met)} {'meets' if len(met) == 1 else 'meet'} the policy alone" if met else ""
        return f"None of {count} settings meets {demanded} among {gallery:,} candidates{closest}."
    chosen = decision.recommended
    verdict = next(verdict for verdict in decision.verdicts if verdict.label == chosen.label)
    kept = _kept(chosen, decision.sweep.raw, measure)
    floor = "" if verdict.floor is None else f"at least {percent(verdict.floor)} % and "
    assert verdict.ceiling is not None
    return (
        f"Released as {chosen.label}, {floor}at most {percent(verdict.ceiling)} % of images have their original "
        f"{among(policy.k)} of {gallery:,} candidates, whatever attack is made on one vector at a time; "
        f"{kept}."
    )


def among(k: int) -> str:
    """Return where an original is found in the first k: "first", or "among the first k"."""
    return "first" if k == 1 else f"among the first {k}"


def _kept(chosen: "Measurement", raw: "Measurement", measure: str) -> str:
    ours, theirs = chosen.utility.get(measure), raw.utility.get(measure)
    if ours is None or theirs is None:
        return "utility was not measured"
    return f"{NAMES[measure]} is {percent(ours.mean)} % (undefended {percent(theirs.mean)} %)"


def say_plan(settings: "DefendSettings", inputs: "Inputs", candidates: "Sequence[Candidate]") -> None:
    """Print what is measured, before anything is."""
    demanded = f"{settings.asked}" + (f", {settings.kept}" if settings.kept is not None else "")
    _say(
        f"{len(candidates)} settings on {len(inputs.private):,} private and {len(inputs.public):,} public vectors of "
        f"{inputs.width:,} numbers; {inputs.gallery:,} candidates; demanded: {demanded}."
    )
    for note in inputs.notes:
        _say(f"Note: {note}.")


def say_attacked(labels: "Sequence[str]") -> None:
    """Print for which settings the attack suite is trained."""
    _say(f"Training the attack suite on: {', '.join(labels)}.")


def say_decision(settings: "DefendSettings", decision: "Decision", line: str, page: Path) -> None:
    """Print the verdicts' counts, the sentence to quote, and where everything lies."""
    counts = {
        colour: sum(verdict.colour == colour for verdict in decision.verdicts) for colour in ("green", "red", "grey")
    }
    print(f"{counts['green']} green, {counts['red']} red, {counts['grey']} grey.")
    for label, why in decision.sweep.left_out.items():
        _say(f"Left out: {label}: {why}")
    _say(line)
    print(f"Report: {page}; decision: {Path(settings.out) / 'decision.json'}", flush=True)


def _say(line: str) -> None:
    print(textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False), flush=True)
