"""Scoring reconstructions that other code made: the same panel, controls and intervals as for featinv's own attacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import featinv as fi
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.intervals import RESAMPLES
from featinv.interop.folders import (
    Reconstructions,
    common_size,
    mean_image,
    read_originals,
    read_reconstructions,
    row_numbers,
)
from featinv.interop.settings import ScoreSettings, named
from featinv.outputs import check_out
from featinv.types import Attack, Judge

MOST = 2**24
"""Images up to which a row number is exact in float32."""
PACKAGED_JUDGE = "scenes-vgg"
MEAN = "mean image"
MEAN_OF_ORIGINALS = "mean of the originals"


def score(
    originals: ImageSet,
    reconstructions: Mapping[str, ImageSet],
    judges: Sequence[Judge],
    *,
    controls: Mapping[str, ImageSet] | None = None,
    public: ImageSet | None = None,
    victim: str = "not stated",
    family: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: bool = True,
) -> "fi.Scoreboard":
    """Score {name: images in the order of the originals} as `featinv.compare` scores attacks, and return the board.

    A control is added: the mean of the `public` images, or where there are none the mean of the originals, which knows
    more than an attacker does. Feature linkage and the ceiling need the victim, and are absent. The victim is known by
    what is said of it (`victim`, `family`), so no gate passes on such a board.
    Raises BadInput for another number or size of images, and for what `featinv.compare` refuses.
    """
    count = len(originals)
    if count > MOST:
        raise BadInput(f"score: expected at most {MOST} originals, got {count}")
    for name, images in (*reconstructions.items(), *(controls or {}).items()):
        if len(images) != count or images.size != originals.size:
            raise BadInput(
                f"{name}: expected {count} images of {originals.size} px, as the originals, "
                f"got {len(images)} of {images.size} px"
            )
    attacks: dict[str, Attack] = (
        {MEAN_OF_ORIGINALS: mean_image(originals)} if public is None else {MEAN: mean_image(public)}
    )
    attacks |= {name: Reconstructions(images, "control") for name, images in (controls or {}).items()}
    attacks |= {name: Reconstructions(images) for name, images in reconstructions.items()}
    expected = 1 + len(controls or {}) + len(reconstructions)
    if len(attacks) != expected:
        raise BadInput("score: expected different names of controls and attacks, and none called like the mean; rename")
    numbers = row_numbers(count)
    metadata = {**numbers.metadata, "name": victim, "family": family, "defence": "not stated"}
    release = fi.Release(numbers.features, metadata, originals)
    return fi.compare(attacks, release, judges, seed=seed, resamples=resamples, public=public, progress=progress)


def run_score(settings: ScoreSettings) -> "fi.Scoreboard":
    """Score folders of reconstructions, print the board, and write scoreboard.json, report.html and report.md.

    Raises BadInput for folders whose names, counts or sizes do not agree, naming the flag.
    """
    check_out(settings.out)
    folders = named(settings.reconstructions, "--reconstructions")
    controls = named(settings.controls, "--control")
    if both := folders.keys() & controls.keys():
        raise BadInput(f"--control: {sorted(both)[0]!r} is the name of an attack too; name one, NAME=DIR")
    size = common_size(Path(next(iter(folders.values()))), "--reconstructions")
    originals = read_originals(settings.originals, size)
    board = score(
        originals,
        _read(folders, originals, "--reconstructions"),
        [fi.encoders.judge(source) for source in settings.judges or (PACKAGED_JUDGE,)],
        controls=_read(controls, originals, "--control"),
        public=None if settings.public is None else read_originals(settings.public, size),
        victim=settings.victim,
        family=settings.family,
        seed=settings.seed,
    )
    board.save(settings.out)
    fi.report.write_both(settings.out, settings.out)
    print(board)
    return board


def _read(folders: Mapping[str, str], originals: ImageSet, flag: str) -> dict[str, ImageSet]:
    return {name: read_reconstructions(path, originals.ids, f"{flag} {name}") for name, path in folders.items()}
