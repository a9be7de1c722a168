"""The protocol: data, judges, seeds and versions of a run, and the budget of each attack."""

import re
from collections.abc import Sequence
from typing import Any

from featinv.report.document import Facts, Section, Table
from featinv.report.entries import Entry
from featinv.report.runs import Run

_SHORT = 16
"""Characters of a fingerprint that are enough to tell two apart; the scoreboard has all."""


def protocol_section(runs: Sequence[Run], listed: Sequence[Entry]) -> Section:
    """Return the protocol of each run, with the budget of every attack."""
    parts: list[Facts | Table] = []
    for run in runs:
        parts += [Facts(_facts(run)), _budgets([entry for entry in listed if entry.run is run])]
    return Section("Protocol and budgets", (), tuple(parts))


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    victim, protocol, record = run.board.victim, run.board.protocol, run.record
    machine = record.get("machine", {})
    facts = [
        ("Run", run.name),
        ("Victim", _joined(victim, "name", "family", "trained_on", "defence")),
        ("Vectors", f"{_shape(victim.get('feature_shape'))}, layer {victim.get('layer', 'not stated')}"),
        ("Victim's fingerprint", _finger(victim.get("fingerprint"))),
        ("Private images", f"{_images(protocol.get('private'))}; used by scoring only"),
        ("Public images", f"{_images(protocol.get('public'))}; the training images of all attacks"),
        ("Images in both sets", _overlap(protocol.get("overlap"))),
        *_intake(protocol.get("intake")),
        ("Judges", "; ".join(_judge(judge) for judge in protocol.get("judges", ())) + "; used by scoring only"),
        ("Candidates", f"{protocol.get('gallery', 0):,}{_galleries(protocol)}"),
        ("Seeds", f"scoring {protocol.get('seed')}, release {protocol.get('release_seed', 'not stated')}"),
        ("Precision of training", _precision(protocol)),
        ("Intervals", _intervals(protocol)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in protocol.get("versions", {}).items())),
        ("Hardware", _hardware(machine, record) if machine else "not recorded"),
        ("Time", f"{record['seconds']:,.0f} s in total" if "seconds" in record else "not recorded"),
    ]
    level = run.board.leak_level
    if level is not None and level.named:
        facts.append(("Named beforehand", level.named))
    return tuple(facts)


def _budgets(listed: Sequence[Entry]) -> Table:
    rows = []
    for entry in listed:
        row = entry.row
        rows.append(
            (
                entry.label,
                "attack" if entry.is_attack else f"control{_role(row.role)}",
                f"{row.parameters:,}",
                _seconds(row.seconds_by.get("fit")),
                _seconds(row.seconds_by.get("reconstruct")),
                _images_seen(entry),
                _making(entry),
            )
        )
    head = ("", "kind", "parameters", "time to fit", "time to reconstruct", "images seen", "settings")
    return Table(head, tuple(rows), "Budget of each attack and control", words=frozenset({1, 6}))


def _role(role: str) -> str:
    return "" if role == "control" else f" ({role})"


def _images_seen(entry: Entry) -> str:
    counts = [row["images"] for row in entry.history if "images" in row]
    return f"{counts[-1]:,.0f}" if counts else "-"


def _making(entry: Entry) -> str:
    settings = entry.run.makings.get(entry.row.name, "-")
    return re.sub(r"\b[0-9a-f]{40,}\b", lambda match: match.group()[:12], settings)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f} s" if seconds >= 0.05 else "under 0.1 s"


def _joined(metadata: dict[str, Any], *keys: str) -> str:
    formats = {"family": "family {}", "trained_on": "trained on {}", "defence": "defence {}"}
    return ", ".join(formats.get(key, "{}").format(metadata[key]) for key in keys if metadata.get(key)) or "not stated"


def _shape(shape: Any) -> str:
    return " x ".join(map(str, shape)) + "-d" if isinstance(shape, list | tuple) else "size not stated"


def _images(metadata: Any) -> str:
    if not metadata:
        return "not stated"
    return f"{metadata['count']:,} of {metadata['size']} px, fingerprint {_finger(metadata.get('fingerprint'))}"


def _intake(intake: Any) -> list[tuple[str, str]]:
    """Return how many image files were not read, left out, or exist twice."""
    if not intake:
        return []
    sentences = []
    for side, counts in intake.items():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts["reasons"].items())
        left_out = sum(counts["left_out"].values())
        sentences += [f"{side}: {counts['lost']:,} ({reasons}; audit.json lists them)"] if counts["lost"] else []
        sentences += [f"{side}: {left_out:,} thumbnails and copies left out"] if left_out else []
        sentences += [f"{side}: {counts['twins']:,} images exist twice"] if counts["twins"] else []
    return [("Image files not read", "; ".join(sentences) or "none: all were read, and no image exists twice")]


def _overlap(metadata: Any) -> str:
    return (
        "not searched for"
        if not metadata
        else f"{metadata['exact'] or 'none'} equal, {metadata['near'] or 'none'} nearly equal"
    )


def _judge(judge: dict[str, Any]) -> str:
    sibling = ", a sibling of the victim: for diagnosis only" if judge.get("sibling") else ""
    data = f", trained on {judge['trained_on']}" if judge.get("trained_on") else ""
    return f"{judge['name']} (family {judge['family']}{data}, fingerprint {_finger(judge.get('fingerprint'))}{sibling})"


def _galleries(protocol: dict[str, Any]) -> str:
    smaller = protocol.get("galleries") or ()
    return f"; smaller galleries of {', '.join(f'{size:,}' for size in smaller)} in the scoreboard" if smaller else ""


def _precision(protocol: dict[str, Any]) -> str:
    """Return the precision, once where all trained attacks agree."""
    by_attack: dict[str, str] = protocol.get("precision") or {}
    precisions = {name: "float32" if value == "no" else value for name, value in by_attack.items()}
    if len(set(precisions.values())) == 1:
        return next(iter(precisions.values()))
    return ", ".join(f"{name}: {value}" for name, value in precisions.items()) or "not stated"


def _intervals(protocol: dict[str, Any]) -> str:
    methods = protocol.get("intervals", {})
    level = f"{100 * protocol.get('level', 0.95):.0f} %"
    by_kind = "; ".join(f"{what.replace('_', ' ')}: {how}" for what, how in methods.items())
    return f"{level}; {by_kind}; {protocol.get('resamples', 0):,} resamples"


def _hardware(machine: dict[str, Any], record: dict[str, Any]) -> str:
    parts = [machine.get("accelerator"), machine.get("processor"), machine.get("system")]
    cores = f"{machine['cores']} cores" if machine.get("cores") else ""
    processes = record.get("processes", 1)
    return ", ".join(
        [
            *(str(part) for part in parts if part),
            *([cores] if cores else []),
            f"{processes} process{'' if processes == 1 else 'es'}",
        ]
    )


def _finger(fingerprint: Any) -> str:
    return str(fingerprint)[:_SHORT] if fingerprint else "not stated"
