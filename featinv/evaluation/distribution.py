"""Distances of whole distributions: realism, and no leak. Nearest neighbours are perfect at it."""

from typing import Literal

import numpy as np
import scipy.special
import torch
from jaxtyping import Float
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from featinv.errors import BadInput
from featinv.evaluation.intervals import LEVEL, Interval

GROUPS = 10
LEAST_KERNEL = 200
LEAST_FRECHET = 1000
_LARGEST = 1000
"""Images of a group: the kernel's matrix grows with their square."""

Kind = Literal["frechet", "kernel"]
KINDS: dict[str, Kind] = {"judge_fd": "frechet", "judge_kd": "kernel", "fid": "frechet", "kid": "kernel"}
FeatureRows = Float[np.ndarray, "N D"]


def kernel_distance(reconstructed: FeatureRows, original: FeatureRows) -> Interval:
    """Return the kernel distance (squared MMD, kernel (x.y/D + 1)^3), without bias, with its interval.

    The mean over at least ten disjoint groups of images, each without bias by itself, and Student's limits. Source:
    arXiv:1801.01401. On Inception's features it is the published KID; on a judge's it does not compare with that.
    Raises BadInput for fewer than 200 images.
    """
    count = len(original)
    _check_count("kernel", count, original.shape[1])
    groups = np.array_split(_shuffled(count), max(GROUPS, -(-count // _LARGEST)))
    # Held against the next group's originals: an own original would be no independent draw.
    pairs = zip(groups, [*groups[1:], groups[0]], strict=True)
    values = np.array([_kernel(reconstructed[ours], original[theirs]) for ours, theirs in pairs])
    reach = float(scipy.special.stdtrit(len(groups) - 1, 0.5 + LEVEL / 2)) * values.std(ddof=1) / np.sqrt(len(groups))
    mean = float(values.mean())
    return Interval(mean, mean - float(reach), mean + float(reach), count)


def frechet_distance(reconstructed: FeatureRows, original: FeatureRows) -> Interval:
    """Return the Fréchet distance of the two normal fits, with its interval (delete-a-group jackknife, ten groups).

    Biased upwards where images are few: compare at equal numbers only. Source: arXiv:1706.08500. On Inception's
    features it is the published FID. Raises BadInput for fewer than 1,000 images, and fewer than twice the features.
    """
    count = len(original)
    _check_count("frechet", count, original.shape[1])
    value = _frechet(reconstructed, original)
    groups = np.array_split(_shuffled(count), GROUPS)
    kept = [np.setdiff1d(np.arange(count), group) for group in groups]
    without = np.array([_frechet(reconstructed[rows], original[rows]) for rows in kept])
    error = float(np.sqrt((GROUPS - 1) / GROUPS * ((without - without.mean()) ** 2).sum()))
    reach = float(scipy.special.stdtrit(GROUPS - 1, 0.5 + LEVEL / 2)) * error
    return Interval(value, value - reach, value + reach, count)


def too_few(kind: Kind, count: int, width: int) -> str | None:
    """Return why a distance on `width` features cannot be had of `count` images; None where it can."""
    least = LEAST_KERNEL if kind == "kernel" else max(LEAST_FRECHET, 2 * width)
    return None if count >= least else f"expected at least {least:,} images on {width} features, got {count:,}"


def _check_count(kind: Kind, count: int, width: int) -> None:
    if reason := too_few(kind, count, width):
        raise BadInput(f"{kind} distance: {reason}")


class _Given(nn.Module):
    """Hands features on, where torchmetrics asks for a network that makes them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def _frechet(reconstructed: FeatureRows, original: FeatureRows) -> float:
    metric = FrechetInceptionDistance(feature=_Given(original.shape[1])).set_dtype(torch.float64)
    for rows, real in ((original, True), (reconstructed, False)):
        metric.update(torch.from_numpy(rows.astype(np.float64)), real=real)
    return float(metric.compute())


def _kernel(reconstructed: FeatureRows, original: Float[np.ndarray, "M D"]) -> float:
    # The class around this function draws subsets of its own, and warns that it keeps all features.
    originals, reconstructions = (torch.from_numpy(rows.astype(np.float64)) for rows in (original, reconstructed))
    return float(poly_mmd(originals, reconstructions))


def _shuffled(count: int) -> np.ndarray:
    return np.random.default_rng(5).permutation(count)
