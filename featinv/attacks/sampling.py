"""Samples of p(image | vector): what every stochastic attack shares, and what is made of K samples."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.types import Features, Images, SamplesLike

LARGEST_SAMPLES = 4 * 2**30
"""bytes of float32 images that one call of `sample` returns at most"""
BLOCK_BYTES = 128 * 2**20
LOW_PASS = 8
"""cells a side of the colours in which a medoid is chosen where no surrogate is given"""
Samples = Float[Tensor, "B k 3 S S"]


def sample_blocks(
    attack: SamplesLike, features: Features, k: int, seed: int, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, Samples]]:
    """Yield (first row, samples (B, k, 3, S, S)) over all vectors in order, about `block_bytes` at a time.

    The samples are those of one call of `attack.sample`, however they are cut into blocks.
    """
    start, rows = 0, 1
    while start < len(features):
        samples: Samples = attack.sample(features[start : start + rows], k, seed, first_row=start)
        yield start, samples
        start += rows
        per_row = samples[0].numel() * samples.element_size()
        rows = max(1, block_bytes // max(1, per_row))


def check_sampling(count: int, k: int, seed: int, image_size: int) -> None:
    """Raise BadInput for k below 1, a seed out of range, and more samples than one call returns (4 GiB)."""
    if k < 1:
        raise BadInput(f"k: expected at least 1 sample of each vector, got {k}")
    check_seed("sample: seed", seed)
    wanted = 4 * count * k * 3 * image_size**2
    if wanted > LARGEST_SAMPLES:
        raise BadInput(
            f"sample: expected at most {LARGEST_SAMPLES / 2**30:g} GiB of samples at once, got {count} vectors times "
            f"{k} of {image_size} px ({wanted / 2**30:.1f} GiB); use featinv.attacks.sample_blocks, or lower k"
        )


def row_generator(seed: int, row: int) -> torch.Generator:
    """Return the generator of the samples of row `row` of a release: a function of both numbers only."""
    words = np.random.SeedSequence([seed, row]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def low_pass(images: Images) -> Float[Tensor, "B D"]:
    """Return the mean colours of 8 x 8 cells (fewer where images are smaller), flat."""
    side = min(LOW_PASS, images.shape[-1])
    return F.interpolate(images, size=(side, side), mode="area").flatten(1)


@torch.no_grad()
def medoid(samples: Samples, space: Callable[[Tensor], Tensor] = low_pass) -> Images:
    """Return of each row the sample whose summed squared distance to its other samples is smallest.

    Distances are those of `space`, which maps (N, 3, S, S) to (N, D): the colours of 8 x 8 cells, or a surrogate. It is
    the sample nearest to the mean of all of them there. Raises BadInput where `space` gives NaN or infinity.
    """
    rows, k = samples.shape[:2]
    mapped = space(samples.flatten(0, 1)).flatten(1).unflatten(0, (rows, k)).double()
    if not bool(mapped.isfinite().all()):
        raise BadInput("medoid: expected finite numbers in the space of distances, got NaN or infinity; use another")
    # sum_j |s_i - s_j|^2 = k |s_i - mean|^2 + a constant.
    best = (mapped - mapped.mean(1, keepdim=True)).square().sum(2).argmin(1)
    return samples[torch.arange(rows, device=samples.device), best.to(samples.device)]
