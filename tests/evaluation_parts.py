"""Small stand-ins for the tests of the evaluation: images, a judge, attacks whose scores are known beforehand."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from featinv.data import ImageSet
from featinv.victim import Release, Victim

SIZE = 16


def some_images(count: int = 60, size: int = SIZE, seed: int = 0) -> ImageSet:
    """Blobs of colour with a little noise: smooth enough that JPEG and a low-pass leave them recognisable."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    pixels = smooth.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return ImageSet(pixels, ids=[f"{seed}-{row}" for row in range(count)])


class PoolJudge(nn.Module):
    """Features: 4x4 means of the image. Label: the brightest channel. Nothing is learnt: all can be predicted."""

    def __init__(self, name: str = "pool", family: str = "pooling", trained_on: str = "nothing") -> None:
        super().__init__()
        self.name = name
        self.family = family
        self.trained_on = trained_on
        self.fingerprint = f"judge {name}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), images.mean((2, 3))


class FlatEncoder(nn.Module):
    """The image itself as its vector: what is reconstructed, and how well, is then up to the attack."""

    def __init__(self, size: int = SIZE, family: str = "flat", fingerprint: str = "flat weights") -> None:
        super().__init__()
        self.name = "flat"
        self.family = family
        self.trained_on = "nothing"
        self.layer = "all"
        self.image_size = size
        self.feature_shape = (3 * size * size,)
        self.fingerprint = fingerprint

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Stub:
    """An attack that is a function of the vectors."""

    def __init__(
        self, function: Callable[[Tensor], Tensor], kind: str = "attack", victim: dict[str, Any] | None = None
    ) -> None:
        self.function = function
        self.kind = kind
        self.parameters = 7
        self.victim = victim or {}

    def fit(self, pairs: Any) -> Self:
        return self

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.function(features)


def unflat(features: Tensor) -> Tensor:
    return features.reshape(len(features), 3, SIZE, SIZE)


def perfect() -> Stub:
    return Stub(unflat)


def mean_image() -> Stub:
    """A control that knows nothing: mid grey."""
    return Stub(lambda features: torch.full((len(features), 3, SIZE, SIZE), 0.5), kind="control")


def blurred() -> Stub:
    """An attack that keeps colours and layout only."""

    def blur(features: Tensor) -> Tensor:
        small = nn.functional.adaptive_avg_pool2d(unflat(features), 2)
        return nn.functional.interpolate(small, size=SIZE)

    return Stub(blur)


def published(truth: ImageSet | None = None, **encoder: Any) -> Release:
    truth = some_images() if truth is None else truth
    victim = Victim(FlatEncoder(**encoder))
    features = victim.publish(truth, np.arange(len(truth)), seed=0, block_number=0)
    return Release(features, {**victim.metadata, "seed": 0, "count": len(truth)}, truth, victim)
