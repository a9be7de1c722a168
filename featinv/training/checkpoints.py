"""Training states on disk: named by their step, complete or ignored."""

import contextlib
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from featinv import files, processes
from featinv.errors import BadInput
from featinv.training.progress import Progress

MARKER = "complete.json"


class Checkpoints:
    """A folder of training states `step_00001234`, of which the newest `keep` stay, and one from before a collapse.

    A state is Accelerate's own (weights, optimisers, random state) and pickle inside: it is for its owner, is no way to
    share an attack (`featinv.save_attack` is), and is refused from another owner or with anything but numbers in it.
    It is written beside its place, gets a list of its files last, and is then renamed: half-written ones are ignored.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        every_images: int | None = None,
        every_seconds: int | float | None = 300,
        keep: int = 2,
    ) -> None:
        self.folder = Path(folder)
        self.every_images = every_images
        self.every_seconds = every_seconds
        self.keep = keep
        for name, value in (("every_images", every_images), ("every_seconds", every_seconds), ("keep", keep)):
            if value is not None and value <= 0:
                raise BadInput(f"checkpoints.{name}: expected a number above 0, got {value}")

    def due(self, progress: Progress) -> bool:
        """Say whether the last step crossed a time at which a state is to be saved."""
        return progress.every(images=self.every_images, seconds=self.every_seconds)

    def latest(self) -> Path | None:
        """Return the newest complete state, or None."""
        return next((folder for folder in reversed(self._folders()) if _is_complete(folder)), None)

    def save(
        self,
        accelerator: Accelerator,
        progress: Progress,
        identity: dict[str, Any],
        *,
        sound_until: int | None = None,
    ) -> Path:
        """Write the state of everything prepared by and registered with the accelerator; call it in every process.

        `identity` says what is trained, and on what; another one cannot be resumed from it. The newest state that is
        not of a later step than `sound_until` stays, however many come after it. Raises BadInput when it cannot be
        written; what was there before stays.
        """
        final = self.folder / f"step_{progress.step:08d}"
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(files.publish_folder(final)) if processes.is_main() else None
            temporary = processes.broadcast(temporary)
            try:
                accelerator.save_state(str(temporary))
            except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a full disk
                raise BadInput(
                    f"{final}: could not be written ({str(error).splitlines()[0]}); is the disk full? "
                    "Earlier checkpoints are untouched: free some space and resume."
                ) from error
            processes.barrier()
            if processes.is_main():
                sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
                marker = {**progress.state_dict(), "identity": identity, "files": sizes}
                files.write_json(temporary / MARKER, marker)
        processes.barrier()
        if processes.is_main():
            self._prune(sound_until)
        return final

    def resume(self, accelerator: Accelerator, identity: dict[str, Any]) -> bool:
        """Load the newest complete state, if there is one; says whether there was. Removes what a kill left.

        Raises BadInput when it is of another training (naming the difference) or of another owner.
        """
        if processes.is_main():
            for half in self.folder.glob(".step_*.tmp"):
                shutil.rmtree(half)
        folder = processes.broadcast(self.latest())
        if folder is None:
            return False
        if difference := _difference(files.read_json(folder / MARKER)["identity"], identity):
            raise BadInput(
                f"{folder}: belongs to another training ({difference}); continue with its settings, "
                "or choose another folder"
            )
        _refuse_strangers(folder)
        accelerator.load_state(str(folder))
        return True

    def refuse_existing(self) -> None:
        """Raise BadInput when there is a state already: a training that is not resumed must not write over it."""
        if (folder := self.latest()) is not None:
            raise BadInput(f"{folder}: a training state is there already; resume it, or choose another folder")

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step_[0-9]*"))

    def _prune(self, sound_until: int | None) -> None:
        complete = [folder for folder in self._folders() if _is_complete(folder)]
        sound = [
            state for state in complete if sound_until is not None and int(state.name.split("_")[1]) <= sound_until
        ]
        for folder in complete[: -self.keep]:
            if folder in sound[-1:]:
                continue
            (folder / MARKER).unlink()  # first, so that a half-removed state is not taken for a complete one
            shutil.rmtree(folder)


def _step(folder: Path) -> int:
    return int(folder.name.split("_")[1])


def _is_complete(folder: Path) -> bool:
    try:
        sizes = files.read_json(folder / MARKER)["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (BadInput, OSError, KeyError, TypeError, AttributeError):
        return False


def _difference(saved: Any, now: Any, where: str = "") -> str:
    """Return the first difference between two JSON-able values in words, or an empty string."""
    if isinstance(saved, dict) and isinstance(now, dict):
        for key in sorted({*saved, *now}):
            if difference := _difference(saved.get(key), now.get(key), f"{where}.{key}" if where else str(key)):
                return difference
        return ""
    return "" if saved == now else f"{where}: {saved!r} there, {now!r} here"


def _refuse_strangers(folder: Path) -> None:
    # Compared with a folder that we make beside it, and not with our user number, which network file systems may map.
    with tempfile.TemporaryDirectory(prefix=".owner.", dir=folder.parent) as ours:
        if os.stat(folder).st_uid != os.stat(ours).st_uid:
            raise BadInput(
                f"{folder}: belongs to another user, and a training state can run code; resume your own only"
            )
    for path in sorted(folder.glob("custom_checkpoint_*.pkl")):
        # Accelerate unpickles these without restriction; whoever wrote only numbers passes the restricted reader.
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise BadInput(f"{path}: expected numbers only, got something that runs code or is damaged") from error
