"""Leave-one-out ridge against refits by hand, and the nearest neighbour in the colours that the vector says."""

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from PIL import Image

from featinv.attacks import MeanImage, NearestNeighbour, RecolouredNeighbour
from featinv.attacks.leave_one_out import PENALTIES, ridge_by_leave_one_out
from featinv.data import ImageSet
from featinv.features import Pairs


def refitted_error(x: np.ndarray, y: np.ndarray, penalty: float) -> float:
    """Leave-one-out error by definition: N fits, each without one row, bias and means from the rows that are left."""
    errors = []
    for row in range(len(x)):
        rest = np.delete(np.arange(len(x)), row)
        # The bias as an unpenalised column, in one least-squares problem.
        design = np.c_[x[rest], np.ones(len(rest))]
        ridge = np.diag([penalty] * x.shape[1] + [0.0])
        weights = np.linalg.solve(design.T @ design + ridge, design.T @ y[rest])
        errors.append(np.square(y[row] - np.r_[x[row], 1] @ weights).mean())
    return float(np.mean(errors))


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (15, 30)])
def test_leave_one_out_is_what_refitting_gives(rows: int, width: int) -> None:
    dice = np.random.default_rng(0)
    x = dice.normal(size=(rows, width))
    y = x @ dice.normal(size=(width, 3)) * 0.3 + dice.normal(size=(rows, 3)) + 5
    fitted = ridge_by_leave_one_out(torch.from_numpy(x), torch.from_numpy(y))
    assert fitted.error == pytest.approx(refitted_error(x, y, fitted.penalty), rel=1e-6)
    centred = x - x.mean(0)
    level = np.square(np.linalg.svd(centred, compute_uv=False)[: min(rows - 1, width)]).mean()
    assert fitted.penalty in [pytest.approx(share * level) for share in PENALTIES]
    assert all(fitted.error <= refitted_error(x, y, share * level) + 1e-9 for share in PENALTIES[4::3])
    expected = np.linalg.solve(centred.T @ centred + fitted.penalty * np.eye(width), centred.T @ (y - y.mean(0)))
    np.testing.assert_allclose(fitted.weight.numpy(), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fitted.bias.numpy(), y.mean(0) - x.mean(0) @ expected, rtol=1e-4, atol=1e-5)


def test_vectors_that_say_nothing_give_the_mean() -> None:
    dice = np.random.default_rng(0)
    x, y = torch.from_numpy(dice.normal(size=(60, 200))), torch.from_numpy(dice.normal(size=(60, 4)))
    fitted = ridge_by_leave_one_out(x, y)
    mean = float((y - y.mean(0)).mul(60 / 59).square().mean())
    assert fitted.error <= mean * (1 + 1e-9)


def test_detail_is_the_neighbours_and_colours_are_ridges() -> None:
    pairs = make_pairs(60, seed=1)
    queries = torch.from_numpy(make_pairs(9, seed=2).features(np.arange(9)))
    attack = RecolouredNeighbour().fit(pairs)
    got = attack.reconstruct(queries).double().numpy()
    neighbour = NearestNeighbour().fit(pairs).reconstruct(queries).double().numpy()
    images = pairs.images.batch(np.arange(60)).double().numpy()
    size = images.shape[-1]
    cell = size // 4

    def low_pass(images: np.ndarray) -> np.ndarray:
        """Means of cells, by reshaping."""
        return images.reshape(len(images), 3, 4, cell, 4, cell).mean((3, 5))

    def stretched(cells: np.ndarray) -> np.ndarray:
        """By Pillow, band by band."""
        bands = [
            np.asarray(Image.fromarray(band.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))
            for band in cells.reshape(-1, 4, 4)
        ]
        return np.stack(bands).reshape(len(cells), 3, size, size)

    x = pairs.features(np.arange(60)).astype(np.float64)
    mean, scale = x.mean(0), x.std(0)
    z, y = (x - mean) / scale, low_pass(images).reshape(60, -1)
    weight = np.linalg.solve(z.T @ z + attack.chosen["penalty"] * np.eye(z.shape[1]), z.T @ (y - y.mean(0)))
    colours = ((queries.double().numpy() - mean) / scale @ weight + y.mean(0)).clip(0, 1).reshape(9, 3, 4, 4)
    expected = (neighbour + stretched(colours - low_pass(neighbour))).clip(0, 1)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_it_has_a_smaller_error_than_the_neighbour_where_colours_are_known() -> None:
    """Vectors that are the colours: detail of another image stays, colours are right."""
    dice = np.random.default_rng(0)
    colours = dice.uniform(60, 190, (200, 4, 4, 3))
    pixels = np.kron(colours, np.ones((1, 4, 4, 1))) + dice.normal(0, 8, (200, 16, 16, 3))
    images = ImageSet(pixels.clip(0, 255).astype(np.uint8), ids=[str(i) for i in range(200)])
    features = colours.reshape(200, -1).astype(np.float32)
    public, private = Pairs(features, images).split(0.9)
    truth = private.images.batch(np.arange(len(private)))
    queries = torch.from_numpy(private.features(np.arange(len(private))))

    def error(attack: RecolouredNeighbour | NearestNeighbour | MeanImage) -> float:
        return float((attack.fit(public).reconstruct(queries) - truth).square().mean())

    assert error(RecolouredNeighbour()) < 0.5 * error(NearestNeighbour())
    assert error(RecolouredNeighbour()) < error(MeanImage())
