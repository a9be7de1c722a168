"""A folder of images is decoded once; what cannot be used is skipped and listed, or refused in one line."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featinv.data import folder, image_stream, pixel_sink
from featinv.errors import BadInput


def noise(width: int, height: int | None = None, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (height or width, width, 3), dtype=np.uint8))


def make(root: Path, *paths: str, side: int = 16) -> Path:
    for seed, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        noise(side, seed=seed).save(root / path)
    return root


def pixels_of(images: object) -> np.ndarray:
    return images.uint8(np.arange(len(images)))  # type: ignore[attr-defined]


def test_a_flat_folder_has_no_labels_and_sorted_ids(tmp_path: Path) -> None:
    images = folder(make(tmp_path, "b.png", "a.png", "c.PNG"), size=16)
    assert images.ids == ("a.png", "b.png", "c.PNG")
    assert images.labels is None
    assert images.classes == ()
    for name, image in zip(images.ids, pixels_of(images), strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / name)))


def test_class_folders_give_labels_however_deep_their_images_lie(tmp_path: Path) -> None:
    make(tmp_path, "dog/x/2.png", "dog/1.png", "cat/z.png", "cat/a/b/c.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/readme.txt").write_text("no image")
    images = folder(tmp_path, size=16)
    assert images.classes == ("cat", "dog")
    assert images.ids == ("cat/a/b/c.png", "cat/z.png", "dog/1.png", "dog/x/2.png")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.provenance["ignored"] == 1
    assert images.provenance["files"] == 4


def test_images_beside_folders_are_taken_without_labels(tmp_path: Path) -> None:
    images = folder(make(tmp_path, "top.png", "a/1.png", "b/2.png"), size=16)
    assert len(images) == 3
    assert images.labels is None


def test_hidden_images_are_lost_and_thumbnails_are_left_out(tmp_path: Path) -> None:
    images = folder(make(tmp_path, "a.png", ".a.png", ".deep/er/b.jpg", ".thumbnails/a.png"), size=16)
    assert images.ids == ("a.png",)
    assert {name for name, _ in images.skipped} == {".a.png", ".deep/er/b.jpg"}
    assert images.intake.left_out == ((".thumbnails", 1),)


def test_a_wide_image_is_cropped_to_its_middle_or_stretched(tmp_path: Path) -> None:
    wide = noise(40, 16)
    wide.save(tmp_path / "wide.png")
    cropped = pixels_of(folder(tmp_path, size=16))[0]
    np.testing.assert_array_equal(cropped, np.asarray(wide)[:, 12:28])
    stretched = pixels_of(folder(tmp_path, size=16, fit="stretch"))[0]
    np.testing.assert_array_equal(stretched, np.asarray(wide.resize((16, 16), Image.Resampling.BICUBIC)))


def test_a_large_photograph_is_reduced_as_without_the_fast_jpeg_path(tmp_path: Path) -> None:
    axis = np.linspace(0, 6, 640)
    waves = np.stack([np.sin(axis[:, None] * k + axis[None, :]) for k in (1, 2, 3)], axis=2) * 100 + 128
    image = Image.fromarray(waves.astype(np.uint8))
    image.save(tmp_path / "photo.jpg", quality=95)
    exact = Image.open(tmp_path / "photo.jpg").resize((32, 32), Image.Resampling.BICUBIC)
    read = pixels_of(folder(tmp_path, size=32))[0].astype(float)
    assert np.abs(read - np.asarray(exact)).mean() < 1.0


# ------------------------------------------------------------------------------------------------ what is skipped


@pytest.fixture
def spoiled(tmp_path: Path) -> Path:
    make(tmp_path, "good.png", "other.png", side=32)
    noise(64).save(tmp_path / "whole.jpg")
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "truncated.png").write_bytes((tmp_path / "good.png").read_bytes()[:700])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("this is no image")
    noise(1).save(tmp_path / "one.png")
    noise(7, 300).save(tmp_path / "sliver.png")
    noise(200).save(tmp_path / "large.png")
    Image.new("F", (32, 32)).save(tmp_path / "float.tif")
    (tmp_path / "missing.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/back").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path


def test_what_cannot_be_used_is_skipped_counted_and_listed(spoiled: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="featinv"):
        images = folder(spoiled, size=32, limit_pixels=150 * 150)
    assert images.ids == ("good.png", "other.png")
    reasons = dict(images.skipped)
    assert set(reasons) == {
        "truncated.jpg", "truncated.png", "empty.png", "text.png", "one.png", "sliver.png", "large.png", "float.tif",
        "missing.png", "loop.png", "pipe.png",
    }  # fmt: skip
    for name, words in {
        "truncated.jpg": "truncated",
        "truncated.png": "cannot be decoded",
        "empty.png": "zero bytes",
        "text.png": "no image in a format",
        "one.png": "1 x 1 px: a side is shorter than 8 px",
        "sliver.png": "7 x 300 px",
        "large.png": "too large: 200 x 200 px",
        "float.tif": "unknown range",
        "missing.png": "unreadable",
        "loop.png": "unreadable",
        "pipe.png": "not a regular file",
    }.items():
        assert words in reasons[name], (name, reasons[name])
    assert all("\n" not in reason for reason in reasons.values())
    assert images.intake.beside == (("deeper/back", "a link back to a folder above it"),)
    assert images.provenance["skipped"] == images.intake.lost == 11
    assert images.intake.lost_share == 11 / 13
    lost, beside = caplog.records
    assert "11 of 13 image files were not read" in lost.getMessage()
    assert "deeper/back" in beside.getMessage()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "locked/b.png", "c.png")
    (tmp_path / "locked").chmod(0)
    (tmp_path / "c.png").chmod(0)
    try:
        images = folder(tmp_path, size=16)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert images.ids == ("a.png",)
    assert {name for name, _ in images.skipped} == {"locked", "c.png"}


def test_a_folder_that_cannot_be_listed_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as above for a machine where the tests run as root."""
    make(tmp_path, "a.png", "locked/b.png")
    real = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("featinv.data.image_listing.os.scandir", refuse)
    images = folder(tmp_path, size=16)
    assert images.skipped == (("locked", "unreadable: Permission denied"),)
    assert images.intake.lost_share == 1, "nobody knows how many images were in it"
    assert images.labels is None


