"""Training the ladder: one attack after the other, saved as soon as it is fitted, within the minutes that are left."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import featinv as fi
from featinv.assembly import Ladder, RunFolder, closed_attack, distillation, shared_minutes, trained_attack
from featinv.audit.record import Record
from featinv.audit.settings import AuditSettings
from featinv.audit.words import duration
from featinv.errors import BadInput, Diverged

if TYPE_CHECKING:
    from featinv.encoders import Encoder
    from featinv.tracking import Study
    from featinv.types import Attack

LEAST = 0.25
"""share of its planned minutes that a trained attack has at least, however long those before it took"""


class Climb:
    """Fits every rung of a ladder on the attacker's pairs; what is in the folder already is loaded."""

    def __init__(
        self,
        run: RunFolder,
        record: Record,
        settings: AuditSettings,
        ladder: Ladder,
        pairs: "fi.Pairs",
        encoder: "Encoder | None",
        study: "Study",
    ) -> None:
        self.run, self.record, self.settings, self.ladder = run, record, settings, ladder
        self.pairs, self.encoder, self.study = pairs, encoder, study

    def fit(self) -> "dict[str, Attack]":
        """Return the fitted attacks by name; what cannot be fitted is left out, with the reason in the record."""
        attacks: dict[str, Attack] = {}
        for name in self.ladder.closed:
            self._say(name, "closed form")
            self._one(attacks, name, partial(self._closed, name))
        for name in self.ladder.minutes:
            minutes = self._minutes(name)
            self._say(name, f"trained for at most {duration(minutes)}")
            self._one(attacks, name, partial(self._trained, name, minutes))
        shutil.rmtree(self.run.path / "checkpoints", ignore_errors=True)
        return attacks

    def _minutes(self, name: str) -> float:
        """The minutes of a trained attack: its share of what those before it have left, as it was when it began."""
        if name not in self.record.minutes:
            to_come = list(self.ladder.minutes)[list(self.ladder.minutes).index(name) :]
            planned = sum(self.ladder.minutes[one] for one in to_come)
            left = float(self.settings.minutes) - sum(self.record.seconds.values()) / 60
            self.record.minutes[name] = shared_minutes(max(left, LEAST * planned), to_come)[name]
            self.record.write()
        return self.record.minutes[name]

    def _one(self, attacks: "dict[str, Attack]", name: str, fit: "Callable[[], Attack]") -> None:
        folder = self.run.folder(name)
        if (folder / "attack.json").is_file():
            attacks[name] = fi.load_attack(folder)
            return
        if name in self.record.failed:
            return
        started = time.monotonic()
        try:
            fitted = fit()
        except (BadInput, Diverged) as error:
            self.record.failed[name] = " ".join(str(error).split())
            self.record.write()
            return
        # An attack that went on after a kill knows the time of both.
        spent = max(time.monotonic() - started, float(getattr(fitted, "seconds", 0.0)))
        self.record.seconds[name] = spent
        self.record.write()
        fi.save_attack(fitted, folder)
        shutil.rmtree(self._checkpoints(name), ignore_errors=True)
        attacks[name] = fitted

    def _closed(self, name: str) -> "Attack":
        attack = closed_attack(name)
        attack.fit(self.pairs)
        return attack

    def _trained(self, name: str, minutes: float) -> "Attack":
        surrogates = self._surrogates(minutes) if name == "two surrogates" else None
        attack = trained_attack(
            name, self.pairs, minutes, encoder=self.encoder, surrogates=surrogates, seed=self.settings.seed
        )
        checkpoints = fi.training.Checkpoints(self._checkpoints(name), every_seconds=120)
        return attack.fit(self.pairs, checkpoints=checkpoints, listener=self.study.listener(name, attack))

    def _surrogates(self, minutes: float) -> "tuple[Encoder, Encoder]":
        """Distil both, or load them: an audit that was killed must go on with the same two."""
        files = [self.run.path / "surrogates" / f"{name}.safetensors" for name in ("a", "b")]
        if not all(file.is_file() for file in files):
            print("  distilling two surrogates from the public pairs first", flush=True)
            made = fi.presets.two_distilled(self.pairs, distillation(minutes, seed=self.settings.seed))
            files[0].parent.mkdir(exist_ok=True)
            for encoder, file in zip(made, files, strict=True):
                fi.encoders.save_encoder(encoder, file)
        first, second = (fi.encoders.saved(file, layer="norm") for file in files)
        return first, second

    def _checkpoints(self, name: str) -> Path:
        return self.run.path / "checkpoints" / fi.files.folder_name(name)

    def _say(self, name: str, how: str) -> None:
        names = self.ladder.names
        print(f"[{names.index(name) + 1}/{len(names)}] {name}: {how}", flush=True)
