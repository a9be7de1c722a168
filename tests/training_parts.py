"""Small pairs, decoders and losses that the training tests (and the processes that they start) share."""

import os
import random
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv.data import ImageSet
from featinv.features import Pairs
from featinv.losses import Loss
from featinv.types import PerImage

SIZE, WIDTH = 8, 12

# Several threads on networks this small only wait for each other.
torch.set_num_threads(1)


def make_pairs(count: int, seed: int = 0) -> Pairs:
    """Images made of a few smooth patterns, and a linear code of their pixels: learnable, and quick."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(6, SIZE, SIZE, 3)).cumsum(1).cumsum(2) / 4
    pixels = 1 / (1 + np.exp(-np.tensordot(rng.normal(size=(count, 6)), patterns, 1)))
    images = ImageSet((pixels * 255).round().astype(np.uint8), ids=[f"p{i}" for i in range(count)])
    features = (pixels.reshape(count, -1) @ np.random.default_rng(99).normal(size=(SIZE * SIZE * 3, WIDTH))) / 8
    return Pairs(features.astype(np.float32), images)


class TinyDecoder(nn.Module):
    """A linear layer, dropout and a convolution."""

    def __init__(self, feature_shape: int, image_size: int, *, dropout: float = 0.0, channels: int = 8) -> None:
        super().__init__()
        self.feature_shape, self.image_size, self.dropout, self.channels = feature_shape, image_size, dropout, channels
        self.mix = nn.Linear(feature_shape, channels * image_size**2)
        self.drop = nn.Dropout(dropout)
        self.paint = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.mix(features).unflatten(1, (self.channels, self.image_size, self.image_size))
        return self.paint(self.drop(hidden.relu())).sigmoid()


def make_decoder(dropout: float = 0.0) -> TinyDecoder:
    """The same weights whenever it is called."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return TinyDecoder(WIDTH, SIZE, dropout=dropout)


class Squared(Loss):
    """The mean squared error in whatever precision it is given (the library's own computes in float32)."""

    def forward(self, reconstruction: Float[Tensor, "B 3 H W"], original: Float[Tensor, "B 3 H W"]) -> PerImage:
        return (reconstruction - original).square().flatten(1).mean(1)


class StandIn:
    """What a training does not ask of its pairs."""

    labels, images = None, None

    @property
    def metadata(self) -> dict[str, Any]:
        return {}

    def batch(self, indices: Any, flip: Any = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def features(self, indices: Any) -> np.ndarray:
        raise NotImplementedError

    def take(self, indices: Any) -> Any:
        raise NotImplementedError


class NoPairs(StandIn):
    """No pairs at all: featinv's own are never empty, a plug-in's may be."""

    feature_shape, image_size, views = (WIDTH,), SIZE, 1

    def __len__(self) -> int:
        return 0


class DoublePairs(StandIn):
    """The same pairs in float64, for contracts that hold to 1e-10."""

    views = 1

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.feature_shape, self.image_size = pairs.feature_shape, pairs.image_size

    @property
    def metadata(self) -> dict[str, Any]:
        return self.pairs.metadata

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, indices: Any, flip: Any = None) -> tuple[Tensor, Tensor]:
        features, images = self.pairs.batch(indices, flip)
        return features.double(), images.double()

    def take(self, indices: Any) -> "DoublePairs":
        return DoublePairs(self.pairs.take(indices))


class Views(StandIn):
    """Pairs that hold mirrored images: the feature of an image is its number, of its mirror image minus that."""

    feature_shape, image_size, views = (1,), 2, 2

    def __len__(self) -> int:
        return 50

    def batch(self, indices: Any, flip: Any = None) -> tuple[Tensor, Tensor]:
        signs = np.where(np.zeros(len(indices), bool) if flip is None else flip, -1.0, 1.0)
        features = torch.from_numpy((signs * (1 + np.asarray(indices)))[:, None]).float()
        return features, torch.zeros(len(indices), 3, 2, 2)


class DoubleViews(StandIn):
    """Pairs whose mirrored images have features of their own."""

    feature_shape, image_size, views = (WIDTH,), SIZE, 2

    def __init__(self, plain: Pairs | None = None) -> None:
        self.plain = make_pairs(100) if plain is None else plain

    @property
    def metadata(self) -> dict[str, Any]:
        return self.plain.metadata

    def __len__(self) -> int:
        return len(self.plain)

    def batch(self, indices: Any, flip: Any = None) -> tuple[Tensor, Tensor]:
        features, images = self.plain.batch(indices)
        mirrored = torch.from_numpy(np.zeros(len(features), bool) if flip is None else flip)
        features, images = features.clone(), images.clone()
        features[mirrored], images[mirrored] = features[mirrored].flip(-1), images[mirrored].flip(-1)
        return features, images

    def take(self, indices: Any) -> "DoubleViews":
        return DoubleViews(self.plain.take(indices))


def kill_moments() -> random.Random:
    """Return what draws the moments of kills, and print its seed: FEATINV_KILL_SEED=N replays another one."""
    seed = int(os.environ.get("FEATINV_KILL_SEED", "0"))
    print(f"FEATINV_KILL_SEED={seed}")  # shown by pytest where the test fails
    return random.Random(seed)
