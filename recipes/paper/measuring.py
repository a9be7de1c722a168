"""How good reconstructions of training images and of unseen ones are, by the same measure."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

import featinv as fi
from featinv.evaluation import Interval, bootstrap, wilson
from featinv.evaluation.judging import run_judge
from featinv.metrics import psnr
from featinv.metrics.value_range import rounded

AT_ONCE = 250
TOP = 10


@dataclass(frozen=True)
class Side:
    """Images with their released vectors and what the judge says of the originals."""

    name: str
    images: "fi.data.ImageSet"
    vectors: np.ndarray
    features: np.ndarray
    labels: np.ndarray

    def first(self, count: int) -> "Side":
        """Return the first images only."""
        return self._take(np.arange(min(count, len(self.images))))

    def drawn(self, count: int) -> "Side":
        """Return some images, drawn by seed."""
        return self._take(np.random.default_rng(0).permutation(len(self.images))[:count])

    def _take(self, rows: np.ndarray) -> "Side":
        return Side(self.name, self.images.take(rows), self.vectors[rows], self.features[rows], self.labels[rows])


def side(name: str, images: "fi.data.ImageSet", victim: "fi.Victim", judge: "fi.types.Judge") -> Side:
    """Prepare one side: its vectors as the victim releases them, and the judge's view of the originals."""
    outputs = [run_judge(judge, images.batch(rows)) for rows in _blocks(len(images))]
    return Side(
        name,
        images,
        fi.release(victim, images, seed=0).features,
        np.concatenate([output.features for output in outputs]),
        np.concatenate([output.labels for output in outputs]),
    )


def measure(
    attack: "fi.types.Attack", asked: Side, distractors: Float[np.ndarray, "M E"], judge: "fi.types.Judge"
) -> dict[str, Interval]:
    """Return PSNR in dB, label agreement and top-10 re-identification of one side, each with its 95 % interval.

    Every reconstruction is ranked among as many candidates, whichever side it is of: its own original and one
    less than there are `distractors` (the judge's features of the unseen images).
    """
    decibels, features, labels = [], [], []
    for rows in _blocks(len(asked.images)):
        images = attack.reconstruct(torch.from_numpy(asked.vectors[rows])).cpu()
        decibels.append(psnr(images, asked.images.batch(rows)).numpy())
        outputs = run_judge(judge, rounded(images))
        features.append(outputs.features)
        labels.append(outputs.labels)
    ranks = ranks_among(np.concatenate(features), asked.features, distractors, own=asked.name == "unseen")
    agrees = np.concatenate(labels) == asked.labels
    return {
        "psnr": bootstrap(np.concatenate(decibels)),
        "agreement": wilson(int(agrees.sum()), len(agrees)),
        "reid_top10": wilson(int((ranks <= TOP).sum()), len(ranks), chance=min(1.0, TOP / len(distractors))),
    }


def ranks_among(
    reconstructed: Float[np.ndarray, "N D"],
    originals: Float[np.ndarray, "N D"],
    distractors: Float[np.ndarray, "M D"],
    *,
    own: bool,
) -> Int64[np.ndarray, " N"]:
    """Return the rank of every original among itself and M - 1 distractors, as `featinv.evaluation.ranks` counts.

    Cosines of features centred on the distractors' mean; ties count against the attacker. `own` says that the originals
    are the first distractors themselves, which then stand aside; otherwise the last distractor does.
    """
    mean = distractors.mean(axis=0, dtype=np.float64)
    crowd, rows, true = (_directions(vectors - mean) for vectors in (distractors, reconstructed, originals))
    reached = (rows * true).sum(axis=1)
    scores = rows @ crowd.T
    aside = np.arange(len(rows)) if own else np.full(len(rows), len(crowd) - 1)
    scores[np.arange(len(rows)), aside] = -np.inf
    return 1 + (scores >= reached[:, None] - 1e-12).sum(axis=1)


def _directions(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _blocks(count: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE)]
