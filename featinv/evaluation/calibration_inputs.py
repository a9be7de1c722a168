"""What every calibration test asks of samples, and how a number is ranked among its samples."""

import numpy as np
from jaxtyping import Float, Float64, Int64

from featinv.errors import BadInput

LEAST_IMAGES = 50
"""fewer refute nothing but the crudest sampler"""
LEAST_RANKED = 16
"""samples an image that ranks and coverage need: with fewer, the outermost 10 % of a posterior are one bin"""


def check_samples(
    truth: Float[np.ndarray, " N *D"], samples: Float[np.ndarray, " M K *E"], *, least: int, what: str
) -> tuple[Float64[np.ndarray, "N D"], Float64[np.ndarray, "N K D"]]:
    """Return truths and samples as float64. Raises BadInput that says what is missing.

    That is for another shape, fewer than 50 images, fewer samples an image than `least`, NaN or infinity (naming the
    image), and samples that are all alike, as those of a deterministic attack.
    """
    if truth.ndim != 2 or samples.ndim != 3 or samples.shape[::2] != truth.shape:
        raise BadInput(
            f"samples: expected (images, samples, numbers) beside truths (images, numbers), got {samples.shape} beside "
            f"{truth.shape}; flatten what is left"
        )
    count, k, _ = samples.shape
    if count < LEAST_IMAGES:
        raise BadInput(f"{what}: expected at least {LEAST_IMAGES} images, got {count}; release more")
    check_k(k, least, what)
    for name, values in (("truth", truth), ("samples", samples)):
        finite = np.isfinite(values.reshape(count, -1)).all(axis=1)
        if not finite.all():
            raise BadInput(
                f"{name}: expected finite numbers, got NaN or infinity for image {int(np.argmin(finite))}; correct it"
            )
    check_spread(samples, what)
    return truth.astype(np.float64), samples.astype(np.float64)


def check_k(k: int, least: int, what: str) -> None:
    """Raise BadInput for fewer than `least` samples an image."""
    if k < least:
        raise BadInput(f"k: expected at least {least} samples an image for {what}, got {k}; raise k")


def check_spread(samples: Float[np.ndarray, "N K *D"], what: str) -> None:
    """Raise BadInput where all samples of every image are alike: there is no distribution to test."""
    if bool((samples == samples[:, :1]).all()):
        raise BadInput(
            f"{what}: expected samples that differ, got the same {samples.shape[1]} times for every image; the sampler "
            "is deterministic, give one that draws"
        )


def ranks_among(
    truth: Float64[np.ndarray, " N *D"], samples: Float64[np.ndarray, "N K *D"], generator: np.random.Generator
) -> Int64[np.ndarray, " N *D"]:
    """Return how many of the K samples lie below the truth, 0 to K; a tie goes either way, by the generator.

    Truth and samples of one distribution have ranks that are exactly uniform, ties included.
    """
    below = (samples < truth[:, None]).sum(axis=1)
    ties = (samples == truth[:, None]).sum(axis=1)
    return below + generator.integers(0, ties, endpoint=True)
