"""The contracts of the strong decoder: any features, every feature seen, no batch mates, and it learns what it can."""

import pytest
import torch
from torch.nn.functional import mse_loss

from featinv.configuration import describe, rebuild
from featinv.decoders import Upsampling
from featinv.errors import BadInput

SHAPES = [(64,), (7,), (16, 8, 8), (3, 5, 7), (8, 40, 40)]


def features(count: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def awake(decoder: Upsampling, scale: float = 0.3) -> Upsampling:
    """Give every weight a random value: branches start at zero, which would hide what flows through them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter += scale * torch.randn(parameter.shape, generator=generator) / fan**0.5
    return decoder.eval()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [8, 32, 64])
def test_any_features_become_images(shape, size):
    decoder = awake(Upsampling(shape, size, width=32, channels=8))
    images = decoder(features(2, shape))
    assert images.shape == (2, 3, size, size)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1


def test_at_256_pixels_it_stays_moderate():
    assert Upsampling(32, 256, width=16, channels=4)(features(1, (32,))).shape == (1, 3, 256, 256)
    with torch.device("meta"):
        decoder = Upsampling(2048, 256)
    assert sum(parameter.numel() for parameter in decoder.parameters()) < 27_505_347  # Listik's


@pytest.mark.parametrize("shape", [(24,), (6, 4, 4)], ids=str)
@pytest.mark.parametrize("options", [{}, {"channels": 0}], ids=["with stages", "sketch alone"])
def test_every_pixel_sees_every_feature(shape, options):
    decoder = awake(Upsampling(shape, 64, width=32, **({"channels": 8} | options)))
    vector = features(1, shape).requires_grad_()
    images = decoder(vector)
    for row, column in ((0, 0), (31, 40), (63, 63)):
        (gradient,) = torch.autograd.grad(images[0, 1, row, column], vector, retain_graph=True)
        assert (gradient != 0).all()


@pytest.mark.parametrize("shape", [(24,), (6, 4, 4)], ids=str)
def test_the_features_reach_every_scale(shape):
    """Gain and bias of each stage move with the features, and the image with them."""
    decoder = awake(Upsampling(shape, 64, width=32, channels=8))
    seen = []
    for stage in decoder.stages:
        stage.leave.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    one, other = decoder.trunk(features(1, shape)), decoder.trunk(features(1, shape, seed=5))
    for stage in decoder.stages:
        drawing = torch.zeros(1, stage.enter[-1].in_channels, 4, 4)
        stage(drawing, one), stage(drawing, other)
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    assert len(pairs) == 4  # 4 -> 8 -> 16 -> 32 -> 64
    assert all((a - b).abs().max() > 1e-3 for a, b in pairs)


def test_a_feature_map_keeps_its_places():
    """Moving what one corner of the map holds changes the image's corner most."""
    decoder = awake(Upsampling((4, 16, 16), 64, width=16, channels=16), scale=0.5)
    code = decoder.trunk(features(1, (4, 16, 16)))
    moved = code._replace(grid=code.grid.clone())
    moved.grid[:, :, :2, :2] += 3.0
    stage, drawing = decoder.stages[-1], torch.zeros(1, decoder.stages[-1].enter[-1].in_channels, 32, 32)
    change = (stage(drawing, code) - stage(drawing, moved)).abs().sum((0, 1))
    assert change[:8, :8].max() > 0
    assert change[16:, 16:].max() == 0


@pytest.mark.parametrize("shape", [(24,), (6, 4, 4)], ids=str)
def test_a_image_does_not_depend_on_its_batch_mates(shape):
    decoder = awake(Upsampling(shape, 32, width=32, channels=8))
    batch = features(5, shape)
    with torch.no_grad():
        together = decoder(batch)
        apart = torch.cat([decoder(one[None]) for one in batch])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_dropout_acts_while_training_only():
    decoder = awake(Upsampling(24, 32, width=32, channels=8, dropout=0.5))
    vectors = features(2, (24,))
    assert torch.equal(decoder(vectors), decoder(vectors))
    decoder.train()
    assert not torch.equal(decoder(vectors), decoder(vectors))


@pytest.mark.parametrize(("shape", "options"), [((24,), {}), ((24,), {"channels": 0}), ((6, 4, 4), {})], ids=str)
def test_every_weight_gets_a_gradient_once_training_has_begun(shape, options):
    decoder = awake(Upsampling(shape, 16, width=16, **({"channels": 8} | options))).train()
    decoder(features(4, shape)).square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_it_learns_a_law_that_a_linear_map_cannot():
    """The grey of an image is the product of two features: no linear function of them explains any of its variance."""
    torch.manual_seed(0)
    vectors = torch.randn(256, 2)
    grey = torch.sigmoid(2 * vectors.prod(1))
    images = grey.view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    decoder = Upsampling(2, 8, width=64, channels=0, dropout=0.0)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    for _ in range(200):
        optimiser.zero_grad()
        mse_loss(decoder(vectors), images).backward()
        optimiser.step()
    fresh = torch.randn(512, 2)
    with torch.no_grad():
        error = (decoder(fresh)[:, 0, 4, 4] - torch.sigmoid(2 * fresh.prod(1))).square().mean()
    assert error < 0.1 * grey.var()


def test_half_precision_ends_in_float32():
    decoder = awake(Upsampling(24, 32, width=32, channels=8))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        images = decoder(features(2, (24,)))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, decoder(features(2, (24,))).detach(), atol=0.05, rtol=0)


