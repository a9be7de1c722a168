"""The paper's attack, as `fi.presets.listik` runs it, against Keras's definitions written out in NumPy.

What the decoder is, layer by layer, is tested in tests/test_decoders_listik.py; here is how it is trained. The first
ten losses come from `fit`, in float32, and agree with NumPy's float64 to 1e-6 (it was 4e-8 when this was written); the
same parts in float64 agree to 1e-9.
"""

import math

import numpy as np
import numpy_listik as keras
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import featinv as fi
from featinv.losses import BCE, bce_floor
from featinv.training.network_optimizer import optimiser

BATCH, WIDTH, SIZE, STEPS = 30, 64, 32, 10


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    """One batch, so that the order of images cannot matter; vectors are not negative, as pooled ones are."""
    vectors = np.abs(np.random.default_rng(0).normal(size=(BATCH, WIDTH))).astype(np.float32)
    return fi.Pairs(vectors, fi.data.scenes(BATCH, size=SIZE))


@pytest.fixture(scope="module")
def arrays(pairs: fi.Pairs) -> tuple[np.ndarray, np.ndarray]:
    vectors, images = pairs.batch(range(BATCH))
    return vectors.double().numpy(), images.permute(0, 2, 3, 1).double().numpy()


@pytest.fixture(scope="module")
def keras_run(arrays: tuple[np.ndarray, np.ndarray]) -> tuple[list[float], list[np.ndarray]]:
    """The losses of the first ten steps in NumPy, and the weights after them."""
    weights = keras_weights(fi.presets.listik(WIDTH, SIZE).decoder)
    adadelta, losses = keras.Adadelta(weights), []
    for _ in range(STEPS):
        loss, found = keras.gradients(weights, *arrays)
        adadelta.step(found)
        losses.append(loss)
    return losses, weights


def keras_weights(decoder: torch.nn.Module) -> list[np.ndarray]:
    """Kernels as (k, k, in, out), and biases, in float64."""
    both = [parameter.detach().double() for parameter in decoder.parameters()]
    return [(one.permute(2, 3, 1, 0) if one.ndim == 4 else one).numpy().copy() for one in both]


def test_the_original_has_the_shapes_and_the_arithmetic_of_its_layers() -> None:
    with torch.device("meta"):
        decoder = fi.decoders.Listik(2048)
        with FlopCounterMode(display=False) as counter:
            decoder(torch.empty(1, 2048))
    shapes = [(k, k, before, after) for k, before, after in keras.layers(2048, 256)]
    kernels = [weight for weight in decoder.parameters() if weight.ndim == 4]
    assert [tuple(weight.permute(2, 3, 1, 0).shape) for weight in kernels] == shapes
    assert sum(math.prod(shape) + shape[-1] for shape in shapes) == 27_505_347
    pixels = [4, 8, 16, 32, 64, 128, 256]
    assert 2 * sum(side**2 * math.prod(shape) for side, shape in zip(pixels, shapes, strict=True)) == (
        counter.get_total_flops()
    )


def test_the_original_starts_glorot_uniform_with_keras_s_fans() -> None:
    weights = [weight.detach().double() for weight in fi.presets.listik(2048).decoder.parameters()]
    assert not any(bias.any() for bias in weights[1::2])
    for (k, before, after), kernel in zip(keras.layers(2048, 256), weights[::2], strict=True):
        limit = math.sqrt(6 / (k * k * (before + after)))
        count = kernel.numel()
        assert 1 - 10 / count < kernel.abs().max().item() / limit <= 1 + 1e-6  # 1e-6: the limit in float32
        # A uniform's variance, and its fourth moment, by which a normal and a truncated one are told apart. Five
        # standard errors: the variance's is sqrt(4/5 / n) of it, the fourth moment's sqrt(16/9 / n).
        assert kernel.var().item() == pytest.approx(limit**2 / 3, rel=5 * math.sqrt(0.8 / count))
        assert (kernel**4).mean().item() == pytest.approx(limit**4 / 5, rel=5 * math.sqrt(16 / 9 / count))


def test_the_loss_is_keras_s_to_the_ends_of_the_scale() -> None:
    rng = np.random.default_rng(1)
    target = rng.random((2, 3, 8, 8))
    for made in (rng.random(target.shape), 10.0 ** -rng.uniform(0, 12, target.shape), np.zeros_like(target)):
        for one in (made, 1 - made):
            ours = BCE()(torch.tensor(one), torch.tensor(target)).mean().item()
            assert ours == pytest.approx(keras.cross_entropy(one, target), rel=1e-9)


def test_later_keras_differs_from_the_notebook_s_only_next_to_black_and_white() -> None:
    """tf.keras 2 adds epsilon inside the logarithms, after clipping: ln 2 less at the ends, nothing between."""
    target = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    for made, tolerance in ((0.0, None), (1e-3, 1.1e-4), (0.5, 2.1e-7)):
        later = -math.log(max(made, keras.EPSILON) + keras.EPSILON)
        ours = BCE()(torch.full_like(target, made), target).item()
        expected = math.log(2) if tolerance is None else 0.0
        assert ours - later == pytest.approx(expected, abs=tolerance or 1e-9)


