"""Fitting the suite: images planned from a measured throughput, one attack after the other, each saved at once."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.assembly import RunFolder
from featinv.audit.record import Record
from featinv.audit.settings import AuditSettings
from featinv.audit.suite import (
    MOST_EPOCHS,
    SUITE,
    SuitePlan,
    distillation,
    shared_minutes,
    whole_batches,
)
from featinv.audit.suite_entry import Materials, SuiteEntry, most_images
from featinv.audit.text import duration
from featinv.errors import BadInput, Diverged
from featinv.training.settings import ClassifierTraining

if TYPE_CHECKING:
    from featinv.encoders import Encoder
    from featinv.tracking import Study
    from featinv.types import Attack

LEAST = 0.25
"""share of the minutes that trained attacks have at least, however long the closed forms took"""
PILOT, PILOT_SECONDS = 0.03, 2.0
"""share of an attack's minutes in which its throughput is measured, and the least (or 15 % of its minutes)"""
FILLED = 0.9
"""share of its minutes that an attack's images are planned to take"""
GRACE = 1.5
"""times its planned minutes at which a training is cut, because the machine has become slower than it was"""


class SuiteFitter:
    """Fits every entry of the plan on the attacker's pairs; what is in the folder already is loaded."""

    def __init__(
        self,
        run: RunFolder,
        record: Record,
        settings: AuditSettings,
        plan: SuitePlan,
        pairs: "fi.Pairs",
        encoder: "Encoder | None",
        study: "Study",
    ) -> None:
        self.run, self.record, self.settings, self.plan, self.study = run, record, settings, plan, study
        self.materials = Materials(pairs, encoder, seed=settings.seed)

    def fit(self) -> "dict[str, Attack]":
        """Return the fitted attacks by name; what cannot be fitted is left out, with the reason in the record."""
        attacks: dict[str, Attack] = {}
        trained = [entry for entry in self.plan.entries if entry.share]
        for entry in self.plan.entries:
            if entry.share:
                self._plan_images(trained)
            self._say(entry)
            self._one(attacks, entry)
        shutil.rmtree(self.run.path / "checkpoints", ignore_errors=True)
        return attacks

    # ------------------------------------------------------------------------------------------ images from minutes

    def _plan_images(self, trained: list[SuiteEntry]) -> None:
        """Fix, once, how many images each training sees: as asked, or as fill its minutes at the speed measured now."""
        if all(entry.name in self.record.images or entry.name in self.record.failed for entry in trained):
            return
        left = float(self.settings.minutes) - sum(self.record.seconds.values()) / 60
        minutes = shared_minutes(max(left, LEAST * float(self.settings.minutes)), trained)
        for entry in trained:
            try:
                if self.settings.images is not None:
                    self._plan_asked(entry, self.settings.images)
                else:
                    self._plan_timed(entry, minutes[entry.name])
            except (BadInput, Diverged) as error:
                self.record.failed[entry.name] = " ".join(str(error).split())
        self.record.write()
        listed = "; ".join(f"{name}: {count:,}" for name, count in self.record.images.items())
        print(f"Images to train on: {listed}.", flush=True)

    def _plan_asked(self, entry: SuiteEntry, images: int) -> None:
        if entry.distilling:
            self.record.images[_surrogates_of(entry.name)] = whole_batches(images, len(self.materials.pairs))
        self.record.images[entry.name] = images

    def _plan_timed(self, entry: SuiteEntry, minutes: float) -> None:
        pairs, own = self.materials.pairs, minutes * (1 - entry.distilling)
        surrogates = None
        if entry.distilling:
            each = minutes * entry.distilling / len(entry.networks.files)
            pilot = self._distillation(entry, MOST_EPOCHS * len(pairs), _pilot(each))
            tried = entry.networks.train(pairs, pilot)
            surrogates = tuple(encoder for encoder, _ in tried)
            speed = min(steady_rate(history) for _, history in tried)
            planned = min(MOST_EPOCHS * len(pairs), max(2, round(speed * 60 * FILLED * each)))
            self.record.images[_surrogates_of(entry.name)] = whole_batches(planned, len(pairs))
            self.record.minutes[_surrogates_of(entry.name)] = each
        speed = self._speed(entry, _pilot(own), replace(self.materials, surrogates=surrogates))
        self.record.images[entry.name] = min(most_images(len(pairs)), max(1, round(speed * 60 * FILLED * own)))
        self.record.minutes[entry.name] = own

    def _distillation(self, entry: SuiteEntry, images: int, minutes: float | None) -> ClassifierTraining:
        usual = distillation(images, len(self.materials.pairs), minutes, seed=self.settings.seed)
        return replace(usual, **entry.distillation)

    def _speed(self, entry: SuiteEntry, minutes: float, materials: Materials) -> float:
        """Train for a moment and return the images a second."""
        training = replace(entry.settings(materials.pairs, None, minutes, self.settings.seed), holdout=0, keep="last")
        attack: Any = entry.build(materials, training)
        attack.fit(materials.pairs, progress=False)
        return steady_rate(attack.history)

    def _bound(self, name: str) -> float | None:
        """Minutes after which a training is cut; images that the caller fixed are trained to the end."""
        return None if self.settings.images is not None else GRACE * self.record.minutes[name]

    # ------------------------------------------------------------------------------------------ one attack

    def _one(self, attacks: "dict[str, Attack]", entry: SuiteEntry) -> None:
        name, folder = entry.name, self.run.folder(entry.name)
        if name in self.record.failed:
            return
        if (folder / "attack.json").is_file():
            attacks[name] = fi.load_attack(folder, allow=self._trusted(entry))
            return
        started = time.monotonic()
        try:
            fitted = self._fitted(entry)
        except (BadInput, Diverged) as error:
            self.record.failed[name] = " ".join(str(error).split())
            self.record.write()
            return
        # An attack that went on after a kill knows the time of both.
        self.record.seconds[name] = max(time.monotonic() - started, float(getattr(fitted, "seconds", 0.0)))
        if history := getattr(fitted, "history", None):
            self.record.seen[name] = int(history[-1].get("images", 0))
        self.record.write()
        if callable(getattr(fitted, "state", None)):  # an attack of the caller's may know no files; it is fitted anew
            fi.save_attack(fitted, folder)
        shutil.rmtree(self._checkpoints(name), ignore_errors=True)
        attacks[name] = fitted

    def _fitted(self, entry: SuiteEntry) -> "Attack":
        materials = replace(self.materials, surrogates=self._surrogates(entry) if entry.distilling else None)
        images, bound = (self.record.images[entry.name], self._bound(entry.name)) if entry.share else (None, None)
        attack = entry.build(materials, entry.settings(materials.pairs, images, bound, self.settings.seed))
        if not isinstance(attack, fi.attacks.DecoderAttack):
            attack.fit(materials.pairs)
            return attack
        if not entry.share:
            self.record.images[entry.name] = attack.training.images
        checkpoints = fi.training.Checkpoints(self._checkpoints(entry.name), every_seconds=120)
        return attack.fit(materials.pairs, checkpoints=checkpoints, listener=self.study.listener(entry.name, attack))

    def _trusted(self, entry: SuiteEntry) -> list[type]:
        """What the command line named, the caller trusts: the classes that it builds."""
        if entry in SUITE:
            return []
        attack = entry.build(self.materials, entry.settings(self.materials.pairs, None, None, self.settings.seed))
        return [type(attack), *([type(attack.decoder)] if isinstance(attack, fi.attacks.DecoderAttack) else [])]

    def _surrogates(self, entry: SuiteEntry) -> "tuple[Encoder, ...]":
        """Train them, or load them: an audit that was killed must go on with the same ones."""
        files = [self.run.path / "surrogates" / f"{name}.safetensors" for name in entry.networks.files]
        name = _surrogates_of(entry.name)
        if not all(file.is_file() for file in files) or name not in self.record.seen:
            print(f"  training {len(files)} networks of the attacker's own on the public pairs first", flush=True)
            settings = self._distillation(entry, self.record.images[name], self._bound(name))
            surrogates = entry.networks.train(self.materials.pairs, settings)
            files[0].parent.mkdir(exist_ok=True)
            for (encoder, _), file in zip(surrogates, files, strict=True):
                fi.encoders.save_encoder(encoder, file)
            self.record.seen[name] = min(int(history[-1]["images"]) for _, history in surrogates)
            self.record.write()
        return tuple(fi.encoders.saved(file, layer="norm") for file in files)

    def _checkpoints(self, name: str) -> Path:
        return self.run.path / "checkpoints" / fi.files.folder_name(name)

    def _say(self, entry: SuiteEntry) -> None:
        names = self.plan.names
        how = "fitted at once"
        if entry.share and entry.name in self.record.images:
            how = f"trained on {self.record.images[entry.name]:,} images"
            if self.settings.images is None:
                how += f", about {duration(self.record.minutes[entry.name])}"
        print(f"[{names.index(entry.name) + 1}/{len(names)}] {entry.name}: {how}", flush=True)


def _pilot(minutes: float) -> float:
    return max(PILOT * minutes, min(PILOT_SECONDS / 60, 0.15 * minutes))


def _surrogates_of(name: str) -> str:
    return f"{name}: each surrogate"


def steady_rate(history: Sequence[Mapping[str, int | float]]) -> float:
    """Return images a second between the first and the last row of a training, from its start where there is one row.

    Set-up takes most of a pilot's seconds on a busy machine, and next to none of the training that it stands for.
    """
    first, last = history[0], history[-1]
    images, seconds = last["images"] - first["images"], last["seconds"] - first["seconds"]
    return images / seconds if images > 0 and seconds > 0 else last["images"] / last["seconds"]
