"""A whole calibration on images whose posterior is known: noise of one deviation on what the vector says."""

from typing import Any

import numpy as np
import pytest
import torch

import featinv as fi
from featinv import testing
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation import Calibration, calibrate
from featinv.evaluation.frequency_bands import band_names, band_squares
from featinv.victim import Release

SIZE, WIDTH = 8, 6
DEVIATION = 0.05
MIXING = 0.06 * np.random.default_rng(3).normal(size=(WIDTH, 3 * SIZE**2))


def images_of(vectors: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return (0.5 + vectors @ MIXING + DEVIATION * noise).clip(0, 1)


class Sampler:
    """Draws around the known mean, `coarse` times as widely in the mean colour and `fine` times in all else."""

    guidance: float = 1

    def __init__(self, coarse: float = 1, fine: float = 1) -> None:
        self.coarse, self.fine = coarse, fine

    def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> torch.Tensor:
        rows = [np.random.default_rng([seed, first_row + row]) for row in range(len(features))]
        noise = np.stack([draw.normal(size=(k, 3, SIZE**2)) for draw in rows])
        mean = noise.mean(-1, keepdims=True)
        noise = self.coarse * mean + self.fine * (noise - mean)
        images = images_of(features.double().numpy()[:, None], noise.reshape(len(rows), k, -1))
        return torch.from_numpy(images).float().reshape(len(rows), k, 3, SIZE, SIZE)


def drawn(count: int, seed: int) -> tuple[np.ndarray, ImageSet]:
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(count, WIDTH))
    pixels = images_of(vectors, draw.normal(size=(count, 3 * SIZE**2)))
    uint8 = np.round(255 * pixels).astype(np.uint8).reshape(count, 3, SIZE, SIZE).transpose(0, 2, 3, 1)
    return vectors.astype(np.float32), ImageSet(
        np.ascontiguousarray(uint8), ids=[f"{seed}-{row}" for row in range(count)]
    )


def release(count: int = 300) -> Release:
    vectors, truth = drawn(count, 0)
    return Release(vectors, {}, truth)


def calibration(sampler: Any, count: int = 300, **options: Any) -> Calibration:
    return calibrate(sampler, release(count), drawn(200, 1)[1], **{"k": 16, **options})


def test_a_perfect_sampler_is_calibrated_at_every_scale() -> None:
    result = calibration(Sampler())
    assert set(result.verdicts.values()) == {"calibrated"}, result.adjusted
    assert list(result.bands) == ["0", "1", "2-3", "4-7"]
    per_band = np.array([1, 3, 12, 48]) * 3 * DEVIATION**2
    assert [law.spread for law in result.bands.values()] == pytest.approx(per_band, rel=0.05)


@pytest.mark.parametrize(("width", "word"), [(0.6, "over-confident"), (1.5, "too wide")])
def test_texture_of_the_wrong_width_is_found_where_it_is(width: float, word: str) -> None:
    verdicts = calibration(Sampler(fine=width)).verdicts
    assert verdicts["frequencies 0"] == "calibrated"
    assert verdicts["frequencies 4-7"] == verdicts["8 x 8 colours"] == word


def test_coarse_colours_of_the_wrong_width_are_found_where_they_are() -> None:
    verdicts = calibration(Sampler(coarse=2)).verdicts
    assert verdicts["frequencies 0"] == verdicts["2 x 2 colours"] == "too wide"
    assert verdicts["frequencies 4-7"] == "calibrated"


def test_few_images_leave_it_undecided_and_a_surrogate_adds_a_space() -> None:
    result = calibration(Sampler(), 50, k=16, surrogate=lambda images: images.flatten(1)[:, ::9] ** 2)
    assert "undecided" in result.verdicts.values()
    assert "surrogate features" in result.spaces


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calibration(Sampler(), 60)
    monkeypatch.setattr("featinv.attacks.sampling.sample_blocks.__kwdefaults__", {"block_bytes": 10**5})
    assert calibration(Sampler(), 60).adjusted == pytest.approx(whole.adjusted, abs=1e-6)


def test_neighbours_drawn_at_random_can_be_tested_and_are_not_calibrated() -> None:
    pairs = testing.synthetic_pairs(200, size=8)
    attack = fi.attacks.NeighbourAverage(k=8).fit(pairs.take(np.arange(100)))
    private = np.arange(100, 200)
    result = calibrate(attack, Release(pairs.features(private), {}, pairs.images.take(private)), pairs.images, k=16)
    assert set(result.verdicts.values()) != {"calibrated"}
    assert result.images == 100


def test_squares_by_band_add_up_and_know_their_band() -> None:
    images = np.random.default_rng(0).normal(size=(3, 3, 12, 12))
    assert band_names(12) == ("0", "1", "2-3", "4-7", "8-11")
    assert band_squares(images).sum((1, 2)) == pytest.approx((images**2).sum((1, 2, 3)))
    grey = np.cos(np.pi * 5 * (np.arange(16) + 0.5) / 16) * np.ones((1, 3, 16, 1))
    squares = band_squares(grey)
    assert squares[0, 3, 0] == pytest.approx(squares.sum())


class Guided(Sampler):
    guidance = 1.5


class Repeats(Sampler):
    def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> torch.Tensor:
        return super().sample(features, 1, seed, first_row=first_row).expand(-1, k, -1, -1, -1)


class Damaged(Sampler):
    def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> torch.Tensor:
        samples = super().sample(features, k, seed, first_row=first_row)
        return samples.masked_fill(
            torch.arange(first_row, first_row + len(samples))[:, None, None, None, None] == 53, torch.nan
        )


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        (Guided(), {}, "expected guidance 1 in a calibration, got 1.5"),
        (Repeats(), {}, "the sampler is deterministic"),
        (Damaged(), {}, "got NaN or others for image 53"),
        (Sampler(), {"k": 15}, "k: expected at least 16 samples"),
        (Sampler(), {"count": 49}, "release: expected at least 50 images"),
        (fi.attacks.MeanImage(), {}, "MeanImage: expected an attack with sample"),
    ],
)
def test_bad_input_gets_one_line(sampler: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as refusal:
        calibration(sampler, **{"count": 60, **options})
    assert "\n" not in str(refusal.value)


def test_other_images_are_refused() -> None:
    with pytest.raises(BadInput, match="public: expected at least 50 images of 8 px"):
        calibrate(Sampler(), release(60), testing.synthetic_pairs(60, size=16).images, k=16)
    bare = Release(np.zeros((60, WIDTH), np.float32), {})
    with pytest.raises(BadInput, match="needs the private images"):
        calibrate(Sampler(), bare, drawn(60, 1)[1], k=16)
