"""Figure 3: the model of figure 2, fed with vectors that are no image's; the author's way, and done properly."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from drawing import sheet
from figure_2 import two_images
from images import first as first_few
from torch import Tensor

import featinv as fi
from featinv.metrics import psnr

if TYPE_CHECKING:
    from work import Job

DRAWS = 4
WORDS = {
    "N(0, 1)": "the paper's: half of its numbers are negative, where pooled features never are",
    "matched": "normal, with the mean and deviation that images' vectors have, within their range",
    "shuffled": "the first image's own numbers, each in another place: the right values, no meaning",
    "other images": "vectors of real images that the model never saw",
}


def draw(job: "Job") -> dict[str, Any]:
    """Feed the four kinds of vectors, and say how near the two training images what comes out is."""
    attack, pairs, _ = two_images(job)
    features, truth = pairs.batch([0, 1])
    vectors = strange_vectors(attack, pairs, job)
    rows: dict[str, list[tuple[Tensor, str]]] = {
        "original": [(truth[i], f"image {i + 1}") for i in (0, 1)],
        "own vector": [(image, "reconstruction") for image in attack.reconstruct(features)],
    }
    numbers: dict[str, Any] = {}
    for name, asked in vectors.items():
        images = attack.reconstruct(asked)
        nearest = torch.stack([psnr(images, original.expand_as(images)) for original in truth]).amax(0)
        between = _share_of_the_way(images, attack.reconstruct(features))
        captions = [f"{level:.1f} dB to\nthe nearer one" for level in nearest]
        rows[name] = list(zip(images, captions, strict=True))
        numbers[name] = {
            "psnr_to_nearer": [float(level) for level in nearest],
            "share_of_variance_between": between,
            "negative": float((asked < 0).float().mean()),
            "words": WORDS[name],
        }
    if fi.processes.is_main():
        sheet(rows, job.out / "figure_3.png", "Figure 3: the same model, vectors that belong to neither image")
    return {"vectors": numbers, "optimiser": job.scale.film_optimisers[-1], "epochs": job.scale.pair_epochs}


def strange_vectors(attack: "fi.attacks.DecoderAttack", pairs: "fi.Pairs", job: "Job") -> dict[str, Tensor]:
    """Return four kinds of vectors (DRAWS, *F) that belong to neither image, by seed."""
    others = fi.extract(job.victim, fi.data.scenes(200, size=pairs.image_size, seed=7))
    real = job.photographs
    first_few(real, 3, figure=3)
    unseen = fi.extract(job.victim, real.take(np.arange(2, min(2 + DRAWS, len(real)))))
    keys = others.batch(np.arange(DRAWS))[0]  # a random vector is keyed by the one that it replaces
    drawn = {
        name: fi.attacks.RandomVector(attack, source=source).fit(others).draw(keys.flatten(1)).reshape(keys.shape)
        for name, source in (("N(0, 1)", "normal"), ("matched", "matched"))
    }
    first = pairs.batch([0])[0].flatten()
    order = [torch.randperm(len(first), generator=torch.Generator().manual_seed(seed)) for seed in range(DRAWS)]
    shuffled = torch.stack([first[places] for places in order]).reshape(-1, *pairs.feature_shape)
    return {**drawn, "shuffled": shuffled, "other images": unseen.batch(np.arange(len(unseen)))[0]}


def _share_of_the_way(images: Tensor, ends: Tensor) -> float:
    """Return how much of what comes out, measured from the middle of the two reconstructions, is a blend of them.

    The share of its squared distance from their mean that lies along the line between them.
    """
    centre, line = ends.mean(0), ends[0] - ends[1]
    away = (images - centre).flatten(1)
    along = away @ line.flatten() / line.flatten().norm().clamp(min=1e-12)
    return float((along.square() / away.square().sum(1).clamp(min=1e-12)).mean())
