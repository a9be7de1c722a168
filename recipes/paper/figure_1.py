"""Figure 1: one image, and what the decoder makes of its vector after more and more epochs."""

from typing import TYPE_CHECKING, Any

import filmed
from drawing import sheet
from images import first

import featinv as fi

if TYPE_CHECKING:
    from work import Job


def draw(job: "Job") -> dict[str, Any]:
    """Train on one image by each optimiser, and draw a row for each."""
    pairs = fi.extract(job.victim, first(job.photographs, 1, figure=1))
    truth = pairs.images.batch([0])[0]
    rows, numbers = {}, {}
    for optimiser in job.scale.film_optimisers:
        folder = job.out / f"figure_1_{optimiser}"
        settings = filmed.training(optimiser, max(job.scale.films), 1)
        attack, rows_filmed = filmed.film(pairs, settings, job.scale.films, folder, job.tracking_study)
        rows[f"BCE, {optimiser}"] = [
            (truth, "original"),
            *((filmed.shown(folder, row["epoch"])[0], _caption(row)) for row in rows_filmed),
        ]
        numbers[optimiser] = {"rows": rows_filmed, "seconds": attack.seconds, "parameters": attack.parameters}
    if fi.processes.is_main():
        title = f"Figure 1: one image ({pairs.images.ids[0]}), after so many epochs"
        sheet(rows, job.out / "figure_1.png", title)
    floor = float(fi.losses.bce_floor(truth[None]).mean())
    return {"image": pairs.images.ids[0], "size": pairs.image_size, "floor": floor, "optimisers": numbers}


def _caption(row: dict[str, Any]) -> str:
    return f"{row['epoch']:,}\nBCE +{row['excess']:.4f}\n{row['psnr']:.1f} dB"
