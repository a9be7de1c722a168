"""Every check notices the defects that it is there for: each class below breaks one contract, and one only."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from featinv import testing
from featinv.attacks import MeanImage, Ridge
from featinv.losses import Loss

# ------------------------------------------------------------------------------------------------------- decoders


class Good(nn.Module):
    """A decoder without a defect; the others change one thing."""

    def __init__(self, feature_shape: tuple[int, ...] = (6,), image_size: int = 8) -> None:
        super().__init__()
        self.feature_shape, self.image_size = feature_shape, image_size
        self.linear = nn.Linear(feature_shape[0], 3 * image_size**2)

    def pixels(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(features))

    def forward(self, features: Tensor) -> Tensor:
        return self.pixels(features).reshape(-1, 3, self.image_size, self.image_size)


class BatchStatistics(Good):
    """Batch norm that normalises by the batch in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6, track_running_stats=False)

    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(self.norm(features) if len(features) > 1 else features)


class StaysInTrainMode(Good):
    """Batch norm that nobody can switch to eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def train(self, mode: bool = True) -> "StaysInTrainMode":
        return super().train(True)

    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(self.norm(features.repeat(2, 1))[: len(features)])


class OutOfRange(Good):
    def pixels(self, features: Tensor) -> Tensor:
        return torch.tanh(self.linear(features))


class AlwaysDropout(Good):
    def pixels(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(super().pixels(features), 0.1, training=True) * 0.9


class HalfPrecision(Good):
    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(features).half()


class WrongSize(Good):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features)[..., :-1]


class Overflows(Good):
    def pixels(self, features: Tensor) -> Tensor:
        raised = torch.exp(10 * self.linear(features))
        return raised / (1 + raised)


class IgnoresFeatures(Good):
    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(0 * features + 1)


class UnusedParameter(Good):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))


class DetachedTrunk(Good):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(6, 6)

    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(self.trunk(features).detach())


class ForgetsItsArgument(Good):
    def __init__(self, feature_shape: tuple[int, ...] = (6,), image_size: int = 8, *, width: int = 4) -> None:
        super().__init__(feature_shape, image_size)
        self.hidden = nn.Linear(6, width)
        self.last = nn.Linear(width, 6)

    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(self.last(self.hidden(features)))


class KeptAnotherValue(Good):
    """Keeps its argument under its name, but not the value that was given."""

    def __init__(self, feature_shape: tuple[int, ...] = (6,), image_size: int = 8, *, gain: int | float = 2) -> None:
        super().__init__(feature_shape, image_size)
        self.factor = gain
        self.gain = 1.0

    def pixels(self, features: Tensor) -> Tensor:
        return super().pixels(self.factor * features)


class OpenKeywords(Good):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


class NoShape(Good):
    def __init__(self) -> None:
        super().__init__()
        del self.feature_shape


class ChangesItsInput(Good):
    def pixels(self, features: Tensor) -> Tensor:
        if not self.training:
            features.mul_(1.0).add_(0.001)
        return super().pixels(features)


DECODERS = [
    (BatchStatistics, "must not depend on the other rows of the batch"),
    (
        StaysInTrainMode,
        r"must not depend on the other rows of the batch|must be equal in repeated calls|must not change norm",
    ),
    (OutOfRange, r"must lie in \[0, 1\]"),
    (AlwaysDropout, "must be equal in repeated calls"),
    (HalfPrecision, "must be float32"),
    (WrongSize, "must have shape"),
    (Overflows, "must be finite"),
    (IgnoresFeatures, "different images for different features|no gradient reaches"),
    (UnusedParameter, "no gradient reaches the parameter unused"),
    (DetachedTrunk, r"no gradient reaches the parameter trunk\.weight"),
    (ForgetsItsArgument, "does not keep its argument 'width'"),
    (KeptAnotherValue, "rebuilt from its description"),
    (OpenKeywords, "rebuilt from its own description"),
    (NoShape, "must store its feature_shape"),
    (ChangesItsInput, "must not change its input"),
]


@pytest.mark.parametrize(("kind", "sentence"), DECODERS, ids=[kind.__name__ for kind, _ in DECODERS])
def test_check_decoder_notices(kind: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        testing.check_decoder(kind())


def test_check_decoder_passes_a_good_one_and_leaves_it_alone() -> None:
    decoder = Good()
    weights, state = copy.deepcopy(decoder.state_dict()), torch.get_rng_state()
    testing.check_decoder(decoder)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in decoder.state_dict().items())
    assert all(parameter.grad is None for parameter in decoder.parameters())
    assert decoder.training
    assert torch.equal(torch.get_rng_state(), state)


# ------------------------------------------------------------------------------------------------------- defences


class Noise(nn.Module):
    """A defence without a defect."""

    def __init__(self, std: float = 0.5) -> None:
        super().__init__()
        self.std = std

    def forward(self, features: Tensor) -> Tensor:
        return features + self.std * torch.randn_like(features)


class DropoutDefence(nn.Module):
    """Protects in train mode only: the release, made in eval mode, would be bare."""

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(features, 0.5, training=self.training)


class NumpyNoise(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features + torch.from_numpy(np.random.normal(size=tuple(features.shape)).astype(np.float32))  # noqa: NPY002


class BatchScaledNoise(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features + features.std() * torch.randn_like(features)


class BatchCentred(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features - features.mean(0)


class InPlace(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.mul(2) if features.requires_grad else features.mul_(2)


class NoGradient(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.detach() * 2


class Doubles(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.double()


class DropsRows(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features[:1]


class Counts(nn.Module):
    """Keeps state: a second release would differ."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        self.seen += 1
        return features * 2


