"""The contract of attacks that draw: features -> samples of p(image | vector)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.testing.contracts import demand, demand_images, demand_same, demand_untouched, label
from featinv.testing.synthetic import synthetic_pairs
from featinv.types import SamplesLike

_K = 4


def check_sampler(attack: Any, *, pairs: Any = None) -> None:
    """Raise AssertionError unless `attack`, not fitted yet, may be tested for calibration; it is fitted on `pairs`.

    The default pairs are those of `check_attack`. `sample(features, k, seed, first_row=0)` gives float32 images
    (B, k, 3, S, S) in [0, 1]: the same for the same seed whatever torch's seed is, other ones for another seed, not all
    alike, and for each row a function of its vector, the seed and its number in the release only. Before `fit`, for k
    below 1 and for NaN, which is named by its row, it raises BadInput.
    """
    name = label(attack)
    pairs = synthetic_pairs() if pairs is None else pairs
    features: Tensor = pairs.batch(np.arange(6))[0]
    demand(isinstance(attack, SamplesLike), f"{name} must have a method sample(features, k, seed, *, first_row=0)")
    _demand_refusal(attack, features, _K, f"{name}.sample before fit")
    attack.fit(pairs)
    demand_untouched(lambda rows: attack.sample(rows, _K, 0), features, name)
    samples = attack.sample(features, _K, 0)
    what = f"{name}.sample"
    size = pairs.image_size
    demand(
        tuple(samples.shape) == (6, _K, 3, size, size), f"{what} must be (B, k, 3, S, S), got {tuple(samples.shape)}"
    )
    demand_images(samples.flatten(0, 1), (6 * _K, 3, size, size), what)
    demand(not bool((samples == samples[:, :1]).all()), f"{what} must draw: all samples of every vector are alike")
    with seeded(1):
        demand_same(attack.sample(features, _K, 0), samples, f"{what} must not depend on torch's seed", 0.0)
    demand(not torch.equal(attack.sample(features, _K, 1), samples), f"{what} must give other samples for another seed")
    demand_same(attack.sample(features[2:5], _K, 0, first_row=2), samples[2:5], f"{what} must not depend on the block")
    empty = attack.sample(features[:0], _K, 0)
    demand(
        tuple(empty.shape) == (0, _K, 3, size, size), f"{what} of no vectors must be empty, got {tuple(empty.shape)}"
    )
    _demand_refusal(attack, features, 0, f"k = 0 in {what}")
    damaged = features.clone()
    damaged.flatten(1)[2, 0] = torch.nan
    _demand_refusal(attack, damaged, _K, f"a vector with NaN in {what}", says="2")


def _demand_refusal(attack: Any, features: Tensor, k: int, what: str, says: str = "") -> None:
    try:
        attack.sample(features, k, 0)
    except BadInput as refusal:
        demand(says in str(refusal), f"the refusal of {what} must name {says}, got: {refusal}")
        return
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise AssertionError(f"{what} must raise BadInput, got {type(error).__name__}: {error}") from error
    raise AssertionError(f"{what} must raise BadInput, but was accepted")
