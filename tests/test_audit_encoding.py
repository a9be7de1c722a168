"""Encoding in an audit: how long it will take is said before it starts, and an interrupted one goes on, or refuses."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import featinv as fi
from featinv.audit.encoding import EncodingPlan, encoding_rate, plan_encoding
from featinv.audit.live_source import LiveSource
from featinv.audit.record import Record
from featinv.audit.suite import SuitePlan

COUNT, SIZE = 530, 8
"""one block of 512 images and a rest"""


class Interrupted:
    """Mean colours, of at most so many images; then Ctrl-C."""

    def __init__(self, most: int | None = None, gain: float = 1.0) -> None:
        self.most, self.gain, self.encoded = most, gain, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.encoded += len(images)
        if self.most is not None and self.encoded > self.most:
            raise KeyboardInterrupt
        return self.gain * images.mean((2, 3))


def source(function: Any, defence: Any = None) -> LiveSource:
    encoder = fi.encoders.wrap(function, name="colours", family="averages", input_size=SIZE)
    function.encoded = 0
    return LiveSource(fi.Victim(encoder, defence or fi.defences.Identity()), SIZE, ())


def image_set(pixels: np.ndarray) -> fi.data.ImageSet:
    return fi.data.ImageSet(pixels, ids=[str(row) for row in range(len(pixels))], provenance={})


@pytest.fixture(scope="module")
def public() -> fi.data.ImageSet:
    return image_set(np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8))


@pytest.fixture
def interrupted(public: fi.data.ImageSet, tmp_path: Path) -> Path:
    """A store that holds the first block of the images, but not of the mirrored ones."""
    with pytest.raises(KeyboardInterrupt):
        source(Interrupted(512 + 300)).pairs(public, tmp_path / "features")
    return tmp_path / "features"


def test_an_interrupted_encoding_goes_on_where_it_stopped(public: fi.data.ImageSet, interrupted: Path) -> None:
    again = Interrupted()
    live = source(again)
    assert live.images_to_encode(public, interrupted) == 2 * COUNT - 512
    plan = plan_encoding(live, public, interrupted)
    assert plan is not None
    assert plan.images == 2 * COUNT - 512
    again.encoded = 0
    pairs = live.pairs(public, interrupted)
    # Three images more: the check that the encoder is a function of the image looks at them.
    assert 0 <= again.encoded - (2 * COUNT - 512) <= 16
    assert pairs.views == 2
    every = np.arange(COUNT)
    colours = public.batch(every).mean((2, 3)).numpy()
    np.testing.assert_allclose(pairs.features(every), colours, rtol=1e-5)
    mirrored = np.concatenate([np.load(interrupted / f"view1-{block:05d}.npy") for block in range(2)])
    np.testing.assert_allclose(mirrored, colours, rtol=1e-5)
    assert plan_encoding(live, public, interrupted) is None


def test_another_encoder_or_other_images_do_not_go_on(public: fi.data.ImageSet, interrupted: Path) -> None:
    before = sorted((path.name, path.read_bytes()) for path in interrupted.iterdir())
    with pytest.raises(fi.BadInput, match="holds features of another victim"):
        source(Interrupted(gain=2.0)).pairs(public, interrupted)
    others = image_set(255 - public.uint8(range(COUNT)))
    with pytest.raises(fi.BadInput, match="holds features of other images: expected pixels"):
        source(Interrupted()).pairs(others, interrupted)
    with pytest.raises(fi.BadInput, match="holds features of other images: expected count of images 529, got 530"):
        source(Interrupted()).pairs(public.take(range(COUNT - 1)), interrupted)
    assert sorted((path.name, path.read_bytes()) for path in interrupted.iterdir()) == before


def test_a_defence_sees_whole_blocks() -> None:
    assert source(Interrupted()).block == 512
    assert source(Interrupted(), fi.defences.GaussianNoise(std=0.1)).block == 4096


def test_the_rate_is_that_of_the_encoder(public: fi.data.ImageSet) -> None:
    each = 0.004
    batches: list[int] = []

    def encode(images: fi.data.ImageSet, rows: np.ndarray) -> Tensor:
        batches.append(len(rows))
        time.sleep(each * len(rows))
        return torch.zeros(len(rows), 3)

    rate, count = encoding_rate(SimpleNamespace(encode=encode), public)  # type: ignore[arg-type]
    assert batches == [4, 4, 8, 16, 32, 64]
    assert count == 64
    assert 0.3 / each < rate <= 1 / each
    assert encoding_rate(SimpleNamespace(encode=encode), public.take(range(3)))[1] == 3  # type: ignore[arg-type]


def test_minutes_follow_from_images_and_rate() -> None:
    assert EncodingPlan(18_000, 30.0, 64).minutes == pytest.approx(10)


def test_vectors_that_exist_are_not_planned(public: fi.data.ImageSet, tmp_path: Path) -> None:
    assert plan_encoding(SimpleNamespace(), public, tmp_path) is None


def test_the_time_before_training_adds_up_over_interruptions(tmp_path: Path) -> None:
    plan = SuitePlan((), {}, {})
    for _ in range(2):
        record = Record(tmp_path)
        with record.timing("reading"):
            time.sleep(0.05)
        record.begin({}, plan, None)
    assert 0.1 <= Record(tmp_path).before_training["reading"] < 5


def test_it_is_said_before_a_private_image_is_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in range(60):
        folder = tmp_path / "public"
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(row).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
    (tmp_path / "private").mkdir()
    sides = {"public": str(tmp_path / "public"), "private": str(tmp_path / "private")}
    with pytest.raises(fi.BadInput, match="--private"):
        fi.audit.run_audit(fi.audit.AuditSettings(out=str(tmp_path / "out"), victim="tiny", minutes=3, **sides))
    said = " ".join(capsys.readouterr().out.split())
    assert "Encoding: 120 images (public ones, mirrored ones too), about " in said
    assert "images/s, measured here on 60" in said
    assert "Interrupted, it goes on where it stopped." in said
