"""The record of one attack or control."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from featinv import configuration
from featinv.attacks import DecoderAttack
from featinv.errors import BadInput
from featinv.evaluation import AttackScore, Scoreboard
from featinv.tracking.run_record import Pixels, Plot, Reference, RunRecord, RunTable


def attack_record(
    board: Scoreboard,
    row: AttackScore,
    attack: Any,
    config: Mapping[str, Any],
    *,
    tags: Sequence[str] = (),
    tables: Mapping[str, RunTable],
    images: Mapping[str, Pixels] = MappingProxyType({}),
    plots: Mapping[str, Plot] = MappingProxyType({}),
    references: tuple[Reference, ...] = (),
) -> RunRecord:
    """Return the record of one row of the board: its settings, learning curves and private metrics with bounds.

    `tables`, `images` and `plots` are what else it shows.
    """
    return RunRecord(
        name=row.name,
        job_type=row.kind,
        config={"attack": {"name": row.name, "kind": row.kind, **described(attack)}, **common(board, config)},
        tags=(*tags, row.kind, str(board.victim.get("name", "unnamed victim"))),
        curves=tuple(getattr(attack, "history", ())),
        summary=private_summary(row),
        tables=tables,
        images=images,
        plots=plots,
        references=references,
    )


def first_record(name: str, attack: Any, config: Mapping[str, Any], *, tags: Sequence[str] = ()) -> RunRecord:
    """Return the record of an attack that still trains."""
    settings = {"attack": {"name": name, "kind": attack.kind, **described(attack)}, "settings": dict(config)}
    return RunRecord(name=name, job_type=attack.kind, config=settings, tags=(*tags, attack.kind))


def common(board: Scoreboard, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all runs of a study share: victim, data, judges, versions, and the settings as resolved."""
    protocol = board.protocol
    data = {key: protocol[key] for key in ("private", "public", "overlap", "gallery", "galleries") if key in protocol}
    return {
        "victim": dict(board.victim),
        "data": data,
        "judges": list(protocol["judges"]),
        "seed": protocol["seed"],
        "release_seed": protocol.get("release_seed"),
        "versions": dict(protocol.get("versions", {})),
        "settings": dict(config),
    }


def private_summary(row: AttackScore) -> dict[str, Any]:
    """Return `attack/<metric>` with `_low` and `_high` for the plain columns, by which wandb sorts and filters."""
    summary: dict[str, Any] = {}
    for metric, interval in row.metrics.items():
        name = f"attack/{tracked_name(metric)}"
        summary |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        if interval.chance is not None:
            summary[f"{name}_chance"] = interval.chance
    numbers = [interval.n for interval in row.metrics.values()]
    return {**summary, "attack/n": max(numbers, default=0), "attack/seconds": row.seconds} | {
        "attack/parameters": row.parameters,
        "attack/notes": "; ".join(row.notes),
    }


def tracked_name(metric: str) -> str:
    """Return the name of a metric in wandb, where it stands under `attack/`: `attack/strength` for attack_strength."""
    return metric.removeprefix("attack_")


def described(attack: Any) -> dict[str, Any]:
    """Return the settings of an attack; of a class that does not keep its arguments, its name only."""
    if attack is None:
        return {}
    if isinstance(attack, DecoderAttack):
        return {
            "class": "featinv.attacks.DecoderAttack",
            "decoder": configuration.describe(attack.decoder),
            "objective": repr(attack.objective),
            "adversary": None if attack.adversary is None else repr(attack.adversary),
            "training": configuration.describe(attack.training)["args"],
            "notices": list(attack.notices),
        }
    try:
        return dict(configuration.describe(attack))
    except (BadInput, TypeError, ValueError):
        return {"class": configuration.public_path(type(attack))}