def test_a_decompression_bomb_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "good.png")
    noise(60).save(tmp_path / "warned.png")
    noise(100).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    images = folder(tmp_path, size=16, limit_pixels=3000)
    assert images.ids == ("good.png",)
    assert {name: "too large" in reason for name, reason in images.skipped} == {"warned.png": True, "bomb.png": True}


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("kind", ["nothing", "text only", "all broken", "a file", "missing"])
def test_a_folder_without_a_image_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "photos"
    if kind == "a file":
        place.write_text("x")
    elif kind != "missing":
        place.mkdir()
    if kind == "text only":
        (place / "notes.txt").write_text("x")
    if kind == "all broken":
        (place / "a.png").touch()
    with pytest.raises(BadInput, match=re.escape(str(place))) as caught:
        folder(place, size=16)
    message = str(caught.value)
    assert "expected" in message
    assert "got" in message
    assert "\n" not in message
    if kind == "all broken":
        assert "zero bytes" in message


def test_a_image_smaller_than_asked_is_refused_skipped_or_enlarged(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "c.png", side=32)
    noise(20, 40).save(tmp_path / "b.png")
    noise(10, 40).save(tmp_path / "d.png")
    with pytest.raises(BadInput) as caught:
        folder(tmp_path, size=32)
    for words in ("b.png", "at least 32 px", "20 x 40 px", "smaller size", '"skip"', '"upscale"'):
        assert words in str(caught.value)
    skipped = folder(tmp_path, size=32, smaller="skip")
    assert skipped.ids == ("a.png", "c.png")
    assert skipped.skipped[0] == ("b.png", "too small: 20 x 40 px, less than the 32 px asked for")
    enlarged = folder(tmp_path, size=32, smaller="upscale")
    assert enlarged.ids == ("a.png", "b.png", "c.png", "d.png")
    assert enlarged.skipped == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 4}, "size: expected at least 8"),
        ({"size": 16, "limit_pixels": 10**10}, "limit_pixels: expected at most Pillow's own limit"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        folder(make(tmp_path, "a.png"), **options)


@pytest.mark.parametrize(("fit", "smaller"), [("squeeze", "refuse"), ("crop", "shrink")])
def test_unknown_words_are_refused(fit: str, smaller: str) -> None:
    """Through the check itself: with the tests' type checks on, `folder` would not even be entered."""
    with pytest.raises(BadInput, match="choose one"):
        image_stream.check_settings(16, 100, fit, smaller)


# ------------------------------------------------------------------------------------------------ where pixels lie


def test_above_the_limit_pixels_lie_in_a_file_without_a_name(tmp_path: Path) -> None:
    make(tmp_path, *[f"{row}.png" for row in range(5)])
    in_memory = folder(tmp_path, size=16, on_disk_above=5 * 16 * 16 * 3)
    on_disk = folder(tmp_path, size=16, on_disk_above=5 * 16 * 16 * 3 - 1)
    assert not isinstance(in_memory._pixels, np.memmap)
    assert isinstance(on_disk._pixels, np.memmap)
    assert in_memory.fingerprint == on_disk.fingerprint
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "(deleted)" in line]
    assert mapped, "the file has no name any more"


