"""How the reconstructions are spread, all together: realism, and no leak. Nearest neighbours are perfect at it."""

from collections.abc import Callable

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
LEAST_KID = 200
LEAST_FID = 1000
_LARGEST = 1000
"""Pictures of a group: the kernel's matrix grows with their square."""

FeatureRows = Float[np.ndarray, "N D"]


def kid(reconstructed: FeatureRows, original: FeatureRows) -> Interval:
    """Return the kernel distance (squared MMD, kernel (x.y/D + 1)^3), without bias, with its interval.

    The mean over at least ten disjoint groups of pictures, each without bias by itself, and Student's limits. Source:
    arXiv:1801.01401; the features are the judge's and not Inception's, so that numbers of other tools do not compare.
    Raises BadInput for fewer than 200 pictures.
    """
    count = len(original)
    least_pictures("kid", count, original.shape[1])
    groups = np.array_split(_shuffled(count), max(GROUPS, -(-count // _LARGEST)))
    # Held against the next group's originals: an own original would be no independent draw.
    pairs = zip(groups, [*groups[1:], groups[0]], strict=True)
    values = np.array([_kid(reconstructed[ours], original[theirs]) for ours, theirs in pairs])
    reach = float(scipy.special.stdtrit(len(groups) - 1, 0.5 + LEVEL / 2)) * values.std(ddof=1) / np.sqrt(len(groups))
    mean = float(values.mean())
    return Interval(mean, mean - float(reach), mean + float(reach), count)


def fid(reconstructed: FeatureRows, original: FeatureRows) -> Interval:
    """Return the Fréchet distance of the two normal fits, with its interval (delete-a-group jackknife, ten groups).

    Biased upwards where pictures are few: compare at equal numbers only. Source: arXiv:1706.08500, on the judge's
    features. Raises BadInput for fewer than 1,000 pictures, and fewer than twice the features.
    """
    count = len(original)
    least_pictures("fid", count, original.shape[1])
    value = _fid(reconstructed, original)
    groups = np.array_split(_shuffled(count), GROUPS)
    kept = [np.setdiff1d(np.arange(count), group) for group in groups]
    without = np.array([_fid(reconstructed[rows], original[rows]) for rows in kept])
    error = float(np.sqrt((GROUPS - 1) / GROUPS * ((without - without.mean()) ** 2).sum()))
    reach = float(scipy.special.stdtrit(GROUPS - 1, 0.5 + LEVEL / 2)) * error
    return Interval(value, value - reach, value + reach, count)


def least_pictures(name: str, count: int, width: int) -> None:
    """Raise BadInput unless `count` pictures are enough for the distance called `name` on `width` features."""
    least = LEAST_KID if name == "kid" else max(LEAST_FID, 2 * width)
    if count < least:
        raise BadInput(f"{name}: expected at least {least:,} pictures on {width} features, got {count:,}")


DISTANCES: dict[str, Callable[[FeatureRows, FeatureRows], Interval]] = {"fid": fid, "kid": kid}


class _Given(nn.Module):
    """Hands features on, where torchmetrics asks for a network that makes them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def _fid(reconstructed: FeatureRows, original: FeatureRows) -> float:
    metric = FrechetInceptionDistance(feature=_Given(original.shape[1])).set_dtype(torch.float64)
    for rows, real in ((original, True), (reconstructed, False)):
        metric.update(torch.from_numpy(rows.astype(np.float64)), real=real)
    return float(metric.compute())


def _kid(reconstructed: FeatureRows, original: Float[np.ndarray, "M D"]) -> float:
    # The class around this function draws subsets of its own, and warns that it keeps all features.
    real, made = (torch.from_numpy(rows.astype(np.float64)) for rows in (original, reconstructed))
    return float(poly_mmd(real, made))


def _shuffled(count: int) -> np.ndarray:
    return np.random.default_rng(5).permutation(count)
