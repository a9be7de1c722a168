"""Identified bits against channels whose mutual information is known, and in a comparison."""

import numpy as np
import pytest
from evaluation_parts import FlatEncoder, PoolJudge, blurred, mean_image, perfect, some_images

import featinv as fi
from featinv.errors import BadInput
from featinv.evaluation import choose_temperature, identified_bits
from featinv.evaluation.mutual_information import clipped, public_temperature

DRAW = np.random.default_rng(0)


def test_a_copy_identifies_all_bits_and_another_image_none() -> None:
    gallery = DRAW.normal(size=(256, 50))
    assert identified_bits(gallery, gallery, 0.01).mean() == pytest.approx(8, abs=1e-6)
    other = identified_bits(DRAW.normal(size=(256, 50)), gallery, 0.5)
    assert other.mean() < 0.05
    same = np.repeat(gallery.mean(axis=0, keepdims=True), 256, axis=0)
    assert identified_bits(same, gallery, 0.5) == pytest.approx(0, abs=1e-9)
    assert identified_bits(np.full((256, 50), np.nan), gallery, 0.5) == pytest.approx(0, abs=1e-12)


def test_classes_are_worth_their_logarithm() -> None:
    # Reconstructions that show one of 8 equally frequent classes exactly carry 3 bits, and the bound is tight.
    classes = np.repeat(np.eye(8), 32, axis=0)
    bits = identified_bits(classes, classes, 0.01)
    assert bits == pytest.approx(3, abs=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_it_stays_under_the_information_of_a_gaussian_channel(noise: float) -> None:
    draw = np.random.default_rng(3)
    clean = draw.normal(size=(4000, 4))
    seen = clean + noise * draw.normal(size=clean.shape)
    public, private = slice(0, 2000), slice(2000, 4000)
    temperature = choose_temperature(seen[public], clean[public])
    bits = identified_bits(seen[private], clean[private], temperature).mean()
    information = 4 / 2 * np.log2(1 + 1 / noise**2)
    assert bits <= min(information, np.log2(2000)) + 0.02
    assert bits > 0.35 * min(information, np.log2(2000))  # cosines lose the length, one of the four numbers


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, seen = DRAW.normal(size=(60, 9)), DRAW.normal(size=(60, 9))
    whole = identified_bits(seen, gallery, 0.3)
    monkeypatch.setattr("featinv.evaluation.mutual_information._CELLS", 100)
    np.testing.assert_allclose(identified_bits(seen, gallery, 0.3), whole)


def test_the_temperature_comes_from_what_vectors_say_of_other_images() -> None:
    features = DRAW.normal(size=(400, 12))
    clear, noisy = (
        public_temperature((features + noise * DRAW.normal(size=features.shape)).astype(np.float32), features)
        for noise in (0.1, 3.0)
    )
    assert clear < noisy


def test_a_comparison_has_it_on_request() -> None:
    public, truth = some_images(120, seed=1), some_images()
    victim = fi.Victim(FlatEncoder())
    board = fi.compare(
        {"grey": mean_image(), "blurred": blurred(), "perfect": perfect()},
        fi.release(victim, truth),
        [PoolJudge()],
        metrics="identified_bits",
        public=public,
        resamples=300,
        progress=False,
    )
    found = {name: board[name].metrics["identified_bits"] for name in ("grey", "blurred", "perfect")}
    assert found["grey"].mean == found["grey"].low == 0
    assert found["grey"].chance == 0
    assert found["blurred"].mean < found["perfect"].mean <= np.log2(60)
    assert board.protocol["identified_bits"]["temperature"] > 0
    assert board.per_image["perfect/identified_bits"].mean() == pytest.approx(found["perfect"].mean, abs=1e-5)
    bare = fi.compare(
        {"grey": mean_image()},
        fi.release(victim, truth),
        [PoolJudge()],
        metrics="identified_bits",
        resamples=300,
        progress=False,
    )
    assert "give public=" in bare.protocol["not_measured"]["identified_bits"]


def test_intervals_are_clipped_at_nothing() -> None:
    one = clipped(fi.evaluation.Interval(-0.4, -0.9, 0.1, 50))
    assert (one.mean, one.low, one.high, one.chance) == (0, 0, 0.1, 0)


def test_bad_input_is_named() -> None:
    gallery = DRAW.normal(size=(20, 3))
    with pytest.raises(BadInput, match="expected two rows or more a side"):
        identified_bits(gallery[:10], gallery, 0.1)
    with pytest.raises(BadInput, match="a temperature above 0, got 0"):
        identified_bits(gallery, gallery, 0.0)
    with pytest.raises(BadInput, match="at least 80 public images, got 20"):
        public_temperature(gallery, gallery)
