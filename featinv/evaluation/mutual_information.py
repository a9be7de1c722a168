"""Identified bits: how much a reconstruction says, at least, about which of N images it is of.

A lower bound on the mutual information of image and reconstruction, and so of image and released vector (data
processing): InfoNCE with the judge's similarities as critic (arXiv:1807.03748, equation 5). It is continuous where
top-k is a step.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from featinv.errors import BadInput
from featinv.evaluation.feature_prediction import LEAST_PAIRS, predict_closed_form
from featinv.evaluation.intervals import Interval
from featinv.evaluation.reidentification import NOTHING, centred_directions

NAME = "identified_bits"
TEMPERATURES = tuple(float(value) for value in np.geomspace(0.01, 2.0, 24))
"""Temperatures that are tried on public images."""
LEAST_PUBLIC = 2 * LEAST_PAIRS
MOST_PUBLIC = 2000
_CELLS = 2**22
"""Entries of one block of the similarity matrix (32 MiB in float64)."""


def identified_bits(
    reconstructed: Float[np.ndarray, "N D"], gallery: Float[np.ndarray, "M E"], temperature: float
) -> Float64[np.ndarray, " N"]:
    """Return log2 N + log2 softmax_i(s_i / T) of every image; the mean over images is the bound, in bits.

    Row i of both holds the judge's features of reconstruction i and original i; s are cosines centred on the gallery's
    mean, as in `ranks`. No value exceeds log2 N, the mean may fall below 0, where it says nothing (`clipped`). The
    bound holds for a temperature that was fixed on other images. Raises BadInput for shapes that differ, a gallery that
    is not finite, and a temperature that is not above 0. A reconstruction that is not finite gets the similarity 0.
    """
    if not temperature > 0:
        raise BadInput(f"identified bits: expected a temperature above 0, got {temperature}")
    return _bits_at(reconstructed, gallery, (temperature,))[0]


def _bits_at(
    reconstructed: Float[np.ndarray, "N D"], gallery: Float[np.ndarray, "M E"], temperatures: Sequence[float]
) -> Float64[np.ndarray, "T N"]:
    """Return the bits of every image at each temperature: the similarities are computed once."""
    if reconstructed.shape != gallery.shape or len(gallery) < 2:
        raise BadInput(f"identified bits: expected two rows or more a side, got {reconstructed.shape}, {gallery.shape}")
    if not np.isfinite(gallery).all():
        raise BadInput("identified bits: the judge's features of the originals are not finite; check the judge")
    count = len(gallery)
    mean = gallery.mean(axis=0, dtype=np.float64)
    floor = NOTHING * float(np.linalg.norm(mean))
    candidates = centred_directions(gallery - mean, floor)
    sound = np.where(np.isfinite(reconstructed).all(axis=1)[:, None], reconstructed, mean)
    asked = centred_directions(sound - mean, floor)
    bits = np.empty((len(temperatures), count))
    step = max(1, _CELLS // count)
    for start in range(0, count, step):
        cosines = asked[start : start + step] @ candidates.T
        own = cosines[np.arange(len(cosines)), start + np.arange(len(cosines))].copy()
        largest = cosines.max(axis=1)
        # From here on nothing is subtracted that is large: float32 is exact to 1e-6 bits, and four times as fast.
        below = (cosines - largest[:, None]).astype(np.float32)
        for place, temperature in enumerate(temperatures):
            logsum = np.log(np.exp(below / np.float32(temperature)).sum(axis=1, dtype=np.float64))
            bits[place, start : start + step] = np.log2(count) + ((own - largest) / temperature - logsum) / np.log(2)
    return bits


def choose_temperature(reconstructed: Float[np.ndarray, "N D"], gallery: Float[np.ndarray, "N D"]) -> float:
    """Return the temperature from 0.01 to 2 under which these images, which must be public, have the most bits."""
    return TEMPERATURES[int(np.argmax(_bits_at(reconstructed, gallery, TEMPERATURES).mean(axis=1)))]


def public_temperature(
    vectors: Float[np.ndarray, "M D"], features: Float[np.ndarray, "M E"], *, seed: int = 0
) -> float:
    """Return the temperature that suits what public vectors say of a judge's features of their images.

    The features of one half are predicted from vectors by a closed form fitted on the other half, so that no attack's
    training images make it too sure, and one temperature serves all rows of a comparison. Raises BadInput for fewer
    than 80 public images.
    """
    if len(vectors) < LEAST_PUBLIC:
        raise BadInput(f"identified bits: expected at least {LEAST_PUBLIC} public images, got {len(vectors)}")
    order = np.random.default_rng([seed, 9]).permutation(len(vectors))
    fitted, held = np.array_split(order, 2)
    prediction = predict_closed_form(vectors[fitted], features[fitted], vectors[held], seed=seed)
    gallery = features[held].astype(np.float64)
    # `identified_bits` takes the gallery's mean away from both.
    return choose_temperature(
        prediction.directions + gallery.mean(axis=0, dtype=np.float64), gallery.astype(np.float64)
    )


def clipped(interval: Interval) -> Interval:
    """Return the interval of a mean of bits, clipped at 0, which is what knowing nothing identifies."""
    return Interval(max(0.0, interval.mean), max(0.0, interval.low), max(0.0, interval.high), interval.n, 0.0)
