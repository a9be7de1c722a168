"""With images: the audit's suite is trained on defended vectors of the settings that vectors alone leave open."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

import featinv as fi
from featinv.defend import text
from featinv.defend.candidates import Candidate
from featinv.defend.inputs import Inputs
from featinv.defend.measurement import Measurement, Sweep
from featinv.defend.measuring import defended_sides, fit_defence
from featinv.defend.settings import DefendSettings
from featinv.defend.verdicts import Verdict, recommended
from featinv.evaluation import Interval, Scoreboard
from featinv.evaluation.attack_score import WITHOUT_IMAGES
from featinv.evaluation.judging import as_uint8
from featinv.features.matching import match_ids
from featinv.files import atomic_file, folder_name

Sheet = UInt8[np.ndarray, "P S S 3"]
FOLDER = "attacked"
MOST = 6
"""settings that the suite is trained for, at most, unless all are asked for"""
LEAST_MINUTES = 1.0
"""minutes for each on average; with fewer, fewer settings are attacked"""
FIRST = 5
"""times the minutes of another setting that the undefended vectors have: their attack is where the others begin"""
SHOWN = 10


@runtime_checkable
class AttackVectors(Protocol):
    """Trains a suite of attacks on released vectors and scores it; `featinv.audit.attack_vectors` is one.

    `undefended` is None for the undefended vectors, afterwards the folder of that call and the file of public vectors.
    """

    def __call__(
        self,
        features: str,
        public_features: str,
        public: str,
        private: str,
        out: str,
        *,
        minutes: float,
        size: int | None,
        judges: tuple[str, ...],
        train_judge: bool,
        seed: int,
        undefended: tuple[str, str] | None,
    ) -> Scoreboard: ...


@final
@dataclass(frozen=True, eq=False)
class Shown:
    """What the strongest attack draws of ten fixed private images, for one setting."""

    label: str
    attack: str
    originals: Sheet
    reconstructions: Sheet


def attacked(
    sweep: Sweep,
    verdicts: Sequence[Verdict],
    candidates: Mapping[str, Candidate],
    inputs: Inputs,
    settings: DefendSettings,
    attack: AttackVectors,
) -> tuple[Sweep, list[Shown]]:
    """Return the sweep with the suite's rates for the settings that are undecided, and images to show.

    The undefended release and the setting that would be recommended are attacked as well. Raises BadInput for images
    that do not belong to the vectors, as the audit does.
    """
    chosen = to_attack(sweep, verdicts, settings)
    text.say_attacked(chosen)
    rates: dict[str, dict[str, dict[int, Interval]]] = {}
    sheets = []
    undefended: tuple[str, str] | None = None
    unit = settings.minutes / (FIRST + len(chosen) - 1)
    for label in chosen:
        folder = Path(settings.out) / FOLDER / folder_name(label)
        files = _write_sides(candidates[label], inputs, folder)
        assert settings.public is not None
        assert settings.private is not None
        board = attack(
            *files,
            settings.public,
            settings.private,
            str(folder / "audit"),
            minutes=unit if undefended else FIRST * unit,
            size=settings.size,
            judges=settings.judges,
            train_judge=settings.train_judge,
            seed=settings.seed,
            undefended=undefended,
        )
        undefended = undefended or (str(folder / "audit"), files[1])
        rates[label] = rates_of(board, inputs.gallery)
        if settings.show_images and (sheet := _sheet(label, board, files[0], folder / "audit", settings)) is not None:
            sheets.append(sheet)
    note = "the attack suite was trained on these defended vectors"
    measured = (
        measurement.with_attacks(rates[measurement.label], note if rates[measurement.label] else "")
        if measurement.label in rates
        else measurement
        for measurement in sweep.measurements
    )
    return Sweep(tuple(measured), sweep.left_out), sheets


def to_attack(sweep: Sweep, verdicts: Sequence[Verdict], settings: DefendSettings) -> list[str]:
    """Return the settings that are worth training for: the undefended, the best green one, then what is undecided.

    With `attack_all` all others follow, as many as the minutes allow.
    """
    most = max(1, math.floor(settings.minutes / LEAST_MINUTES))
    undecided = [
        measurement
        for measurement, verdict in zip(sweep.measurements, verdicts, strict=True)
        if verdict.colour == "grey" and not verdict.policy_met
    ]
    measure = settings.kept.measure if settings.kept is not None else "recall@10"
    undecided.sort(key=lambda measurement: -measurement.kept[measure].mean if measure in measurement.kept else 0.0)
    best: Measurement | None = recommended(sweep.measurements, verdicts, measure)
    first = [sweep.raw.label, *([best.label] if best is not None else [])]
    worth = dict.fromkeys([*first, *(measurement.label for measurement in undecided)])
    if settings.attack_all:
        return list(worth | dict.fromkeys(measurement.label for measurement in sweep.measurements))[:most]
    return list(worth)[: min(MOST, most)]


@runtime_checkable
class Scored(Protocol):
    """As much of a scoreboard as rates are read from."""

    @property
    def protocol(self) -> Any: ...

    @property
    def attacks(self) -> Any: ...


def rates_of(board: Scored, gallery: int) -> dict[str, dict[int, Interval]]:
    """Return the top-k rates of the strongest reconstruction, to the judge that finds least.

    Among more candidates fewer are found, so that a larger gallery's rate is a lower bound; a smaller one's is not, and
    then nothing is returned.
    """
    if int(board.protocol["gallery"]) < gallery:
        return {}
    views = ["", *(judge["name"] for judge in board.protocol.get("judges", ())[1:] if not judge["sibling"])]
    rates: dict[str, dict[int, Interval]] = {}
    for k in (1, 10):
        weakest = {
            row.name: min(intervals, key=lambda interval: interval.low)
            for row in board.attacks
            if row.role not in WITHOUT_IMAGES
            and (
                intervals := [
                    interval
                    for view in views
                    if (interval := row.interval(f"reid_top{k}/{view}".rstrip("/"))) is not None
                ]
            )
        }
        if weakest:
            strongest = max(weakest, key=lambda name: weakest[name].low)
            rates.setdefault(f"images by {strongest}", {})[k] = weakest[strongest]
    return rates


def _write_sides(candidate: Candidate, inputs: Inputs, folder: Path) -> tuple[str, str]:
    private, public = defended_sides(fit_defence(candidate, inputs), inputs)
    paths = []
    for name, rows, ids in (("private", private, inputs.private_ids), ("public", public, inputs.public_ids)):
        arrays = {"features": rows} if ids is None else {"features": rows, "ids": np.array(ids)}
        path = folder / f"{name}.npz"
        with atomic_file(path) as temporary, open(temporary, "wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]  # the stub knows no names but its flag
        paths.append(str(path))
    return paths[0], paths[1]


@torch.no_grad()
def _sheet(label: str, board: Scoreboard, features: str, folder: Path, settings: DefendSettings) -> Shown | None:
    """Reconstruct ten private images, drawn by the seed, with the attack of the most top-10 re-identification."""
    rows = [row for row in board.attacks if row.kind == "attack" and (folder / folder_name(row.name)).is_dir()]
    rated = [row for row in rows if "reid_top10" in row.metrics]
    if not rated:
        return None
    leader = max(rated, key=lambda row: row.metrics["reid_top10"].mean).name
    attack = fi.load_attack(folder / folder_name(leader))
    assert settings.private is not None
    private = Path(settings.private)
    size = int(attack.image_size)
    images = fi.data.open_images(private, size=size)
    drawn = np.sort(np.random.default_rng([settings.seed, 61]).permutation(len(images))[:SHOWN])
    vectors = fi.load_features(features)
    places = drawn if vectors.ids is None else match_ids(vectors, images.ids, str(private))[drawn]
    reconstructed = attack.reconstruct(torch.from_numpy(np.array(vectors.features[places])))
    return Shown(label, leader, images.uint8(drawn), as_uint8(torch.nan_to_num(reconstructed, nan=0.0)))
