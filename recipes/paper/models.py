"""The models of figures 4 and 5: each attack trained on each number of images, measured on the way."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contenders import make
from drawing import CONTROLS
from measuring import Side, measure, side
from scales import Scale

import featinv as fi
from featinv.files import folder_name, read_json, write_json

MOMENTS = (0.01, 0.03, 0.1, 0.3)
"""shares of the budget at which a model is measured, besides its end"""


@dataclass
class Study:
    """Everything that the models share: pairs in a fixed order, both sides to measure, the judge, where it all goes."""

    scale: Scale
    pairs: "fi.Pairs"
    training: Side
    unseen: Side
    judge: "fi.types.Judge"
    folder: Path
    listener: Callable[..., Any] = lambda name, attack: None

    def subset(self, count: int) -> "fi.Pairs":
        """Return the pairs of the first `count` training images: smaller sets are parts of larger ones."""
        return self.pairs.take(np.arange(count))

    def path(self, name: str, count: int) -> Path:
        """Return the folder of one model."""
        return self.folder / f"{folder_name(name)}-{count:06d}"


def prepare(
    scale: Scale, victim: "fi.Victim", public: "fi.data.ImageSet", unseen: "fi.data.ImageSet", judge: Any, folder: Path
) -> Study:
    """Encode the images and let the judge look at the originals."""
    order = np.random.default_rng(0).permutation(len(public))[: scale.counts[-1]]
    shuffled = public.take(order)
    pairs = fi.extract(victim, shuffled, to=folder / "features", flips=True)
    training = shuffled.take(range(min(scale.unseen, len(shuffled))))
    return Study(
        scale, pairs, side("training", training, victim, judge), side("unseen", unseen, victim, judge), judge, folder
    )


def models(study: Study) -> "dict[tuple[str, int], fi.types.Attack]":
    """Train (or load) every control and attack on every number of images; each leaves measures.json in its folder.

    A row there is {"count", "seen", "epochs", "training", "unseen"}, the last one with "seconds", which count the
    measurements on the way too, and of a resumed training only what ran since.
    """
    trained: dict[tuple[str, int], fi.types.Attack] = {}
    for count, seen in zip(study.scale.counts, study.scale.seen, strict=True):
        for name in (*CONTROLS, *study.scale.attacks):
            trained[name, count] = _model(study, name, count, seen)
    return trained


def _model(study: Study, name: str, count: int, seen: int) -> "fi.types.Attack":
    folder = study.path(name, count)
    # The main process answers for all: another one may come to look only when this model has just been saved.
    if fi.processes.broadcast((folder / "attack" / "attack.json").is_file()):
        return fi.load_attack(folder / "attack")
    if fi.processes.is_main():
        print(f"{name}, {count} images{'' if name in CONTROLS else f', {seen:,} seen'}", flush=True)
    pairs, rows = study.subset(count), _rows_so_far(folder)
    started = time.monotonic()
    attack = make(name, pairs, seen, min(study.scale.distilled, 2 * seen))
    if isinstance(attack, fi.attacks.DecoderAttack):
        attack.fit(
            pairs,
            checkpoints=fi.training.Checkpoints(folder / "checkpoints", every_seconds=60),
            listener=study.listener(f"{name}, {count} images", attack),
            snapshots=fi.training.Snapshots(
                [max(1, int(share * seen)) for share in MOMENTS],
                lambda fitted, at: _keep(folder, rows, _measured(study, fitted, count, at)),
            ),
        )
    else:
        attack.fit(pairs)
    last = _measured(study, attack, count, seen if name not in CONTROLS else 0)
    _keep(folder, rows, {**last, "seconds": round(time.monotonic() - started, 1)})
    if fi.processes.is_main():
        fi.save_attack(attack, folder / "attack")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    fi.processes.barrier()
    return attack


def _measured(study: Study, attack: "fi.types.Attack", count: int, seen: int) -> dict[str, Any]:
    row: dict[str, Any] = {"count": count, "seen": seen, "epochs": seen / count}
    for asked in (study.training.first(count), study.unseen):
        intervals = measure(attack, asked, study.unseen.features, study.judge)
        row[asked.name] = {metric: asdict(interval) for metric, interval in intervals.items()}
    return row


def _rows_so_far(folder: Path) -> list[dict[str, Any]]:
    return list(read_json(folder / "measures.json")) if (folder / "measures.json").is_file() else []


def _keep(folder: Path, rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    rows[:] = [*(earlier for earlier in rows if earlier["seen"] != row["seen"]), row]
    if fi.processes.is_main():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "measures.json", rows)


def measures(study: Study) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Return what was measured of every model that is there, in the order of training."""
    names = (*CONTROLS, *study.scale.attacks)
    return {
        (name, count): _rows_so_far(study.path(name, count))
        for name in names
        for count in study.scale.counts
        if (study.path(name, count) / "measures.json").is_file()
    }
