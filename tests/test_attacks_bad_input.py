"""What every attack refuses, and the sentence it says."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from training_parts import NoPairs

from featinv.attacks import MeanImage, NearestNeighbour, NeighbourAverage, PredictedClassMean, RandomFourier, Ridge
from featinv.errors import BadInput
from featinv.features import Pairs
from featinv.types import Attack

EVERY = [
    MeanImage(),
    NearestNeighbour(),
    NeighbourAverage(k=3),
    PredictedClassMean(),
    RandomFourier(count=5),
    Ridge(),
]


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_reconstruct_before_fit(attack: Attack) -> None:
    with pytest.raises(BadInput, match=r"expected a fitted attack, got one before fit\(pairs\)"):
        attack.reconstruct(torch.zeros(2, 6))


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_vectors_of_another_width(attack: Attack) -> None:
    attack.fit(make_pairs(20))
    for wrong in (torch.zeros(2, 7), torch.zeros(2, 6, 1, 1)):
        with pytest.raises(
            BadInput, match=r"features: expected shape \(B, 6\), as the attack was fitted on, got \(2, "
        ):
            attack.reconstruct(wrong)


@pytest.mark.parametrize("attack", EVERY, ids=repr)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_vectors_that_are_not_finite_are_named_by_row(attack: Attack, bad: float) -> None:
    attack.fit(make_pairs(20))
    features = torch.zeros(5, 6)
    features[3, 1] = bad
    with pytest.raises(BadInput, match=r"got NaN or infinity in row 3"):
        attack.reconstruct(features)


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_public_vectors_that_are_not_finite_are_named_by_row(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.attacks.passes.MOST_ROWS", 7)
    pairs = make_pairs(20)
    features = pairs.features(np.arange(20))
    features[16, 2] = np.nan
    with pytest.raises(BadInput, match=r"got NaN or infinity in row 16"):
        attack.fit(Pairs(features, pairs.images))


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_no_pairs(attack: Attack) -> None:
    with pytest.raises(BadInput, match=r"expected at least one pair to fit"):
        attack.fit(NoPairs())


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_no_vectors_give_no_images(attack: Attack) -> None:
    assert attack.fit(make_pairs(20)).reconstruct(torch.zeros(0, 6)).shape == (0, 3, 8, 8)