def test_the_excess_over_the_floor_is_zero_for_a_perfect_copy_and_else_a_divergence() -> None:
    images = fi.data.scenes(4, size=32).batch(range(4)).double()
    p = images.numpy().clip(1e-300, 1)
    q = (1 - images.numpy()).clip(1e-300, 1)
    entropy = -(p * np.log(p) + q * np.log(q)).mean((1, 2, 3))
    floor = bce_floor(images)
    np.testing.assert_allclose(floor.numpy(), entropy, rtol=1e-12)
    # Pixels at 0 and 1 are clipped, which costs them 1e-7 each.
    np.testing.assert_allclose((BCE()(images, images) - floor).numpy(), 0, atol=1.1e-7)
    made = 0.05 + 0.9 * images.flip(0)
    divergence = p * np.log(p / made.numpy()) + q * np.log(q / (1 - made.numpy()))
    excess = BCE()(made, images) - floor
    np.testing.assert_allclose(excess.numpy(), divergence.mean((1, 2, 3)), rtol=1e-9)
    assert excess.min() > 0.05


def test_the_optimiser_and_its_accumulators_are_keras_s() -> None:
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=(5, 4)), rng.normal(size=3)]
    parameters = [torch.nn.Parameter(torch.tensor(weight)) for weight in weights]
    ours, theirs = optimiser(parameters, fi.Training.paper()), keras.Adadelta(weights)
    for step in range(20):
        # From 1e-8 to 1: epsilon rules the small ones.
        found = [rng.normal(size=weight.shape) * 10.0 ** rng.uniform(-8, 0, weight.shape) for weight in weights]
        before = [parameter.detach().clone() for parameter in parameters]
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = torch.tensor(gradient)
        ours.step()
        theirs.step(found)
        for place, parameter in enumerate(parameters):
            state = ours.state[parameter]
            np.testing.assert_allclose(parameter.detach().numpy(), weights[place], rtol=1e-12)
            np.testing.assert_allclose(state["square_avg"].numpy(), theirs.squares[place], rtol=1e-12)
            np.testing.assert_allclose(state["acc_delta"].numpy(), theirs.updates[place], rtol=1e-12)
            if step == 0:  # by hand, from accumulators at zero: sqrt(1e-7) g / sqrt(0.05 g g + 1e-7)
                moved = (before[place] - parameter.detach()).numpy()
                g = found[place]
                np.testing.assert_allclose(moved, math.sqrt(1e-7) * g / np.sqrt(0.05 * g * g + 1e-7), atol=1e-15)


def test_numpy_s_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(3)
    weights = []
    for k, before, after in keras.layers(32, 16):
        weights += [rng.normal(size=(k, k, before, after)) / math.sqrt(k * k * before), 0.1 * rng.normal(size=after)]
    vectors, target = rng.normal(size=(2, 32)), rng.random((2, 16, 16, 3))
    _, found = keras.gradients(weights, vectors, target)
    for place, weight in enumerate(weights):
        for index in rng.choice(weight.size, min(weight.size, 8), replace=False):
            where, losses = np.unravel_index(index, weight.shape), []
            for shift in (1e-6, -2e-6):
                weight[where] += shift
                losses.append(keras.cross_entropy(keras.forward(weights, vectors)[0], target))
            weight[where] += 1e-6
            assert found[place][where] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-4, abs=1e-9)


def test_the_first_ten_losses_of_fit_are_those_of_numpy(pairs, keras_run) -> None:
    heard: list[dict[str, float]] = []
    attack = fi.presets.listik(WIDTH, SIZE, training=fi.Training.paper(images=STEPS * BATCH, batch_size=BATCH))
    attack.fit(pairs, listener=heard.append)
    losses, weights = keras_run
    assert [row["step"] for row in heard] == list(range(1, STEPS + 1))
    assert losses[0] - losses[-1] > 0.003  # something was learned: three thousand times the tolerance
    np.testing.assert_allclose([row["train/loss"] for row in heard], losses, atol=1e-6, rtol=0)
    for ours, theirs in zip(keras_weights(attack.network), weights, strict=True):
        # Ten updates of at most some 2e-3; a weight whose gradient is all rounding may go another way.
        assert np.abs(ours - theirs).mean() < 1e-5


def test_the_same_parts_in_float64_leave_the_same_weights(arrays, keras_run) -> None:
    vectors, images = (torch.tensor(array) for array in arrays)
    decoder = fi.presets.listik(WIDTH, SIZE).decoder.double()
    # float32 stands before the sigmoid: the network without it, then the sigmoid in float64.
    adadelta, losses = optimiser(decoder.parameters(), fi.Training.paper()), []
    for _ in range(STEPS):
        made = torch.sigmoid(decoder.stages(vectors.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)))
        loss = BCE()(made, images.permute(0, 3, 1, 2)).mean()
        adadelta.zero_grad()
        loss.backward()
        adadelta.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, keras_run[0], rtol=1e-9)
    for ours, theirs in zip(keras_weights(decoder), keras_run[1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
