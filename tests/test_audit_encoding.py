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


PRIVATE_STORE = "release"


@pytest.mark.parametrize(
    "defence", [None, fi.defences.GaussianNoise(std=0.1), fi.defences.Microaggregate(k=5)], ids=["none", "noise", "all"]
)
def test_a_kept_release_is_that_which_nobody_kept(public: fi.data.ImageSet, tmp_path: Path, defence: Any) -> None:
    live = source(Interrupted(), defence)
    kept = live.release(public, 3, tmp_path / PRIVATE_STORE)
    drawn = fi.release(live.victim, public, seed=3)
    np.testing.assert_array_equal(kept.features, drawn.features)
    assert kept.metadata == drawn.metadata
    again = live.release(public, 3, tmp_path / PRIVATE_STORE)
    np.testing.assert_array_equal(again.features, drawn.features)


def test_an_interrupted_release_goes_on_where_it_stopped(public: fi.data.ImageSet, tmp_path: Path) -> None:
    store = tmp_path / PRIVATE_STORE
    with pytest.raises(KeyboardInterrupt):
        source(Interrupted(520)).release(public, 0, store)
    assert [path.name for path in store.glob("view*")] == ["view2-00000.npy"]
    again = Interrupted()
    live = source(again)
    again.encoded = 0
    release = live.release(public, 0, store)
    # A few more: the fingerprint of a function without weights is what it makes of a few images.
    assert 0 <= again.encoded - (COUNT - 512) <= 16
    colours = public.batch(np.arange(COUNT)).mean((2, 3)).numpy()
    np.testing.assert_allclose(release.features, colours, rtol=1e-5)
    assert release.metadata["private_fingerprint"] == public.fingerprint
    assert release.truth is public
    again.encoded = 0
    live.release(public, 0, store)
    assert again.encoded <= 16, "a finished one is only read"


def test_a_release_of_others_is_not_taken(public: fi.data.ImageSet, tmp_path: Path) -> None:
    """Another encoder, defence, seed, or images under the same or other names: nothing is taken, nothing is changed."""
    store = tmp_path / PRIVATE_STORE
    with pytest.raises(KeyboardInterrupt):
        source(Interrupted(520)).release(public, 0, store)
    before = sorted((path.name, path.read_bytes()) for path in store.iterdir())
    renamed = fi.data.ImageSet(public.uint8(range(COUNT)), ids=[f"x{row}" for row in range(COUNT)], provenance={})
    tries: list[tuple[LiveSource, fi.data.ImageSet, int, str]] = [
        (source(Interrupted(gain=2.0)), public, 0, "holds features of another victim"),
        (source(Interrupted(), fi.defences.GaussianNoise(std=0.1)), public, 0, "holds features of another victim"),
        (source(Interrupted()), image_set(255 - public.uint8(range(COUNT))), 0, "of other images: expected pixels"),
        (source(Interrupted()), renamed, 0, "of other images: expected image ids"),
        (source(Interrupted()), public, 1, "extracted with other settings: expected seed 1, got 0"),
    ]
    for live, images, seed, message in tries:
        with pytest.raises(fi.BadInput, match=message):
            live.release(images, seed, store)
    assert sorted((path.name, path.read_bytes()) for path in store.iterdir()) == before


def test_pairs_and_a_release_never_share_a_store(public: fi.data.ImageSet, tmp_path: Path) -> None:
    """A defence draws other noise for either: whoever mixed them up would face no noise at all."""
    live = source(Interrupted(), fi.defences.GaussianNoise(std=0.1))
    pairs = live.pairs(public, tmp_path / "pairs")
    release = live.release(public, 0, tmp_path / PRIVATE_STORE)
    assert np.abs(pairs.features(np.arange(COUNT)) - release.features).min() > 0
    with pytest.raises(fi.BadInput, match="holds the pairs of an attacker, expected a release"):
        live.release(public, 0, tmp_path / "pairs")
    with pytest.raises(fi.BadInput, match="holds a release, expected the pairs of an attacker"):
        live.pairs(public, tmp_path / PRIVATE_STORE)
    with pytest.raises(fi.BadInput, match="holds a release, expected the pairs of an attacker"):
        fi.features.open_store(tmp_path / PRIVATE_STORE, public)
    read = fi.load_features(tmp_path / PRIVATE_STORE)
    np.testing.assert_array_equal(read.features, release.features)
    assert read.ids == list(public.ids)


def test_an_audit_that_was_interrupted_does_not_encode_private_images_again(tmp_path: Path) -> None:
    """Ctrl-C while the public images are encoded, which comes after the private ones."""
    rng = np.random.default_rng(0)
    for side, count in (("public", 60), ("private", 30)):
        (tmp_path / side).mkdir()
        for row in range(count):
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{row}.png")
    sides = {side: str(tmp_path / side) for side in ("public", "private")}
    asked = fi.audit.AuditSettings(out=str(tmp_path / "out"), victim="tiny", minutes=3, **sides)
    encoded: list[int] = []

    def stopped(live: LiveSource, *_: Any) -> fi.Pairs:
        raise KeyboardInterrupt

    def counted(victim: fi.Victim, images: Any, rows: np.ndarray, **keywords: Any) -> Tensor:
        encoded.append(len(rows))
        return encode(victim, images, rows, **keywords)

    encode = fi.Victim.encode
    for expected in (30, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LiveSource, "pairs", stopped)
            patch.setattr("featinv.audit.running.plan_encoding", lambda *_: None)
            patch.setattr(fi.Victim, "encode", counted)
            with pytest.raises(KeyboardInterrupt):
                fi.audit.run_audit(asked)
        assert sum(encoded) == expected
        encoded.clear()
