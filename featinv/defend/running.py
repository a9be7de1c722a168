"""The sweep itself: measure every setting, decide, and write what was found."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import nn

import featinv as fi
from featinv import environment, processes
from featinv.defend import text
from featinv.defend.attacking import AttackVectors, Shown, attacked
from featinv.defend.cache import Cache
from featinv.defend.candidates import Candidate, read_candidates
from featinv.defend.decision import write_decision
from featinv.defend.inputs import Inputs, inputs_in_memory, open_inputs
from featinv.defend.measurement import Measurement, Sweep
from featinv.defend.measuring import fit_defence, too_long
from featinv.defend.measuring import measure as measure_setting
from featinv.defend.page import write_page
from featinv.defend.policy import MEASURES, Keep, Policy
from featinv.defend.settings import DefendSettings
from featinv.defend.tracked import track
from featinv.defend.verdicts import Verdict, judge, recommended
from featinv.errors import BadInput
from featinv.evaluation.utility import Utility
from featinv.outputs import check_out

DEFENCE_FOLDER = "defence"


@final
@dataclass(frozen=True)
class Decision:
    """All settings with their verdicts, in order, and the one that is recommended (None: none is green)."""

    sweep: Sweep
    verdicts: tuple[Verdict, ...]
    recommended: Measurement | None

    @property
    def exit_code(self) -> int:
        """0 where a setting meets policy and utility, else 1."""
        return 0 if self.recommended is not None else 1


def run_defend(settings: DefendSettings, *, attack: AttackVectors | None = None) -> Decision:
    """Measure every setting on the vectors, decide which may be released, and write the results.

    `attack` trains the audit's suite on defended vectors (`featinv.audit.attack_vectors`); it is called where the
    settings name the images of both sides. Leaves report.html, decision.json, settings/ (what was measured, reused when
    called again) and, where a setting is recommended, defence/ with the fitted defence. Raises BadInput for vectors,
    labels, images and settings that cannot be used, and for a folder that holds anything else.
    """
    if processes.world_size() > 1:
        raise BadInput("defend: runs in one process; start it with --num_processes 1")
    environment.check()
    check_out(settings.out)
    fi.tracking.TrackingSettings(**settings.tracking)
    if settings.public is not None and attack is None:
        raise BadInput("--public, --private: expected an attack suite to train on these images; pass attack=")
    processes.share_threads()
    candidates = read_candidates(settings.defences)
    inputs = open_inputs(settings)
    out = Path(settings.out)
    cache = Cache(out, settings, inputs)
    text.say_plan(settings, inputs, candidates)
    sweep = measure_all(candidates, inputs, _top(settings.asked), cache, all_must=settings.defences is not None)
    decision = decide(sweep, settings.asked, settings.kept)
    sheets: list[Shown] = []
    if settings.public is not None and attack is not None:
        sweep, sheets = attacked(sweep, decision.verdicts, _by_label(candidates), inputs, settings, attack)
        decision = decide(sweep, settings.asked, settings.kept)
    defence = _save_defence(decision, _by_label(candidates), inputs, out / DEFENCE_FOLDER)
    measure = leading_measure(sweep, settings.kept)
    line = text.sentence(decision, settings.asked, settings.kept, inputs.gallery, measure)
    write_decision(out, settings, inputs, decision, measure, line)
    page = write_page(out, settings, inputs, decision, measure, line, sheets, defence)
    track(settings, decision, measure, line)
    text.say_decision(settings, decision, line, page)
    return decision


def recommend(
    private: Any,
    public: Any,
    *,
    private_labels: Any = None,
    public_labels: Any = None,
    defences: Sequence[str] | None = None,
    policy: str = "top10<=10%",
    keep: str = "98%",
    gallery: int = 1000,
    seed: int = 0,
) -> tuple[Decision, str]:
    """Return the decision on undefended vectors in memory, (N, D) each, and its sentence; nothing is written.

    `defences` are settings as a file of them lists (None: the built-in grid); the labels are one class a vector. Raises
    BadInput as `run_defend` does.
    """
    asked, kept = Policy.parse(policy), Keep.parse(keep)
    inputs = inputs_in_memory(private, public, private_labels, public_labels, asked, kept, gallery, seed)
    candidates = read_candidates(None if defences is None else list(defences))
    sweep = measure_all(candidates, inputs, _top(asked), all_must=defences is not None)
    decision = decide(sweep, asked, kept)
    return decision, text.sentence(decision, asked, kept, inputs.gallery, leading_measure(sweep, kept))


def one_line(
    pairs: "fi.Pairs", release: "fi.Release", defences: Sequence[str], *, policy: str = "top10<=10%", seed: int = 0
) -> str:
    """Return what `recommend` says of the vectors of a comparison, whose victim has no defence; nothing is trained.

    Raises BadInput for pairs that were defended, and as `recommend` does.
    """
    if (defended_by := pairs.metadata.get("defence")) not in (None, "", "Identity()"):
        raise BadInput(
            f"--defend: expected the vectors of a victim without a defence, got {defended_by}; leave one out"
        )
    labels = None if release.truth is None else release.truth.labels
    _, line = recommend(
        release.features,
        pairs.features(np.arange(len(pairs))),
        private_labels=labels,
        public_labels=pairs.labels,
        defences=defences,
        policy=policy,
        keep="none" if labels is None and pairs.labels is None else "98%",
        seed=seed,
    )
    return f"Forms of release: {line} `featinv defend` compares more."


def decide(sweep: Sweep, policy: Policy, keep: Keep | None) -> Decision:
    """Return the verdicts on what was measured and the recommended setting."""
    verdicts = tuple(judge(measurement, policy, keep) for measurement in sweep.measurements)
    return Decision(sweep, verdicts, recommended(sweep.measurements, verdicts, leading_measure(sweep, keep)))


def leading_measure(sweep: Sweep, keep: Keep | None) -> str:
    """Return the utility by which settings are compared: what is demanded, else the first that was measured."""
    if keep is not None:
        return keep.measure
    return next(name for name in MEASURES if name in sweep.raw.utility)


def measure_all(
    candidates: Sequence[Candidate],
    inputs: Inputs,
    top: tuple[int, ...],
    cache: Cache | None = None,
    *,
    all_must: bool,
) -> Sweep:
    """Measure every setting, the undefended vectors first, or take it from the cache.

    Raises BadInput for a setting that these vectors cannot have; without `all_must` it is left out, with the reason.
    """
    measurements: list[Measurement] = []
    left_out: dict[str, str] = {}
    raw: Utility | None = None
    with processes.progress_bar(len(candidates), "settings", "setting") as bar:
        for candidate in candidates:
            measurement = None if cache is None else cache.read(candidate)
            if measurement is None and not all_must and (why := too_long(candidate, inputs)):
                left_out[candidate.shown] = why
            elif measurement is None:
                try:
                    if raw is None and candidate is not candidates[0]:
                        raw = measure_setting(candidates[0], inputs, top, None)[1]  # the first one is from the cache
                    measurement, useful = measure_setting(candidate, inputs, top, raw)
                    raw = useful if candidate is candidates[0] else raw
                    if cache is not None:
                        cache.write(candidate, measurement)
                except BadInput as error:
                    if all_must or candidate is candidates[0]:
                        raise
                    # A strength of the built-in grid that these vectors cannot have: too narrow, too few, no labels.
                    left_out[candidate.shown] = str(error).removeprefix(f"--defences: {candidate.shown}: ")
            if measurement is not None:
                measurements.append(replace(measurement, label=candidate.shown))
            bar.update()
    return Sweep(tuple(measurements), left_out)


def _top(policy: Policy) -> tuple[int, ...]:
    return tuple(sorted({1, 10, policy.k}))


def _save_defence(
    decision: Decision, candidates: dict[str, Candidate], inputs: Inputs, folder: Path
) -> nn.Module | None:
    """Write the recommended defence, fitted again from the same vectors, and return it; an older one is removed."""
    chosen = decision.recommended
    if chosen is None:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    defence = fit_defence(candidates[chosen.label], inputs)
    if fi.defences.fingerprint(defence) != chosen.fingerprint:
        raise BadInput(
            f"{folder.parent}: {chosen.label} was measured with other learned numbers than it has now; remove the "
            "folder settings/ there, and run again"
        )
    fi.defences.save(defence, folder)
    return defence


def _by_label(candidates: tuple[Candidate, ...]) -> dict[str, Candidate]:
    return {candidate.shown: candidate for candidate in candidates}
