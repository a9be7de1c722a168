"""Losses that single an original out: hand-derived values, a toy that squared error gets wrong, and refusals."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import featinv as fi
from featinv.losses import MSE, Drawn, Identification, Perceptual, RandomViews, WhitenedFeatures
from featinv.losses.whitened_features import public_features, residual_whitener

GREY = 0.5


class Corners(nn.Module):
    """Three features: the red of three cells of an image of 8 x 8 pixels, so that any feature can be drawn."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0, :4, :4].mean((1, 2)), x[:, 0, :4, 4:].mean((1, 2)), x[:, 0, 4:].mean((1, 2))], 1)


@pytest.fixture(scope="module")
def corners() -> fi.encoders.Encoder:
    return fi.encoders.Encoder(Corners(), name="corners", family="toy", input_size=8)


def drawn(features: list[list[float]]) -> Tensor:
    """Images whose features are grey plus the given ones."""
    images = torch.full((len(features), 3, 8, 8), GREY)
    for image, (a, b, c) in zip(images, features, strict=True):
        image[0, :4, :4] += a
        image[0, :4, 4:] += b
        image[0, 4:] += c
    return images


def table(features: list[list[float]]) -> Tensor:
    return GREY + torch.tensor(features)


AXES = table([[0.2, 0, 0], [-0.2, 0, 0], [0, 0.1, 0], [0, -0.1, 0]])
ROOT = math.sqrt(0.5)


@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_hand_derived_value_among_public_candidates(corners: fi.encoders.Encoder, tau: float) -> None:
    """The reconstruction points at 45 degrees; the row that is the original is left out; r = 1/sqrt 2."""
    loss = Identification(corners, AXES, tau=tau)
    value = loss(drawn([[0.1, 0.1, 0]]), drawn([[0.3, 0, 0]]))
    assert float(value) == pytest.approx(math.log(2 + 2 * math.exp(-2 * ROOT / tau)), rel=1e-4)


def test_only_the_nearest_negatives_count(corners: fi.encoders.Encoder) -> None:
    """Of the other rows two have cosine 0 with the original, one -1: two negatives are the former."""
    loss = Identification(corners, AXES, tau=0.5, negatives=2)
    value = loss(drawn([[0.1, 0.1, 0]]), drawn([[0.3, 0, 0]]))
    assert float(value) == pytest.approx(math.log(2 + math.exp(-2 * ROOT / 0.5)), rel=1e-4)


def test_the_row_nearest_to_the_original_is_left_out_though_it_is_no_duplicate(corners: fi.encoders.Encoder) -> None:
    """An original 20 degrees from +e1 towards +e2, copied: the cosines with -e1, +e2 and -e2 are left."""
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    image = drawn([[0.3 * c, 0.3 * s, 0]])
    value = Identification(corners, AXES, tau=0.5)(image, image)
    expected = math.log(1 + sum(math.exp((cosine - 1) / 0.5) for cosine in (-c, s, -s)))
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_hand_derived_value_among_the_call(corners: fi.encoders.Encoder) -> None:
    """Originals at +e1, -e1 and +e2, -e2 have the mean grey; perfect copies see cosines 1, -1, 0, 0."""
    originals = drawn([[0.2, 0, 0], [-0.2, 0, 0], [0, 0.2, 0], [0, -0.2, 0]])
    values = Identification(corners, tau=0.5)(originals, originals)
    by_hand = math.log(1 + math.exp(-4) + 2 * math.exp(-2))
    torch.testing.assert_close(values, torch.full((4,), by_hand), rtol=1e-4, atol=1e-6)


def test_it_agrees_with_cross_entropy_of_the_whole_matrix(corners: fi.encoders.Encoder) -> None:
    features = [[0.3, 0, 0.1], [0, 0.3, -0.2], [-0.2, 0.1, 0.3], [0.1, -0.3, 0.2]]
    guesses = [[0.2, 0.1, 0.1], [0.1, 0.2, 0], [-0.1, 0.1, 0.1], [0, -0.1, 0.3]]
    mean = torch.tensor(features).mean(0)
    own, ours = (nn.functional.normalize(torch.tensor(rows) - mean, dim=1) for rows in (features, guesses))
    by_torch = nn.functional.cross_entropy(ours @ own.T / 0.1, torch.arange(4), reduction="none")
    torch.testing.assert_close(
        Identification(corners, tau=0.1)(drawn(guesses), drawn(features)), by_torch, rtol=1e-3, atol=1e-4
    )


def test_squared_error_prefers_what_identifies_nobody(corners: fi.encoders.Encoder) -> None:
    """Two classes differ by 0.3 in one feature; within a class images differ by 0.04 in another.

    Of a class mean every image of the class is equally near in angle: it identifies none of them. A reconstruction with
    the identity and a class feature that is off by 0.1 has 4 times the squared error, and is nearest to its original.
    """
    identities = [-0.04, -0.02, 0.02, 0.04]
    originals = [[side * 0.15, identity, 0] for side in (-1, 1) for identity in identities]
    mine = originals[-1]
    class_mean, identity = [0.15, 0.0, 0.0], [0.07, 0.04, 0.0]
    squared = WhitenedFeatures(corners, torch.eye(3))
    public = table(originals)
    loss = Identification(corners, public, tau=0.02, same=0.9999)
    one, other = (drawn([made]) for made in (class_mean, identity))
    truth = drawn([mine])
    assert float(squared(one, truth)) < float(squared(other, truth))
    assert float(loss(other, truth)) < float(loss(one, truth))


