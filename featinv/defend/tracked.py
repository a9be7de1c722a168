"""The sweep as a study of a tracker: one run a setting and one for the decision."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featinv.defend.candidates import without_secrets
from featinv.defend.measurement import Measurement
from featinv.defend.settings import DefendSettings
from featinv.defend.verdicts import Verdict
from featinv.tracking import Study, TrackingSettings
from featinv.tracking.run_record import Plot, RunRecord, RunTable

if TYPE_CHECKING:
    from featinv.defend.running import Decision

SETTING, DECISION = "setting", "decision"
_COLUMNS = ("setting", "verdict", "floor", "ceiling", "utility", "kept", "kept_low")


def track(settings: DefendSettings, decision: "Decision", measure: str, line: str) -> dict[str, str]:
    """Log one run a setting and one for the decision, as the settings ask; returns the runs' ids by name."""
    study = Study(settings.out, TrackingSettings(**settings.tracking), config=_told(settings))
    pairs = list(zip(decision.sweep.measurements, decision.verdicts, strict=True))
    # The undefended release comes last: the run of a sweep's agent is that of the first record.
    records = [setting_record(*pair, measure, study.config, study.settings.tags) for pair in (*pairs[1:], pairs[0])]
    return study.log_records([*records, _decision_record(decision, measure, line, study.config, study.settings.tags)])


def _told(settings: DefendSettings) -> DefendSettings:
    """Return the settings without the keys that a setting given as text may hold."""
    return settings if settings.defences is None else replace(settings, defences=without_secrets(settings.defences))


def setting_record(
    measured: Measurement, verdict: Verdict, measure: str, config: dict[str, Any], tags: tuple[str, ...]
) -> RunRecord:
    """Return what the run of one setting tells."""
    summary: dict[str, Any] = {"verdict/colour": verdict.colour, "verdict/reason": verdict.reason}
    summary |= {
        f"verdict/{name}": value for name in ("floor", "ceiling") if (value := getattr(verdict, name)) is not None
    }
    summary |= {f"ceiling/top{k}": upper for k, upper in measured.ceilings.items() if upper is not None}
    for name, rates in measured.attacks.items():
        summary |= {f"linkage/{name}/top{k}": rate.mean for k, rate in rates.items()}
    for word, intervals in (("utility", measured.utility), ("kept", measured.kept)):
        for name, interval in intervals.items():
            summary |= {f"{word}/{name}": interval.mean, f"{word}/{name}_low": interval.low}
            summary |= {f"{word}/{name}_high": interval.high}
    if measure in measured.kept:
        summary["utility/kept"] = measured.kept[measure].mean
    return RunRecord(
        name=measured.label,
        job_type=SETTING,
        config={**config, "setting": measured.label, "family": measured.family},
        tags=(*tags, SETTING, verdict.colour),
        summary=summary,
    )


def _decision_record(
    decision: "Decision", measure: str, line: str, config: dict[str, Any], tags: tuple[str, ...]
) -> RunRecord:
    rows = [_row(*pair, measure) for pair in zip(decision.sweep.measurements, decision.verdicts, strict=True)]
    table = RunTable(_COLUMNS, tuple(rows))
    points = RunTable(("kept", "ceiling"), tuple((row[5], row[3]) for row in rows if row[3] is not None))
    chosen = decision.recommended
    return RunRecord(
        name=DECISION,
        job_type=DECISION,
        config=config,
        tags=(*tags, DECISION),
        summary={"decision/sentence": line, "decision/recommended": None if chosen is None else chosen.label},
        tables={"decision/settings": table},
        plots={"plots/decision": Plot("scatter", points, "kept", "ceiling", "utility kept against the ceiling")},
    )


def _row(measured: Measurement, verdict: Verdict, measure: str) -> tuple[Any, ...]:
    utility, kept = measured.utility.get(measure), measured.kept.get(measure)
    return (
        measured.label,
        verdict.colour,
        verdict.floor,
        verdict.ceiling,
        None if utility is None else utility.mean,
        None if kept is None else kept.mean,
        None if kept is None else kept.low,
    )
