"""Ridge with a penalty for each band: against refits by hand, and never below the mean image."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from scipy import fft

from featinv.attacks import MeanImage, Ridge, band_ridge
from featinv.attacks.band_ridge import Sums, band_of, fit_bands
from featinv.attacks.leave_one_out import PENALTIES
from featinv.data import ImageSet
from featinv.features import Pairs


def test_bands_are_octaves_of_the_larger_index() -> None:
    bands = band_of(8).reshape(8, 8)
    assert bands[0].tolist() == [0, 1, 2, 2, 3, 3, 3, 3]
    assert torch.equal(bands, bands.T)
    assert int(bands[7, 1]) == 3


def test_each_band_has_the_penalty_of_its_least_error_by_refitting() -> None:
    """N fits, each without one row, of the DCT coefficients of one channel: the definition of leave-one-out."""
    dice = np.random.default_rng(0)
    count, width, size = 24, 5, 4
    x = dice.normal(size=(count, width))
    coefficients = x @ dice.normal(size=(width, 3 * size**2)) * 0.2 + dice.normal(size=(count, 3 * size**2))
    images = fft.idctn(coefficients.reshape(count, 3, size, size), axes=(2, 3), norm="ortho") + 0.5
    flat = images.reshape(count, -1)
    mean, centre = x.mean(0), flat.mean(0)
    products = ((x - mean).T @ (x - mean), (x - mean).T @ (flat - centre), mean, centre)
    sums = Sums(*map(torch.from_numpy, products), count)
    fit = fit_bands(sums, torch.from_numpy(x), torch.from_numpy(images))
    level = np.trace((x - mean).T @ (x - mean)) / width
    targets = fft.dctn(images, axes=(2, 3), norm="ortho").reshape(count, 3, size**2)
    bands = band_of(size).numpy()
    weight = fft.dctn(fit.weight.double().numpy().reshape(width, 3, size, size), axes=(2, 3), norm="ortho")
    for channel in range(3):
        errors = np.zeros((len(PENALTIES), bands.max() + 1))
        for row in range(count):
            rest = np.delete(np.arange(count), row)
            design = np.c_[x[rest], np.ones(count - 1)]
            for number, share in enumerate(PENALTIES):
                ridge = np.diag([share * level] * width + [0.0])
                solved = np.linalg.solve(design.T @ design + ridge, design.T @ targets[rest, channel])
                left = np.square(targets[row, channel] - np.r_[x[row], 1] @ solved)
                errors[number] += np.bincount(bands, left)
        best = level * np.array(PENALTIES)[errors.argmin(0)]
        for coefficient in range(size**2):
            gram = (x - mean).T @ (x - mean) + best[bands[coefficient]] * np.eye(width)
            expected = np.linalg.solve(gram, (x - mean).T @ targets[:, channel, coefficient])
            got = weight.reshape(width, 3, -1)[:, channel, coefficient]
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


def mean_squared_error(attack: Ridge | MeanImage, public: Pairs, private: Pairs) -> float:
    features, images = private.batch(np.arange(len(private)))
    return float((attack.fit(public).reconstruct(features) - images).square().mean())


def test_the_decomposition_of_the_rows_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """More numbers than pairs: N x N or K x K, the fit is one."""
    pairs = make_pairs(30, width=50)
    queries = torch.from_numpy(make_pairs(5, width=50, seed=2).features(np.arange(5)))
    small = Ridge().fit(pairs).reconstruct(queries)
    whole = band_ridge._decomposed
    monkeypatch.setattr(band_ridge, "_decomposed", lambda sums, every: whole(sums, None))
    torch.testing.assert_close(Ridge().fit(pairs).reconstruct(queries), small, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("width", [8, 400, 1500])
def test_it_is_no_worse_than_the_mean_image_where_a_fixed_penalty_is(width: int) -> None:
    """Vectors of which a few numbers say something: with more numbers than pairs a penalty of 10 fits the noise."""
    dice = np.random.default_rng(0)
    colours = dice.uniform(80, 170, (400, 1, 1, 3))
    pixels = colours + dice.normal(0, 25, (400, 8, 8, 3))
    images = ImageSet(pixels.clip(0, 255).astype(np.uint8), ids=[str(i) for i in range(400)])
    vectors = np.c_[colours.reshape(400, 3) / 25, dice.normal(0, 1, (400, width))].astype(np.float32)
    public, private = Pairs(vectors, images).split(0.75)
    chosen, mean = (mean_squared_error(attack, public, private) for attack in (Ridge(), MeanImage()))
    assert chosen < mean
    if width > 8:
        assert mean_squared_error(Ridge(penalty=10.0), public, private) > mean


def test_vectors_of_noise_give_nearly_the_mean_image() -> None:
    pairs = make_pairs(200, size=8)
    noise = np.random.default_rng(1).normal(size=(200, 300)).astype(np.float32)
    public, private = Pairs(noise, pairs.images).split(0.8)
    assert mean_squared_error(Ridge(), public, private) < 1.02 * mean_squared_error(MeanImage(), public, private)


def test_what_it_chose_is_kept_and_a_given_penalty_is_used() -> None:
    pairs = make_pairs(60)
    attack = Ridge().fit(pairs)
    assert list(attack.chosen) == [f"penalty_band_{band}" for band in range(4)]
    assert Ridge(penalty=3.0).fit(pairs).chosen == {}
