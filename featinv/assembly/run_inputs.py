"""What a run is made of besides its settings: fingerprints by which its folder is known again."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.assembly.judge_settings import JudgeSettings, judge_fingerprints
from featinv.assembly.persons import Persons
from featinv.assembly.run_folder import RunFolder

if TYPE_CHECKING:
    from featinv.data import ImageSet
    from featinv.victim import Victim


def inputs_of(
    public: "ImageSet", private: "ImageSet", victim: "Victim", persons: Persons | None = None
) -> dict[str, Any]:
    """Return the version of featinv and the fingerprints of both sets of images, of the victim and of who is on them.

    A victim's covers weights, layer, size and defence; that of a wrapped callable, its outputs on a few probe images.
    """
    inputs = {
        "the public images": public.fingerprint,
        "the private images": private.fingerprint,
        "the victim": victim.fingerprint,
        "the version of featinv": fi.__version__,
    }
    return inputs if persons is None else {**inputs, "the people on the images": persons.digest}


def judges_of(fingerprints: Iterable[str]) -> dict[str, Any]:
    """Return the same for judges, by their fingerprints."""
    return {"the judges": list(fingerprints)}


def show_again(
    run: RunFolder, judges: Mapping[str, JudgeSettings], folders: Mapping[str, str | None] | None = None
) -> None:
    """Print the scoreboard of a finished run whose images and victim are the same, once its judges are, too."""
    run.must_be_of(judges_of(judge_fingerprints(judges, folders)))
    if fi.processes.is_main():
        print(f"{run.path}: this configuration has run already; remove the folder to run it again.")
        print(fi.load_scoreboard(run.path))
