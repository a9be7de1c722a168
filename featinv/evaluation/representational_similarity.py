"""How alike two networks see the same images."""

import numpy as np
import scipy.spatial.distance
from jaxtyping import Float

from featinv.errors import BadInput

LEAST_IMAGES = 10
"""images below which a correlation over pairs of them says nothing"""


def representational_similarity(features: Float[np.ndarray, "N D"], others: Float[np.ndarray, "M E"]) -> float:
    """Return the Pearson correlation, over all pairs of images, of their cosine similarities in two networks.

    N and M are one number of images, in one order. It is 1 where both networks find the same images alike; features are
    centred on their mean, as judges rank them. It says before an attack is trained which networks belong in the bank of
    `presets.identify`: those that see images as do networks of several families that will not judge. N^2 numbers are
    held, so give 1,000 or 2,000 images. Raises BadInput for fewer than 10 images, for features of different images, for
    features that are not finite, and for a network that sees no difference. Source: representational similarity
    analysis, doi:10.3389/neuro.06.004.2008, with cosines of centred features in place of correlation distances.
    """
    if len(features) != len(others) or len(features) < LEAST_IMAGES:
        raise BadInput(
            f"features: expected those of the same {LEAST_IMAGES} images or more, got {len(features)} and {len(others)}"
        )
    correlation = np.corrcoef(_distances(features), _distances(others))[0, 1]
    return float(correlation)


def _distances(features: np.ndarray) -> np.ndarray:
    """1 - cosine of every pair of centred rows."""
    wide = np.asarray(features, dtype=np.float64)
    if not np.isfinite(wide).all():
        raise BadInput("features: expected finite numbers, got NaN or infinity")
    centred = wide - wide.mean(0)
    if not np.linalg.norm(centred, axis=1).all():
        raise BadInput("features: expected every image to differ from the mean of all, got one that does not")
    distances = np.asarray(scipy.spatial.distance.pdist(centred, "cosine"))
    if np.ptp(distances) < 1e-12:
        raise BadInput("features: expected some images to be more alike than others, got none that are")
    return distances