DEFENCES = [
    (DropoutDefence, "must ignore train and eval mode"),
    (NumpyNoise, "must ignore train and eval mode|torch's global generator alone"),
    (BatchScaledNoise, "must not depend on the values of the other rows|must be finite"),
    (BatchCentred, "must not depend on the other rows of the batch"),
    (InPlace, "must not change its input"),
    (NoGradient, "differentiable"),
    (Doubles, "must be float32"),
    (DropsRows, "must have shape"),
    (Counts, "must not change seen"),
]


@pytest.mark.parametrize(("kind", "sentence"), DEFENCES, ids=[kind.__name__ for kind, _ in DEFENCES])
def test_check_defence_notices(kind: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        testing.check_defence(kind())


def test_check_defence_notices_a_zero_strength_that_is_not_the_identity() -> None:
    testing.check_defence(Noise(), zero_strength=Noise(0.0))
    with pytest.raises(AssertionError, match="Noise at zero strength must be the identity"):
        testing.check_defence(Noise(), zero_strength=Noise(0.01))


# ------------------------------------------------------------------------------------------------------- encoders


class Pooled(nn.Module):
    """An encoder without a defect; the others change one thing."""

    name, family, trained_on, fingerprint = "pooled", "toy", "nothing", "1234"
    feature_shape, image_size = (5,), 16

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Pooled":
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(nn.functional.interpolate(images, size=(16, 16))).flatten(1)


class Trainable(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(True)


class Switches(Pooled):
    def train(self, mode: bool = True) -> "Switches":
        nn.Module.train(self, mode)
        return self


class Nameless(Pooled):
    name = ""


class OneSizeOnly(Pooled):
    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).flatten(1)[:, : 5 if images.shape[-1] == 16 else 4]


class ShapeLies(Pooled):
    feature_shape = (4,)


class CutsTheGradient(Pooled):
    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


class Rounds8Bit(Pooled):
    """Goes through an 8-bit image: connected, but the gradient is zero."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 255).round() / 255)


class Blind(Pooled):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(0 * images) + 0 * images.mean()


class Whitens(Pooled):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        if not images.requires_grad:
            images.mul_(0.5)
        return features


class BatchMates(Pooled):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return features / features.norm()


class MovingFingerprint(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images)

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"used {getattr(self, 'calls', 0)} times"


ENCODERS = [
    (Trainable, "must be frozen"),
    (Switches, "must not change in train mode|must not change network"),
    (Nameless, "name must be a string"),
    (OneSizeOnly, r"for images of 28 px must have shape"),
    (ShapeLies, r"must have shape"),
    (CutsTheGradient, "carries no gradient"),
    (Rounds8Bit, "the gradient of a row is zero"),
    (Blind, "must give different features for different images|gradient of a row is zero"),
    (Whitens, "must not change its input"),
    (BatchMates, "must not depend on the other rows of the batch"),
    (MovingFingerprint, "fingerprint must not change"),
]


@pytest.mark.parametrize(("kind", "sentence"), ENCODERS, ids=[kind.__name__ for kind, _ in ENCODERS])
def test_check_encoder_notices(kind: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        testing.check_encoder(kind())


def test_check_encoder_passes_a_good_one() -> None:
    testing.check_encoder(Pooled())


class TwoOutputs(Pooled):
    def forward(self, images: Tensor) -> Any:
        features = super().forward(images)
        return features, 3 * features


class OneClass(Pooled):
    def forward(self, images: Tensor) -> Any:
        features = super().forward(images)
        return features, features[:, :1]


def test_check_judge_notices() -> None:
    testing.check_judge(TwoOutputs())
    with pytest.raises(AssertionError, match=r"must return \(features, logits\)"):
        testing.check_judge(Pooled())
    with pytest.raises(AssertionError, match="at least two classes, got 1"):
        testing.check_judge(OneClass())


# --------------------------------------------------------------------------------------------- losses and metrics


class Squared(Loss):
    """A loss without a defect."""

    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().flatten(1).mean(1)


class BatchMean(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().mean().expand(len(original))


class Scalar(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().mean()


class Negative(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return -(reconstruction - original).square().flatten(1).mean(1)


class NotAtIdentity(Loss):
    """Prefers an image that is darker than the original."""

    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - 0.3 * original).square().flatten(1).mean(1)


class Rounded(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return ((reconstruction * 255).round() / 255 - original).square().flatten(1).mean(1)


class Cut(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction.detach() - original).square().flatten(1).mean(1)


class RootOfZero(Loss):
    """The gradient of a root is infinite at 0."""

    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().flatten(1).mean(1) + 1e-6 * reconstruction.sqrt().flatten(1).mean(1)


class LogOfZero(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        likelihood = original * reconstruction.log() + (1 - original) * (1 - reconstruction).log()
        return -likelihood.flatten(1).mean(1)


class Random(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().flatten(1).mean(1) * (1 + 0.01 * torch.rand(len(original)))


class Clamps(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        if not reconstruction.requires_grad:
            reconstruction.mul_(0.999)
        return (reconstruction - original).square().flatten(1).mean(1)


class Plain(nn.Module):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        return (reconstruction - original).square().flatten(1).mean(1)


class HalfPrecisionInside(Loss):
    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        difference = (reconstruction - original).flatten(1)
        return (difference[:, None] @ difference[:, :, None]).flatten().float()


class NamesOneNetwork(Squared):
    fingerprints = "1234"  # type: ignore[assignment]


LOSSES = [
    (HalfPrecisionInside, "computed in float32"),
    (NamesOneNetwork, "fingerprints must be a frozenset"),
    (BatchMean, "each image its own number"),
    (Scalar, "must have shape"),
    (Negative, "must be smaller for a perfect copy"),
    (NotAtIdentity, "must be smaller for a perfect copy"),
    (Rounded, "the gradient of a row is zero"),
    (Cut, "carries no gradient"),
    (RootOfZero, "must have finite gradients"),
    (LogOfZero, "must be finite|must have finite gradients"),
    (Random, "same number for the same images"),
    (Clamps, "must not change its input"),
    (Plain, r"must subclass featinv\.losses\.Loss"),
]


@pytest.mark.parametrize(("kind", "sentence"), LOSSES, ids=[kind.__name__ for kind, _ in LOSSES])
def test_check_loss_notices(kind: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        testing.check_loss(kind())


def test_check_loss_passes_a_good_one() -> None:
    testing.check_loss(Squared())


def test_check_metric_notices() -> None:
    testing.check_metric(Squared(), higher_is_better=False)
    with pytest.raises(AssertionError, match="must score a perfect copy better"):
        testing.check_metric(Squared(), higher_is_better=True)
    with pytest.raises(AssertionError, match="each image its own number"):
        testing.check_metric(BatchMean(), higher_is_better=False)


# -------------------------------------------------------------------------------------------------------- attacks


class Wrapped:
    """A faultless attack around Ridge; the others change one thing."""

    kind = "attack"

    def __init__(self) -> None:
        self.ridge = Ridge()

    def __getattr__(self, name: str) -> Any:
        if name in ("feature_shape", "image_size", "victim", "parameters"):
            return getattr(self.ridge, name)
        raise AttributeError(name)

    def fit(self, pairs: Any) -> Any:
        self.ridge.fit(pairs)
        return self

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.ridge.reconstruct(features)

    def state(self) -> Any:
        return self.ridge.state()

    @classmethod
    def from_state(cls, config: Any, tensors: Any, allow: Any = ()) -> Any:
        made = cls()
        made.ridge = Ridge.from_state(config, tensors, allow)
        return made


class BeforeFit(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        return super().reconstruct(features) if self.ridge.tensors else torch.zeros(len(features), 3, 32, 32)


class FitReturnsNothing(Wrapped):
    def fit(self, pairs: Any) -> Any:
        super().fit(pairs)


class UnknownKind(Wrapped):
    kind = "baseline"


class NoParameters(Wrapped):
    parameters = None


class ForgetsTheVictim(Wrapped):
    victim: Any = None


class TooBright(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        return super().reconstruct(features) * 255


class BatchNormalised(Wrapped):
    """Stretches contrast over the batch."""

    def reconstruct(self, features: Tensor) -> Tensor:
        images = super().reconstruct(features)
        return images / images.max() if len(images) else images


class Sampling(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        images = super().reconstruct(features)
        return (images + 0.01 * torch.randn_like(images)).clamp(0, 1)


class PadsVectors(Wrapped):
    """Accepts any width."""

    def reconstruct(self, features: Tensor) -> Tensor:
        return super().reconstruct(features[:, :16])


class HidesNaN(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        return super().reconstruct(features.nan_to_num(0, 0, 0))


class OtherError(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        if self.ridge.tensors and features.shape[1] != 16:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return super().reconstruct(features)


class CarriesGradient(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        return super().reconstruct(features) * nn.Parameter(torch.ones(()))


class Unsaved(Wrapped):
    """Forgets what it learnt."""

    @classmethod
    def from_state(cls, config: Any, tensors: Any, allow: Any = ()) -> Any:
        made = super().from_state(config, tensors, allow)
        made.ridge.tensors["bias"] = made.ridge.tensors["bias"] + 0.001
        return made


class NoState(Wrapped):
    state = None  # type: ignore[assignment]


class ChangesVectors(Wrapped):
    def reconstruct(self, features: Tensor) -> Tensor:
        images = super().reconstruct(features)
        features.add_(1e-9).mul_(2).div_(2.0001)
        return images


ATTACKS = [
    (BeforeFit, "before fit must raise BadInput, but was accepted"),
    (FitReturnsNothing, "fit must return the attack itself"),
    (UnknownKind, 'kind must be "control" or "attack"'),
    (NoParameters, "parameters must count"),
    (ForgetsTheVictim, "victim must be the metadata"),
    (TooBright, r"must lie in \[0, 1\]"),
    (BatchNormalised, "must not depend on the other rows of the batch"),
    (Sampling, "must be equal in repeated calls"),
    (PadsVectors, "vectors of another shape .* must raise BadInput, but was accepted"),
    (HidesNaN, "a vector with nan .* must raise BadInput, but was accepted"),
    (OtherError, "must raise BadInput, got RuntimeError"),
    (CarriesGradient, "must carry no gradient"),
    (Unsaved, "saved and loaded, must reconstruct the same bit by bit"),
    (NoState, "must be saved and loaded"),
    (ChangesVectors, "must not change its input"),
]


@pytest.mark.parametrize(("kind", "sentence"), ATTACKS, ids=[kind.__name__ for kind, _ in ATTACKS])
def test_check_attack_notices(kind: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        testing.check_attack(kind())


def test_check_attack_passes_a_good_one() -> None:
    testing.check_attack(Wrapped())
    testing.check_attack(MeanImage(), pairs=testing.synthetic_pairs(feature_shape=(2, 3, 3), size=16))
