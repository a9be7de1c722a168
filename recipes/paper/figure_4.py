"""Figure 4: training images and what models trained on more and more images make of their vectors."""

from typing import TYPE_CHECKING, Any

import torch
from drawing import curves, sheet
from measuring import Side
from models import measures

import featinv as fi

if TYPE_CHECKING:
    from work import Job

SHOWN = 8


def draw(job: "Job") -> dict[str, Any]:
    """Draw training images above every model's reconstructions."""
    few = job.study.training.first(job.scale.counts[0])
    return rows_and_curves(job, few.drawn(SHOWN), "figure_4.png", "Figure 4: training images")


def rows_and_curves(job: "Job", asked: Side, file: str, title: str) -> dict[str, Any]:
    """Train what is missing; draw originals above the rows of the attacks, and the curves of all measures."""
    trained = job.trained
    truth = asked.images.batch(range(len(asked.images)))
    measured = measures(job.study)
    rows = {"original": [(image, "") for image in truth]}
    vectors = torch.from_numpy(asked.vectors)
    for (name, count), attack in trained.items():
        if name in job.scale.attacks:
            images = attack.reconstruct(vectors).cpu()
            levels = fi.metrics.psnr(images, truth)
            rows[f"{name}\n{count:,} images"] = [
                (image, f"{level:.1f} dB") for image, level in zip(images, levels, strict=True)
            ]
    if fi.processes.is_main():
        sheet(rows, job.out / file, f"{title} ({job.victim.name}, {job.scale.size} px)")
        chance = measured[next(iter(measured))][-1]["unseen"]["reid_top10"]["chance"]
        curves(measured, job.out / "curves.png", against="count", chance=chance)
        curves(measured, job.out / "curves_epochs.png", against="epochs", chance=chance)
    return {
        "measures": {f"{name}, {count}": rows for (name, count), rows in measured.items()},
        "seconds": {f"{name}, {count}": getattr(attack, "seconds", 0.0) for (name, count), attack in trained.items()},
        "gallery": len(job.study.unseen.images),
    }
