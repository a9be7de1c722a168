"""The private images that a report shows: kept in a file of the run's folder, and drawn as sheets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from featinv import files
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation import DrawnSamples, contact_sheet
from featinv.evaluation.scoreboard import read_arrays
from featinv.report.document import Figure
from featinv.report.pixels import LARGEST, as_uri, shrunk
from featinv.report.sample_exhibit import read_samples, sample_arrays, save_sheet

FILE_NAME = "report_images.npz"
DECILES, WORST = "deciles", "worst"
_TITLES = {
    DECILES: "From worst to best: one image of each tenth",
    WORST: "The worst leaks",
}
_CAPTIONS = {
    DECILES: "One private image of each tenth of the PSNR of {leader!r}, lowest on the left, drawn by a seed.",
    WORST: "Private images with the best ranks under {leader!r}, in the judge's weakest view. Equal ranks are sorted "
    "by SSIM.",
}


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Originals and reconstructions, as 8-bit images, in two groups: "deciles" and "worst".

    `leader` is the attack by whose numbers they were chosen. `rows` maps a group to the images' places in the
    release, `originals` to (P, S, S, 3) bytes, and `reconstructions` to as many of each attack, by name. `drawn` are
    samples of some of the images in "deciles", where an attack draws, and `map_holds` says whether their map claims no
    more than is known.
    """

    leader: str
    rows: dict[str, np.ndarray]
    originals: dict[str, np.ndarray]
    reconstructions: dict[str, dict[str, np.ndarray]]
    drawn: DrawnSamples | None = None
    map_holds: bool = False

    @property
    def count(self) -> int:
        """Return how many different private images it holds."""
        drawn = [] if self.drawn is None else [self.drawn.rows]
        return len(np.unique(np.concatenate([*self.rows.values(), *drawn])))

    def save(self, folder: Path | str) -> None:
        """Write `report_images.npz`, and with samples `report_samples.png`: both hold private images."""
        arrays = {"leader": np.array(self.leader), **sample_arrays(self.drawn)}
        for group, rows in self.rows.items():
            arrays |= {f"{group}/rows": rows, f"{group}/originals": self.originals[group]}
            names, images = zip(*self.reconstructions[group].items(), strict=True)
            arrays |= {f"{group}/names": np.array(names), f"{group}/reconstructions": np.stack(images)}
        with files.atomic_file(Path(folder) / FILE_NAME) as temporary, open(temporary, "wb") as out:
            np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # the stub knows no names but its flag
        if self.drawn is not None:
            save_sheet(self.drawn, Path(folder), trusted=self.map_holds)


def read_exhibit(folder: Path) -> Exhibit | None:
    """Read what `Exhibit.save` wrote; None where there is no such file. BadInput names a broken one."""
    file = folder / FILE_NAME
    arrays = read_arrays(file)
    if not arrays:
        return None
    try:
        groups = [group for group in (DECILES, WORST) if f"{group}/rows" in arrays]
        reconstructions = {
            group: dict(zip(map(str, arrays[f"{group}/names"]), arrays[f"{group}/reconstructions"], strict=True))
            for group in groups
        }
        exhibit = Exhibit(
            leader=str(arrays["leader"]),
            rows={group: arrays[f"{group}/rows"] for group in groups},
            originals={group: arrays[f"{group}/originals"] for group in groups},
            reconstructions=reconstructions,
            drawn=read_samples(arrays),
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


def sheets(exhibit: Exhibit | None, run: str = "") -> list[Figure]:
    """Return one sheet for each group of images, originals above reconstructions; none without images.

    `run` names the run in the titles where a report has several.
    """
    return [] if exhibit is None else [_sheet(exhibit, group, run) for group in exhibit.rows]


def _sheet(exhibit: Exhibit, group: str, run: str) -> Figure:
    count, side = exhibit.originals[group].shape[:2]
    caption = _CAPTIONS[group].format(leader=exhibit.leader)
    return Figure(
        title=f"{_TITLES[group]}{f' ({run})' if run else ''}",
        draw=lambda: _draw(exhibit, group),
        alternative=f"{count} private images in the top row, and below them their reconstructions by "
        f"{', '.join(exhibit.reconstructions[group])}.",
        caption=caption + (f" Shown at {LARGEST} of {side} pixels." if side > LARGEST else ""),
        wide=True,
        private=True,
    )


def _draw(exhibit: Exhibit, group: str) -> str:
    reconstructions = {name: _tensor(shrunk(images)) for name, images in exhibit.reconstructions[group].items()}
    small = shrunk(exhibit.originals[group])
    originals = ImageSet(small, ids=[str(place) for place in range(len(small))])
    return as_uri(contact_sheet(originals, reconstructions, np.arange(len(small))))


def _tensor(images: np.ndarray) -> torch.Tensor:
    return rearrange(torch.from_numpy(images), "b h w c -> b c h w").float().div(255)
