"""The sheets of private images: originals above what each attack made of their vectors."""

import numpy as np
import torch
from PIL import Image

from featinv.data import ImageSet
from featinv.evaluation import contact_sheet
from featinv.report.document import Figure
from featinv.report.drawing import as_png
from featinv.report.finished_run import Run
from featinv.report.shown_images import DECILES, WORST, Exhibit

LARGEST = 128
"""Pixels a side that an image is shown at, at most."""
_TITLES = {
    DECILES: "From worst to best: one image of each tenth",
    WORST: "The worst leaks",
}
_CAPTIONS = {
    DECILES: "One private image of each tenth of the PSNR of {leader!r}, lowest on the left, drawn by a seed.",
    WORST: "The private images that the judge finds soonest from what {leader!r} makes of their vectors, in the view "
    "that is hardest for it; chosen by the number, and the more alike go first.",
}


def image_figures(run: Run, *, several: bool) -> list[Figure]:
    """Return the sheets of a run; none where its images are not at hand."""
    if run.exhibit is None:
        return []
    return [_sheet(run.exhibit, group, run.name if several else "") for group in run.exhibit.rows]


def _sheet(exhibit: Exhibit, group: str, run: str) -> Figure:
    made = {name: _tensor(_small(images)) for name, images in exhibit.reconstructions[group].items()}
    small = _small(exhibit.originals[group])
    originals = ImageSet(small, ids=[str(place) for place in range(len(small))])
    image = contact_sheet(originals, made, np.arange(len(small)))
    side, shown = exhibit.originals[group].shape[1], small.shape[1]
    caption = _CAPTIONS[group].format(leader=exhibit.leader)
    return Figure(
        title=f"{_TITLES[group]}{f' ({run})' if run else ''}",
        image=as_png(image),
        alternative=f"{len(small)} private images in the top row, and below them what was reconstructed from their "
        f"vectors by {', '.join(made)}.",
        caption=caption + (f" Shown at {shown} of {side} pixels." if shown < side else ""),
        wide=True,
        private=True,
    )


def _small(images: np.ndarray) -> np.ndarray:
    side = images.shape[1]
    if side <= LARGEST:
        return images
    shrunk = [Image.fromarray(one).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS) for one in images]
    return np.stack([np.asarray(one) for one in shrunk])


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div(255)
