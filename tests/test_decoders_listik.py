"""Listik's decoder against the facts of the author's notebook and an evaluation in NumPy that shares no code."""

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from featinv.decoders import Listik
from featinv.errors import BadInput


def features(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def numpy_same(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """TensorFlow's stride-1 "same" convolution by its definition: (H, W, Cin) by (k, k, Cin, Cout) -> (H, W, Cout)."""
    size, k = image.shape[0], kernel.shape[0]
    before = (k - 1) // 2
    out = np.zeros((size, size, kernel.shape[3]))
    for y in range(size):
        for x in range(size):
            for i in range(k):
                for j in range(k):
                    row, column = y + i - before, x + j - before
                    if 0 <= row < size and 0 <= column < size:
                        out[y, x] += image[row, column] @ kernel[i, j]
    return out + bias


def numpy_listik(decoder: Listik, vector: np.ndarray) -> np.ndarray:
    """Evaluate one vector by the notebook's recipe: reshape, stages, tail; (D,) -> (S, S, 3)."""
    convolutions = [layer for layer in decoder.stages if isinstance(layer, torch.nn.Conv2d)]
    weights = [layer.weight.detach().double().numpy().transpose(2, 3, 1, 0) for layer in convolutions]
    biases = [layer.bias.detach().double().numpy() for layer in convolutions]
    image = vector.astype(np.float64).reshape(4, 4, -1)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        image = numpy_same(image, weight, bias)
        image = np.where(image > 0, image, 0.2 * image)
        image = image.repeat(2, axis=0).repeat(2, axis=1)
    return 1 / (1 + np.exp(-numpy_same(image, weights[-1], biases[-1])))


@pytest.mark.parametrize(("kernel", "size"), [(3, 8), (4, 8), (3, 32), (4, 16)])
def test_equals_an_independent_evaluation_in_numpy(kernel, size):
    torch.manual_seed(0)
    decoder = Listik(64, size, kernel=kernel)
    for parameter in decoder.parameters():  # zero biases would hide a wrong place for them
        torch.nn.init.normal_(parameter, std=0.2 if parameter.ndim == 1 else 1.5 / math.sqrt(parameter[0].numel()))
    vectors = features(2, 64)
    expected = np.stack([numpy_listik(decoder, vector.numpy()) for vector in vectors]).transpose(0, 3, 1, 2)
    assert expected.std() > 0.05  # not an image of one grey
    np.testing.assert_allclose(decoder(vectors).detach().numpy(), expected, atol=2e-5)


def test_the_original_has_the_notebook_s_parameters_and_arithmetic():
    with torch.device("meta"):
        decoder = Listik(2048)
        with FlopCounterMode(display=False) as counter:
            assert decoder(torch.empty(1, 2048)).shape == (1, 3, 256, 256)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 27_505_347
    assert counter.get_total_flops() / 2e9 == pytest.approx(6.13, abs=0.005)


@pytest.mark.parametrize(
    ("size", "filters"),
    [(8, [64]), (32, [256, 128, 64]), (64, [512, 256, 128, 64]), (256, [2048, 1024, 512, 256, 128, 64])],
)
def test_smaller_sizes_drop_the_widest_stages(size, filters):
    with torch.device("meta"):
        decoder = Listik(64, size)
    convolutions = [layer for layer in decoder.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [*filters, 3]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * len(filters) + [(2, 2)]
    assert all(layer.bias is not None for layer in convolutions)


def positive(decoder: Listik) -> Listik:
    """Make every weight positive and every bias zero: then a pixel leaves 0.5 if and only if it sees a feature."""
    for parameter in decoder.parameters():
        torch.nn.init.constant_(parameter, 0.0 if parameter.ndim == 1 else 1 / parameter[0].numel())
    torch.nn.init.constant_(decoder.stages[-1].weight, 1e8)
    return decoder


def test_the_reshape_is_channels_last():
    """Feature (row * 4 + column) * (D / 16) + channel lights the cell (row, column) and, through 3x3, those around."""
    decoder = positive(Listik(48, 8))
    with torch.no_grad():
        lit = decoder(torch.eye(48))[:, 0] > 0.6
    for index in range(48):
        row, column = index // 3 // 4, index // 3 % 4
        seen = torch.zeros(8, 8, dtype=torch.bool)
        # The 2x2 tail looks one pixel right and down: the cells' square begins one pixel earlier.
        seen[max(2 * row - 3, 0) : 2 * row + 4, max(2 * column - 3, 0) : 2 * column + 4] = True
        assert torch.equal(lit[index], seen), index


@pytest.mark.parametrize("size", [8, 16])
def test_the_tail_pads_right_and_bottom_only(size):
    decoder = Listik(16, size)
    tail, image = decoder.stages[-2:], torch.zeros(1, 64, size, size)
    torch.nn.init.zeros_(tail[1].weight)
    tail[1].weight.data[:, 0, 1, 1] = 1.0  # the lower right tap: reads (row + 1, column + 1)
    image[0, 0] = torch.arange(1.0, size * size + 1).view(size, size)
    expected = torch.zeros(size, size)
    expected[:-1, :-1] = image[0, 0, 1:, 1:]
    torch.testing.assert_close(tail(image)[0, 0].detach(), expected)


def test_most_pixels_are_blind_to_most_of_the_vector():
    """One feature a cell stands for the 128 of the original: the sixteen images show which cells each pixel sees.

    Channels have no say in that, so each convolution is thinned to one channel of the same geometry, for speed.
    """
    with torch.device("meta"):
        decoder = Listik(16, 256)
    for place, layer in enumerate(decoder.stages):
        if isinstance(layer, torch.nn.Conv2d):
            colours = 3 if layer.out_channels == 3 else 1
            decoder.stages[place] = torch.nn.Conv2d(1, colours, layer.kernel_size, layer.stride, layer.padding)
    with torch.no_grad():
        sees = positive(decoder)(torch.eye(16))[:, 0] > 0.6
    dimensions = 128 * sees.sum(0)
    assert {dimensions[row, column].item() for row in (0, -1) for column in (0, -1)} == {512}
    assert dimensions.float().mean().item() == pytest.approx(1547, abs=0.5)
    assert (dimensions == 2048).float().mean().item() == pytest.approx(0.238, abs=0.0005)


def test_a_mixing_layer_beside_it_lets_every_pixel_see_everything():
    torch.manual_seed(0)
    plain, mixed = Listik(64, 32), Listik(64, 32, mix=True)
    assert not any("mixing" in name for name in plain.state_dict())
    assert sum(p.numel() for p in mixed.parameters()) - sum(p.numel() for p in plain.parameters()) == 64 * 64 + 64
    for decoder, dimensions in ((plain, 16), (mixed, 64)):
        vector = features(1, 64).requires_grad_()
        decoder(vector)[0, :, 0, 0].sum().backward()
        assert (vector.grad != 0).sum() == dimensions


def test_with_an_identity_as_mixing_layer_it_is_the_plain_decoder():
    plain, mixed = Listik(64, 16), Listik(64, 16, mix=True)
    mixed.load_state_dict(plain.state_dict(), strict=False)
    mixed.mixing.load_state_dict({"weight": torch.eye(64), "bias": torch.zeros(64)})
    torch.testing.assert_close(mixed(features(2, 64)), plain(features(2, 64)))


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    torch.manual_seed(0)
    decoder = Listik(256, 32, mix=True)
    for name, parameter in decoder.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        # Keras: fan_in = k k Cin, fan_out = k k Cout, limit = sqrt(6 / (fan_in + fan_out)).
        # A uniform's deviation is limit / sqrt 3.
        area = parameter[0, 0].numel()
        limit = math.sqrt(6 / (area * (parameter.shape[0] + parameter.shape[1])))
        assert parameter.abs().max() <= limit
        tolerance = 4 / math.sqrt(parameter.numel())
        assert parameter.std().item() == pytest.approx(limit / math.sqrt(3), rel=tolerance)
        assert abs(parameter.mean().item()) < 4 * limit / math.sqrt(3 * parameter.numel())


def test_the_vector_goes_in_as_it_is():
    decoder = Listik(32, 8)
    assert torch.equal(decoder.mixing(features(3, 32)), features(3, 32))
    assert not list(decoder.buffers())


@pytest.mark.parametrize(
    ("shape", "size", "options", "message"),
    [
        (100, 32, {}, r"divisible by 16, got \(100,\); the Upsampling decoder"),
        ((64, 7, 7), 32, {}, "Upsampling"),
        (64, 48, {}, "power of two from 8 to 256, got 48"),
        (64, 4, {}, "power of two"),
        (64, 512, {}, "power of two"),
        (64, True, {}, "power of two"),
        (64, 32, {"kernel": 5}, "kernel 3 or 4, got 5"),
        (0, 32, {}, "positive integers"),
        ((16, 4), 32, {}, r"\(D,\) or \(C, H, W\)"),
    ],
)
def test_what_it_cannot_be_built_for_is_refused(shape, size, options, message):
    with pytest.raises(BadInput, match=message):
        Listik(shape, size, **options)


def test_features_of_another_width_are_refused():
    with pytest.raises(BadInput, match=r"expected features of shape \(B, 64\), got \(2, 32\)"):
        Listik(64, 8)(features(2, 32))