def test_a_number_does_not_depend_on_the_batch_with_public_features_and_does_without(
    corners: fi.encoders.Encoder,
) -> None:
    originals = drawn([[0.3, 0, 0.1], [0, 0.3, -0.2], [-0.2, 0.1, 0.3]])
    guesses = drawn([[0.2, 0.1, 0.1], [0.1, 0.2, 0], [-0.1, 0.1, 0.1]])
    public, call = Identification(corners, AXES), Identification(corners)
    torch.testing.assert_close(public(guesses, originals)[:1], public(guesses[:1], originals[:1]))
    assert not torch.allclose(call(guesses, originals)[:2], call(guesses[:2], originals[:2]))


def test_no_gradient_reaches_the_originals(corners: fi.encoders.Encoder) -> None:
    made, original = drawn([[0.1, 0.1, 0]]).requires_grad_(), drawn([[0.3, 0, 0]]).requires_grad_()
    Identification(corners, AXES)(made, original).sum().backward()
    assert original.grad is None
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0


def test_views_of_the_reconstruction_alone_leave_the_original(corners: fi.encoders.Encoder) -> None:
    torch.manual_seed(0)
    seen: list[tuple[Tensor, Tensor]] = []

    class Recorder(fi.losses.Loss):
        def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
            seen.append((reconstruction, original))
            return reconstruction.flatten(1).mean(1)

    images = torch.rand(4, 3, 8, 8)
    loss = RandomViews(Recorder(), both=False)
    loss(images, images)
    assert torch.equal(seen[0][1], images)
    assert not torch.equal(seen[0][0], images)
    assert "both=False" in repr(loss)


def test_whitened_distance_by_hand(corners: fi.encoders.Encoder) -> None:
    """W = diag(2, 1, 0): ((2 * 0.1)^2 + 0.2^2 + 0) / 3."""
    loss = WhitenedFeatures(corners, torch.diag(torch.tensor([2.0, 1.0, 0.0])))
    value = loss(drawn([[0.1, 0.2, 0.3]]), drawn([[0, 0, 0]]))
    assert float(value) == pytest.approx((0.2**2 + 0.2**2) / 3, rel=1e-4)


def test_the_whitener_inverts_the_covariance_of_what_the_vector_does_not_say() -> None:
    """Features = A vector + noise of known covariance: W'W must come near the inverse of that covariance."""
    dice = np.random.default_rng(0)
    vectors = dice.normal(size=(20_000, 4))
    spread = np.array([[0.5, 0.2, 0.0], [0.0, 0.3, 0.1], [0.0, 0.0, 0.8]])
    features = vectors @ dice.normal(size=(4, 3)) + dice.normal(size=(20_000, 3)) @ spread
    whitener = residual_whitener(features, vectors, shrink=1e-6).double().numpy()
    expected = np.linalg.inv(spread.T @ spread)
    np.testing.assert_allclose(whitener.T @ whitener, expected, rtol=0.08, atol=0.3)


def test_public_features_are_the_encoders_in_order() -> None:
    images = fi.data.scenes(300, size=32, seed=1)
    encoder = fi.encoders.tiny()
    features = public_features(encoder, images)
    assert features.shape == (300, 64)
    torch.testing.assert_close(features[[0, 299]], encoder(images.batch([0, 299])), rtol=1e-4, atol=1e-5)


def test_a_bank_draws_its_number_of_members_and_means_them() -> None:
    class Constant(fi.losses.Loss):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
            return torch.full((len(reconstruction),), self.value)

    images = torch.rand(2, 3, 8, 8)
    bank = Drawn([Constant(1.0), Constant(2.0), Constant(4.0)], 2)
    torch.manual_seed(0)
    values = {float(bank(images, images)[0]) for _ in range(60)}
    assert values == {1.5, 2.5, 3.0}
    encoder = fi.encoders.tiny()
    assert Drawn([MSE(), Perceptual(encoder)], 1).fingerprints == Perceptual(encoder).fingerprints


@pytest.mark.parametrize("tau", [0, -0.1, math.nan, math.inf, True])
def test_a_tau_that_is_not_above_zero_is_refused(corners: fi.encoders.Encoder, tau: float) -> None:
    with pytest.raises(fi.BadInput, match="tau"):
        Identification(corners, tau=tau)


def test_bad_input_is_refused(corners: fi.encoders.Encoder) -> None:
    with pytest.raises(fi.BadInput, match=r"1 to 3 negatives of 4 public images, got 5"):
        Identification(corners, AXES, negatives=5)
    with pytest.raises(fi.BadInput, match=r"\(M, 3\)"):
        Identification(corners, AXES[:, :2])
    with pytest.raises(fi.BadInput, match="give public"):
        Identification(corners, negatives=2)
    with pytest.raises(fi.BadInput, match="at least 2 images"):
        Identification(corners)(drawn([[0, 0, 0]]), drawn([[0, 0, 0]]))
    with pytest.raises(fi.BadInput, match="same"):
        Identification(corners, AXES, same=2)
    with pytest.raises(fi.BadInput, match="finite"):
        Identification(corners, AXES * math.nan)
    with pytest.raises(fi.BadInput, match=r"\(3, 3\)"):
        WhitenedFeatures(corners, torch.eye(2))
    with pytest.raises(fi.BadInput, match="shrink"):
        residual_whitener(np.zeros((8, 2)), np.zeros((8, 2)), shrink=0)
    with pytest.raises(fi.BadInput, match="same 4 or more"):
        residual_whitener(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(fi.BadInput, match="1 to the 1 losses"):
        Drawn([MSE()], 2)
