"""Figure 5: unseen images and what the same models make of their vectors; with the scoreboard and its report."""

from typing import TYPE_CHECKING, Any

from drawing import CONTROLS
from figure_4 import SHOWN, rows_and_curves
from models import measures

import featinv as fi

if TYPE_CHECKING:
    from work import Job


def draw(job: "Job") -> dict[str, Any]:
    """Draw unseen images above every model's reconstructions, and score all models as `featinv` does."""
    numbers = rows_and_curves(job, job.study.unseen.drawn(SHOWN), "figure_5.png", "Figure 5: unseen images")
    if fi.processes.is_main():
        numbers["verdict"] = _score(job)
    fi.processes.barrier()
    return numbers


def _score(job: "Job") -> dict[str, Any]:
    _, unseen, overlap = job.split
    largest = job.scale.counts[-1]
    measured = measures(job.study)
    attacks, seconds = {}, {}
    for (name, count), attack in job.trained.items():
        if name not in CONTROLS or count == largest:
            words = name if name in CONTROLS else f"{name}, {count} images"
            attacks[words], seconds[words] = attack, measured[name, count][-1]["seconds"]
    release = fi.release(job.victim, unseen, seed=0)
    board = fi.compare(
        attacks,
        release,
        job.judges,
        metrics=["memorised"],
        public=job.study.pairs.images,
        overlap=overlap,
        fit_seconds=seconds,
    )
    board.save(job.out)
    if chosen := fi.report.choose_images(board, attacks, release, seed=0):
        chosen.save(job.out)
    job.tracking_study.log(board, attacks, release, features=job.study.folder / "features")
    print(board)
    print(f"Report: {fi.report.write(job.out)}")
    return {"level": str(board.leak_level)}
