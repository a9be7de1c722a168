"""DiffAugment: the identity, the ranges that the source states, what it keeps, and that gradients flow."""

import pytest
import torch

from featinv.discriminators import DiffAugment
from featinv.errors import BadInput


def some_images(count: int = 4, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def shapes_of(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Heights and widths of the grey parts: (B, H, W) -> (B,), (B,)."""
    return mask.any(2).sum(1), mask.any(1).sum(1)


@pytest.mark.parametrize("policy", ["", "  "])
def test_an_empty_policy_changes_nothing_and_draws_nothing(policy):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(DiffAugment(policy)(some_images()), some_images())
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


@pytest.mark.parametrize("policy", ["colour", "translation", "cutout", "colour,translation,cutout", "cutout, colour"])
def test_draws_follow_the_global_generator_and_differ_between_calls_and_images(policy):
    augment = DiffAugment(policy)
    same = some_images(1).expand(8, -1, -1, -1)
    torch.manual_seed(3)
    one, other = augment(same), augment(same)
    torch.manual_seed(3)
    torch.testing.assert_close(augment(same), one, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("policy", ["colour", "translation", "cutout", "colour,translation,cutout"])
def test_gradients_flow_to_the_images_once_and_twice(policy):
    augment = DiffAugment(policy)
    images = some_images(2, 8).double().requires_grad_()

    def seeded(x):
        torch.manual_seed(5)
        return augment(x)

    # Finite differences: with the draws held still, every change is an affine map of the pixels.
    assert torch.autograd.gradcheck(seeded, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: seeded(x).square(), images, fast_mode=True)


def test_colour_keeps_to_the_ranges_of_the_source():
    augment = DiffAugment("colour")
    # A grey image shows brightness alone: a shift by up to 0.5 of [-1, 1], so 0.25 of [0, 1].
    grey = torch.full((4000, 3, 2, 2), 0.5)
    shifts = augment(grey).mean((1, 2, 3)) - 0.5
    assert shifts.abs().max() <= 0.25 + 1e-6
    assert shifts.abs().max() > 0.24
    assert shifts.mean().abs() < 0.01
    assert shifts.std().item() == pytest.approx(0.5 / 12**0.5, rel=0.05)
    assert augment(grey).std((1, 2, 3)).max() < 1e-6

    # Black beside white has no colour: the difference shows contrast alone, times 0.5 to 1.5.
    edge = torch.zeros(4000, 3, 1, 2)
    edge[..., 1] = 1
    changed = augment(edge)
    factors = changed[:, 0, 0, 1] - changed[:, 0, 0, 0]
    assert 0.5 - 1e-6 <= factors.min() < 0.51
    assert 1.49 < factors.max() <= 1.5 + 1e-6

    # One colour throughout: the channels' distances show saturation (0 to 2) times contrast.
    red = torch.zeros(4000, 3, 1, 1)
    red[:, 0] = 1
    changed = augment(red)
    products = (changed[:, 0] - changed[:, 1]).flatten()
    assert 0 <= products.min() < 0.02
    assert 2.5 < products.max() <= 3 + 1e-6
    assert products.mean().item() == pytest.approx(1, rel=0.05)


def test_translation_moves_by_up_to_an_eighth_and_fills_with_grey():
    images = torch.zeros(2000, 3, 16, 16)
    images[:, :, 8, 8] = 1
    moved = DiffAugment("translation")(images)
    places = (moved[:, 0] == 1).nonzero()
    assert len(places) == 2000
    for axis in (1, 2):
        assert set((places[:, axis] - 8).tolist()) == {-2, -1, 0, 1, 2}
        assert torch.bincount(places[:, axis] - 6).min() > 300  # 400 expected each
    # What came in from outside is grey, as many rows and columns as the dot moved.
    down, right = (places[:, 1] - 8).abs(), (places[:, 2] - 8).abs()
    assert torch.equal((moved[:, 0] == 0.5).sum((1, 2)), 256 - (16 - down) * (16 - right))


def test_translation_is_a_shift_of_the_image():
    image = some_images(1)
    for _ in range(20):
        moved = DiffAugment("translation")(image)
        fits = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                expected = torch.full_like(image, 0.5)
                rows = slice(max(down, 0), 16 + min(down, 0)), slice(max(-down, 0), 16 + min(-down, 0))
                columns = slice(max(right, 0), 16 + min(right, 0)), slice(max(-right, 0), 16 + min(-right, 0))
                expected[:, :, rows[0], columns[0]] = image[:, :, rows[1], columns[1]]
                fits.append(torch.allclose(moved, expected, atol=1e-6))
        assert sum(fits) == 1


def test_cutout_hides_a_rectangle_of_half_of_each_side():
    images = torch.ones(2000, 3, 16, 16)
    cut = DiffAugment("cutout")(images)
    hidden = cut[:, 0] != 1
    assert cut[:, 0][hidden].unique().tolist() == [0.5]
    assert torch.equal(cut[:, 0], cut[:, 2])
    heights, widths = shapes_of(hidden)
    # Centres lie anywhere, so half of a side may fall outside, and no more.
    for sides in (heights, widths):
        assert set(sides.tolist()) == {4, 5, 6, 7, 8}
        # 17 centres, 9 of which (4 to 12) leave it whole.
        assert (sides == 8).float().mean().item() == pytest.approx(9 / 17, abs=0.06)
    assert torch.equal(hidden.sum((1, 2)), heights * widths)


def test_the_other_pixels_are_untouched_by_cutout():
    images = some_images()
    cut = DiffAugment("cutout")(images)
    kept = cut != 0.5
    torch.testing.assert_close(cut[kept], images[kept])


def test_it_prints_its_policy():
    assert repr(DiffAugment("colour")) == "DiffAugment('colour')"


@pytest.mark.parametrize("policy", ["color", "colour,flip", "colour;cutout", "colour,,cutout"])
def test_an_unknown_change_is_refused_with_those_that_exist(policy):
    with pytest.raises(BadInput, match="policy of colour, translation, cutout, separated by commas"):
        DiffAugment(policy)
