"""Listik's paper, figure by figure: train its models, draw its figures, and put numbers with intervals under them.

    accelerate launch recipes/paper/run.py --figure all --scale smoke
    accelerate launch recipes/paper/run.py --figure 1 --scale cpu --data PHOTOGRAPHS --photo_size 256
    accelerate launch recipes/paper/run.py --figure 5 --config recipes/paper/cifar10.yaml --data DIR --weights DIR

Scales: smoke (two minutes), cpu (an hour on 2 cores), gpu (an hour on one), paper (the author's own setting, days).
Leaves in --out: figure_1.png to figure_5.png with their numbers (.json, and numbers.md for all), curves.png and
curves_epochs.png, and of figures 4 and 5 every model, a scoreboard and a report. Called again it goes on where it was.
docs/paper.md says what came out of it.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scales import EXPECTED, Scale, scale_of

import featinv as fi
from featinv.assembly import RunFolder
from featinv.configuration import Component
from featinv.files import read_json, write_json
from featinv.tracking import TrackingSettings

if TYPE_CHECKING:
    from work import Job

FIGURES = ("1", "2", "3", "4", "5")


@dataclass(frozen=True)
class Config:
    """Which figure, at which scale; null: as the scale has it (recipes/paper/scales.py)."""

    figure: str = "all"
    """1 to 5, or all"""
    scale: str = "smoke"
    """smoke, cpu, gpu or paper"""
    out: str | None = None
    """folder for the results; runs/paper-SCALE when not given"""
    data: str | None = None
    """folder of images (Imagenette, ImageNet, yours; with train/ and test/ in it, or not); null: scikit-image's
    photographs for figures 1 to 3 where it is installed, and scenes"""
    upscale: bool = False
    """enlarge images smaller than the target size, instead of refusing them"""
    weights: str | None = None
    """folder of weights, `{weights}` in encoder and judges"""
    encoder: Component | None = None
    """whose vectors: an export of featinv.encoders with its keywords"""
    judge: Component | None = None
    """the judge: an export of featinv.encoders that returns a judge"""
    second_judge: Component | None = None
    """another one, of another family still: it stands beside the first in the scoreboard of figure 5"""
    photo_size: int | None = None
    """side of the images of figures 1 to 3, in pixels"""
    size: int | None = None
    """side of the images of figures 4 and 5, in pixels"""
    films: tuple[int, ...] | None = None
    """figure 1: the epochs that are shown"""
    film_optimisers: tuple[str, ...] | None = None
    """figure 1: adadelta (the author's), adamw"""
    pair_epochs: int | None = None
    """figures 2 and 3: epochs on two images"""
    counts: tuple[int, ...] | None = None
    """figures 4 and 5: numbers of training images, one model each"""
    seen: tuple[int, ...] | None = None
    """figures 4 and 5: training images seen by each model, repeats counted"""
    distilled: int | None = None
    """figures 4 and 5: training images seen by each surrogate, at most twice as many as the decoder sees"""
    unseen: int | None = None
    """figure 5: images that no model is trained on"""
    attacks: tuple[str, ...] | None = None
    """figures 4 and 5: listik, upsampling, two surrogates"""
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    """what is logged to wandb: offline, under --out/wandb, and no images, unless asked otherwise"""


def main(config: Config) -> None:
    fi.assembly.check_names(config)
    figures = _asked(config.figure)
    scale = scale_of(config.scale, vars(config))
    out = Path(config.out or f"runs/paper-{config.scale}")
    run = RunFolder(out, _Identity(str(out), config.data, config.upscale, config.weights, scale))
    if fi.processes.is_main():
        print(f"Figure {config.figure} at scale {config.scale}: {EXPECTED[config.scale]} for all five.", flush=True)
        if config.upscale:
            print("Images smaller than the target size are enlarged, as asked: they hold less than their size says.")
    fi.processes.share_threads()

    from work import Job  # imported here, because it loads torch, which --help does without

    job = Job(scale, out, config.data, config.upscale, config.weights, config.tracking, config, run.must_be_of)
    for figure in figures:
        draw(job, figure)
    if all((out / f"figure_{figure}.json").is_file() for figure in FIGURES):
        run.complete()
    if fi.processes.is_main():
        print(f"Figures: {out}/figure_*.png. Numbers: {out / 'numbers.md'}.")


def draw(job: "Job", figure: str) -> None:
    """Draw one figure with the module of its name, unless it is there, and write its numbers."""
    record = job.out / f"figure_{figure}.json"
    # The main process answers for all: another one may come to look only when this figure has just been drawn.
    if fi.processes.broadcast(record.is_file()):
        if fi.processes.is_main():
            drawn = job.out / f"figure_{figure}.png"
            print(f"figure {figure}: is there already ({drawn}; its images were not read again)")
        return
    numbers = importlib.import_module(f"figure_{figure}").draw(job)
    if fi.processes.is_main():
        from numbers_page import page

        write_json(record, numbers)
        records = {name: job.out / f"figure_{name}.json" for name in FIGURES}
        written = {name: read_json(file) for name, file in records.items() if file.is_file()}
        with fi.files.atomic_file(job.out / "numbers.md") as temporary:
            temporary.write_text(page(written, enlarged=job.upscale), encoding="utf-8")
        print(f"figure {figure}: {job.out / f'figure_{figure}.png'}", flush=True)
    fi.processes.barrier()


@dataclass(frozen=True)
class _Identity:
    """What must be equal for a folder to be gone on with: not which figure is asked for."""

    out: str
    data: str | None
    upscale: bool
    weights: str | None
    scale: Scale


def _asked(figure: str) -> tuple[str, ...]:
    if figure == "all":
        return FIGURES
    if figure not in FIGURES:
        raise fi.BadInput(f"--figure: expected 1 to 5, or all; the paper has no figure {figure!r}")
    return (figure,)


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
