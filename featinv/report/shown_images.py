"""The private images that a report shows: one of each tenth, and the worst leaks; never picked by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from featinv import files
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard, decile_indices, sample
from featinv.evaluation.judging import TREATMENTS, as_uint8
from featinv.evaluation.scoreboard import read_arrays
from featinv.report.leading import best_control, leading_attack
from featinv.types import Attack
from featinv.victim import Release

FILE_NAME = "report_images.npz"
DECILES, WORST = "deciles", "worst"
COUNT = 10


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Originals and reconstructions, as 8-bit images, in two groups: "deciles" and "worst".

    `leader` is the attack by whose numbers they were chosen. `rows` maps a group to the images' places in the
    release, `originals` to (P, S, S, 3) bytes, and `reconstructions` to as many of each attack, by name.
    """

    leader: str
    rows: dict[str, np.ndarray]
    originals: dict[str, np.ndarray]
    reconstructions: dict[str, dict[str, np.ndarray]]

    @property
    def count(self) -> int:
        """How many different private images it holds."""
        return len(np.unique(np.concatenate([*self.rows.values()])))

    def save(self, folder: Path | str) -> None:
        """Write `report_images.npz`, which holds private images, into a run's folder."""
        arrays = {"leader": np.array(self.leader)}
        for group, rows in self.rows.items():
            arrays |= {f"{group}/rows": rows, f"{group}/originals": self.originals[group]}
            names, images = zip(*self.reconstructions[group].items(), strict=True)
            arrays |= {f"{group}/names": np.array(names), f"{group}/reconstructions": np.stack(images)}
        with files.atomic_file(Path(folder) / FILE_NAME) as temporary, open(temporary, "wb") as out:
            np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # the stub knows no names but its flag


def choose_images(
    board: Scoreboard, attacks: Mapping[str, Attack], release: Release, *, seed: int = 0
) -> Exhibit | None:
    """Reconstruct ten images, one of each tenth of the leading attack's PSNR, and the ten that leak worst.

    Worst are those that the judges find soonest in the view that is hardest for them; the more alike go first. Drawn by
    `seed`, and shown as the best of the given controls and every attack make them. None where no attack was measured.
    Raises BadInput when the release has no images.
    """
    if release.truth is None:
        raise BadInput("release: a report's images need the private ones, but this release has none")
    leader = leading_attack(board)
    if leader is None:
        return None
    # Rows that the scorer made are not among the attacks.
    control = best_control([row for row in board.attacks if row.name in attacks])
    shown = [*([control] if control else []), *(row for row in board.attacks if row.kind == "attack")]
    chosen = {row.name: attacks[row.name] for row in shown}
    rows = {DECILES: _deciles(board, leader.name, seed), WORST: _worst(board, leader.name)}
    made = {group: sample(chosen, release, places) for group, places in rows.items()}
    return Exhibit(
        leader=leader.name,
        rows=rows,
        originals={group: release.truth.uint8(places) for group, places in rows.items()},
        reconstructions={
            group: {name: as_uint8(torch.nan_to_num(images, nan=0.0)) for name, images in by_name.items()}
            for group, by_name in made.items()
        },
    )


def read_exhibit(folder: Path) -> Exhibit | None:
    """Read what `Exhibit.save` wrote; None where there is no such file. BadInput names a broken one."""
    file = folder / FILE_NAME
    arrays = read_arrays(file)
    if not arrays:
        return None
    try:
        groups = [group for group in (DECILES, WORST) if f"{group}/rows" in arrays]
        made = {
            group: dict(zip(map(str, arrays[f"{group}/names"]), arrays[f"{group}/reconstructions"], strict=True))
            for group in groups
        }
        exhibit = Exhibit(
            leader=str(arrays["leader"]),
            rows={group: arrays[f"{group}/rows"] for group in groups},
            originals={group: arrays[f"{group}/originals"] for group in groups},
            reconstructions=made,
        )
        sound = groups and all(_sound(exhibit, group) for group in groups)
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{file}: expected the images of a report, but it lacks a part ({error})") from error
    if not sound:
        raise BadInput(f"{file}: expected 8-bit images, as many of each attack as originals; run the comparison again")
    return exhibit


def _sound(exhibit: Exhibit, group: str) -> bool:
    originals = exhibit.originals[group]
    square = originals.ndim == 4 and originals.shape[1] == originals.shape[2] and originals.shape[3] == 3
    return square and all(
        images.dtype == np.uint8 and images.shape == originals.shape
        for images in (originals, *exhibit.reconstructions[group].values())
    )


def _deciles(board: Scoreboard, leader: str, seed: int) -> Int64[np.ndarray, " P"]:
    values = board.per_image[f"{leader}/psnr"]
    if len(values) < COUNT:
        return np.argsort(values, kind="stable").astype(np.int64)
    return decile_indices(values, seed)


def _worst(board: Scoreboard, leader: str) -> Int64[np.ndarray, " P"]:
    keys = [f"{leader}/rank", *(f"{leader}/rank/{view}" for view in TREATMENTS)]
    ranks = np.max([board.per_image[key] for key in keys if key in board.per_image], axis=0)
    return np.lexsort((-board.per_image[f"{leader}/ssim"], ranks))[:COUNT].astype(np.int64)
