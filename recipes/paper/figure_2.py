"""Figure 2: two images, one decoder; the vector decides which of them comes back."""

from typing import TYPE_CHECKING, Any

import filmed
import torch
from drawing import sheet
from images import first
from torch import Tensor

import featinv as fi
from featinv.metrics import mse

if TYPE_CHECKING:
    from work import Job


def two_images(job: "Job") -> "tuple[fi.attacks.DecoderAttack, fi.Pairs, list[dict[str, Any]]]":
    """Train on the first two photographs, or load what was trained; figure 3 asks the same model."""
    pairs = fi.extract(job.victim, first(job.photographs, 2, figure=2))
    optimiser = job.scale.film_optimisers[-1]
    settings = filmed.training(optimiser, job.scale.pair_epochs, 2)
    moments = [job.scale.pair_epochs // 10, job.scale.pair_epochs]
    attack, rows = filmed.film(pairs, settings, moments, job.out / "figure_2", job.tracking_study)
    return attack, pairs, rows


def draw(job: "Job") -> dict[str, Any]:
    """Draw what each vector gives back, and count which image it is nearer to."""
    attack, pairs, rows = two_images(job)
    features, truth = pairs.batch([0, 1])
    own, swapped = attack.reconstruct(features), attack.reconstruct(features.flip(0))
    distances = torch.stack([mse(image.expand_as(truth), truth) for image in own[:, None]])
    matching = int((distances.argmin(dim=1) == torch.arange(2)).sum())
    decibels = filmed.score(own, truth)
    if fi.processes.is_main():
        names = [identifier.rpartition("/")[2] for identifier in pairs.images.ids]
        columns: dict[str, list[tuple[Tensor, str]]] = {
            "original": [(truth[i], names[i]) for i in (0, 1)],
            "own vector": [(own[i], _nearer(distances[i], names)) for i in (0, 1)],
            "the other's": [(swapped[i], "vectors swapped") for i in (0, 1)],
        }
        sheet(columns, job.out / "figure_2.png", "Figure 2: two images, by their vectors")
    labels = pairs.images.labels
    return {
        "images": list(pairs.images.ids),
        "same_class": None if labels is None else bool(labels[0] == labels[1]),
        "found": matching,
        "mse": distances.tolist(),
        "rows": rows,
        "vectors_cosine": float(torch.nn.functional.cosine_similarity(*features.flatten(1).split(1)).item()),
        **decibels,
        "epochs": job.scale.pair_epochs,
        "optimiser": job.scale.film_optimisers[-1],
        "seconds": attack.seconds,
    }


def _nearer(distances: Tensor, names: list[str]) -> str:
    return f"nearest: {names[int(distances.argmin())]}\nMSE {float(distances.min()):.5f}"
