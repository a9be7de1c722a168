"""Losses through random views: one change for both images, none at zero strength, and texture that does not pay."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

import featinv as fi
from featinv.losses import L1, MSE, Loss, RandomViews
from featinv.losses.random_views import box_blur, half_box

NONE = {"shift": 0, "colour": 0, "blur": 0, "noise": 0}


class Recorder(Loss):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        self.seen.append((reconstruction.detach(), original.detach()))
        return (reconstruction - original).flatten(1).mean(1)


def some_images(count: int = 6, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_without_any_strength_it_is_the_loss_itself() -> None:
    made, original = some_images(seed=1), some_images(seed=2)
    assert torch.equal(RandomViews(L1(), views=3, **NONE)(made, original), L1()(made, original))


@pytest.mark.parametrize("strength", [{"shift": 0.25}, {"colour": 0.3}, {"blur": 0.5}])
def test_a_reconstruction_and_its_original_are_changed_alike_and_images_differently(strength: dict) -> None:
    torch.manual_seed(0)
    same = some_images(1).expand(8, 3, 16, 16)
    recorder = Recorder()
    RandomViews(recorder, **{**NONE, **strength})(same, same)
    ((made, original),) = recorder.seen
    assert torch.equal(made, original)
    assert not torch.equal(made, same)
    assert any(not torch.equal(made[0], other) for other in made[1:])


def test_a_shift_is_one_of_the_whole_pixel_shifts_with_repeated_edges() -> None:
    torch.manual_seed(3)
    image = some_images(1)
    recorder = Recorder()
    RandomViews(recorder, views=1, **{**NONE, "shift": 0.125})(image, image)
    padded = np.pad(image[0].numpy(), ((0, 0), (2, 2), (2, 2)), mode="edge")
    candidates = [padded[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    assert any(np.array_equal(recorder.seen[0][0][0].numpy(), one) for one in candidates)


@pytest.mark.parametrize(("size", "box"), [(16, 3), (32, 3), (64, 7), (256, 25)])
def test_the_blur_is_scipys_box_filter_twice(size: int, box: int) -> None:
    image = some_images(1, size)
    expected = image[0].double().numpy()
    for _ in range(2):
        expected = ndimage.uniform_filter(expected, size=(1, box, box), mode="nearest")
    np.testing.assert_allclose(box_blur(image, half_box(size))[0].numpy(), expected, atol=1e-5)


def test_noise_reaches_the_reconstruction_alone() -> None:
    image = some_images(4) * 0.5 + 0.25
    recorder = Recorder()
    RandomViews(recorder, **{**NONE, "noise": 0.05})(image, image)
    ((made, original),) = recorder.seen
    assert torch.equal(original, image)
    assert 0 < float((made - image).std()) < 0.05


def test_it_is_the_mean_over_views() -> None:
    made, original = some_images(seed=1), some_images(seed=2)
    recorder = Recorder()
    torch.manual_seed(5)
    value = RandomViews(recorder, views=4)(made, original)
    assert len(recorder.seen) == 4
    by_hand = torch.stack([(a - b).flatten(1).mean(1) for a, b in recorder.seen]).mean(0)
    torch.testing.assert_close(value, by_hand)


def test_draws_come_from_torchs_generator_and_stay_in_range_with_a_gradient() -> None:
    loss = RandomViews(MSE(), views=2, shift=0.2, colour=1.0, blur=0.5, noise=1.0)
    made, original = some_images(seed=1).requires_grad_(), some_images(seed=2)
    torch.manual_seed(7)
    first = loss(made, original)
    torch.manual_seed(7)
    assert torch.equal(first, loss(made, original))
    assert not torch.equal(first, loss(made, original))
    first.sum().backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
    assert float(made.grad.abs().sum()) > 0


def test_fine_texture_pays_less_the_more_is_blurred() -> None:
    """A checkerboard of one pixel is invisible to a low-passed loss: what the class is for."""
    original = torch.full((1, 3, 32, 32), 0.5)
    board = (torch.arange(32)[:, None] + torch.arange(32)[None, :]) % 2
    textured = original + 0.2 * (board - 0.5)
    plain = float(MSE()(textured, original))
    blurred = float(RandomViews(MSE(), **{**NONE, "blur": 1})(textured, original))
    assert blurred < 0.02 * plain


def test_it_prints_what_it_looks_at_and_bars_what_that_bars() -> None:
    encoder = fi.encoders.tiny()
    inner = fi.losses.Perceptual(encoder)
    loss = RandomViews(inner, blur=0.25)
    assert loss.fingerprints == inner.fingerprints == (fi.losses.MSE() + loss).fingerprints
    assert repr(inner) in repr(loss)
    assert "blur=0.25" in repr(loss)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"views": 0}, "views"),
        ({"views": True}, "views"),
        ({"shift": -0.1}, "shift"),
        ({"colour": math.nan}, "colour"),
        ({"blur": 1.5}, "blur"),
        ({"noise": 2}, "noise"),
    ],
)
def test_strengths_that_are_none_are_refused(arguments: dict, word: str) -> None:
    with pytest.raises(fi.BadInput, match=word):
        RandomViews(MSE(), **arguments)