def test_the_cache_is_used_while_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, cache = make(tmp_path / "photos", "a/1.png", "a/2.png", "b/3.png"), tmp_path / "cache"
    (photos / "b/broken.png").touch()
    first = folder(photos, size=16, cache=cache)
    assert isinstance(first._pixels, np.memmap)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(image_stream, "decode_image", never)
        again = folder(photos, size=16, cache=cache)
    assert again.ids == first.ids
    assert again.fingerprint == first.fingerprint == folder(photos, size=16).fingerprint
    assert again.skipped == first.skipped == (("b/broken.png", "zero bytes"),)
    assert again.labels is not None
    assert again.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("change", ["another size", "another fit", "a changed file", "a new file", "cut short"])
def test_the_cache_is_not_used_for_anything_else(tmp_path: Path, change: str) -> None:
    photos, cache = make(tmp_path / "photos", "a.png", "b.png", side=20), tmp_path / "cache"
    before = folder(photos, size=16, cache=cache)
    options: dict = {"size": 16, "cache": cache}
    if change == "another size":
        options["size"] = 12
    elif change == "another fit":
        options["fit"] = "stretch"
        noise(40, 20, seed=3).save(photos / "a.png")
    elif change == "a changed file":
        noise(20, seed=9).save(photos / "a.png")
    elif change == "a new file":
        noise(20, seed=9).save(photos / "c.png")
    else:
        (raw,) = cache.glob("*/pixels.u8")
        # Another file under that name: the mapping that `before` holds stays what it is.
        shutil.copy(raw, tmp_path / "copy")
        raw.unlink()
        raw.write_bytes((tmp_path / "copy").read_bytes()[:100])
    after = folder(photos, **options)
    options.pop("cache")
    assert after.fingerprint == folder(photos, **options).fingerprint
    assert (after.fingerprint == before.fingerprint) == (change == "cut short")


def test_a_failed_reading_leaves_no_cache(tmp_path: Path) -> None:
    photos, cache = make(tmp_path / "photos", "a.png", "b.png"), tmp_path / "cache"
    with pytest.raises(BadInput, match="at least 64 px"):
        folder(photos, size=64, cache=cache)
    assert list(cache.iterdir()) == []


def test_a_disk_that_fills_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, cache = make(tmp_path / "photos", "a.png", "b.png"), tmp_path / "cache"

    def full(self: object, image: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_sink.RawFile, "add", full)
    with pytest.raises(BadInput, match="the disk is full"):
        folder(photos, size=16, cache=cache)
    assert list(cache.iterdir()) == []
    with pytest.raises(BadInput, match="the disk is full") as caught:
        folder(photos, size=16, on_disk_above=0)
    assert "cache=" in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_without_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a device that really has no space: the error comes only when buffers are written out."""
    monkeypatch.setattr(pixel_sink.tempfile, "TemporaryFile", lambda prefix: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(BadInput, match="the disk is full"):
        folder(make(tmp_path, "a.png"), size=16, on_disk_above=0)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_of_two_processes_one_decodes_into_the_cache(tmp_path: Path) -> None:
    photos = make(tmp_path / "photos", *[f"{row}.png" for row in range(6)])
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    run = subprocess.run(
        [*launch, Path(__file__).with_name("folder_program.py"), photos, tmp_path / "cache"],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    fingerprint = folder(photos, size=16).fingerprint
    assert f"process 0 decoded 6 of 6: {fingerprint}" in run.stderr
    assert f"process 1 decoded 0 of 6: {fingerprint}" in run.stderr
