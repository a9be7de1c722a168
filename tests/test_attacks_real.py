"""Controls and closed forms on real CIFAR-10 give the numbers that an independent implementation measured."""

from pathlib import Path

import numpy as np
import pytest
import torch

import featinv as fi

# mean PSNR on the 5,000 test images, ResNet-20's 64 pooled features, all 50,000 training pairs
ANCHORS = {
    "mean image": (fi.attacks.MeanImage(), 12.718),
    "ridge": (fi.attacks.Ridge(penalty=10.0), 13.897),
    "nearest neighbour": (fi.attacks.NearestNeighbour(), 11.201),
    "16 neighbours averaged": (fi.attacks.NeighbourAverage(k=16), 13.663),
}


@pytest.mark.slow
@pytest.mark.real
def test_controls_and_closed_forms_give_the_anchors(real_data: Path) -> None:
    encoder = fi.encoders.cifar_resnet(real_data / "cifar10_resnet20.safetensors", depth=20)
    victim = fi.Victim(encoder)
    pairs = fi.extract(victim, fi.data.folder(real_data / "train", size=32))
    release = fi.release(victim, fi.data.folder(real_data / "test", size=32))
    assert (len(pairs), len(release.features)) == (50_000, 5_000)
    originals, features = release.truth.batch(np.arange(5_000)), torch.from_numpy(release.features)

    def decibel(attack: fi.types.Attack) -> float:
        return float(fi.metrics.psnr(attack.fit(pairs).reconstruct(features), originals).mean())

    got = {name: decibel(attack) for name, (attack, _) in ANCHORS.items()}
    assert got == pytest.approx({name: anchor for name, (_, anchor) in ANCHORS.items()}, abs=0.002)
    # No anchor for these: between the mean image and ridge, and above ridge.
    assert 12.718 < decibel(fi.attacks.PredictedClassMean()) < 13.897
    assert decibel(fi.attacks.RandomFourier(count=1000)) > 14.1