def test_it_can_be_described_and_built_again():
    decoder = Upsampling((6, 4, 4), 32, width=24, depth=1, channels=8, dropout=0.25)
    description = describe(decoder)
    assert description["args"] == {
        "feature_shape": [6, 4, 4],
        "image_size": 32,
        "width": 24,
        "depth": 1,
        "channels": 8,
        "dropout": 0.25,
        "finest": None,
    }
    again = rebuild(description)
    again.load_state_dict(decoder.state_dict())
    torch.testing.assert_close(again.eval()(features(1, (6, 4, 4))), decoder.eval()(features(1, (6, 4, 4))))


@pytest.mark.parametrize(
    ("shape", "size", "options", "message"),
    [
        (64, 48, {}, "power of two from 8 to 256, got 48"),
        ((4, 4), 32, {}, r"\(D,\) or \(C, H, W\)"),
        ((0,), 32, {}, "positive integers"),
        (64, 32, {"width": 0}, "width to be an integer of at least 8, got 0"),
        (64, 32, {"depth": -1}, "depth to be an integer of at least 0"),
        (64, 32, {"channels": -8}, "channels to be an integer of at least 0"),
        (64, 32, {"dropout": 1.0}, r"dropout in \[0, 1\), got 1.0"),
        (64, 32, {"dropout": -0.1}, "dropout"),
    ],
)
def test_what_it_cannot_be_built_for_is_refused(shape, size, options, message):
    with pytest.raises(BadInput, match=message):
        Upsampling(shape, size, **options)


def test_features_of_another_shape_are_refused():
    with pytest.raises(BadInput, match=r"expected features of shape \(B, 6, 4, 4\), got \(2, 6\)"):
        Upsampling((6, 4, 4), 8, width=8)(features(2, (6,)))


# ------------------------------------------------------------------------------------------------ the finest detail


def test_finest_draws_a_small_image_and_stretches_it() -> None:
    """Every image it can make is the bilinear stretch of a 16-pixel one, so it has no finer detail."""
    torch.manual_seed(0)
    coarse = Upsampling(6, 64, width=16, channels=4, finest=16).eval()
    torch.manual_seed(0)
    small = Upsampling(6, 16, width=16, channels=4).eval()
    features = torch.randn(3, 6)
    with torch.no_grad():
        expected = torch.nn.functional.interpolate(small(features), size=64, mode="bilinear", align_corners=False)
        assert torch.equal(coarse(features), expected)


@pytest.mark.parametrize("finest", [4, 12, 64, True])
def test_finest_must_be_a_size_up_to_the_images(finest: int) -> None:
    with pytest.raises(BadInput):
        Upsampling(6, 32, finest=finest)
