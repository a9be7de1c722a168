"""Nothing at stake is lost in silence: every format that Pillow reads is read, and what is not is counted and said."""

import io
import json
import logging
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from featinv.data import (
    ImageSet,
    Intake,
    arrays,
    disjoint,
    duplicates_sentences,
    duplicates_within,
    folder,
    intake_sentences,
    near_duplicates_within,
    scenes,
)
from featinv.data.image_decode import Unusable, decode_image
from featinv.data.image_formats import EXCLUDED, classify, formats_of
from featinv.data.image_listing import LEFT_OUT
from featinv.errors import BadInput

SIDE = 32
HEIC = b"\0\0\0\x18ftypheic" + bytes(2000)
Image.init()
SUFFIXES = sorted(
    (suffix, form)
    for suffix, form in Image.registered_extensions().items()
    if form in Image.SAVE and form in {*Image.OPEN, "MPO"} - set(EXCLUDED)
)


def noise(seed: int = 0, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def encoded(form: str = "PNG", seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    noise(seed).save(buffer, form)
    return buffer.getvalue()


def put(path: Path, content: bytes | None = None, form: str = "PNG", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(form, seed) if content is None else content)
    return path


def pixels_of(images: ImageSet) -> np.ndarray:
    return images.uint8(np.arange(len(images)))


# ------------------------------------------------------------------------------------------------- what is read


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_private_images_under_suffixes_of_all_kinds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    forms = {"avif": "AVIF", "jfif": "JPEG", "jpe": "JPEG", "png": "PNG", "": "PNG"}
    kinds = ["png"] * 50 + ["avif"] * 20 + ["heic"] * 20 + ["jfif"] * 10 + ["jpe"] * 10 + [""] * 10
    for number, kind in enumerate(kinds):
        name = f"IMG_{number:04d}" + (f".{kind}" if kind else "")
        put(tmp_path / name, HEIC if kind == "heic" else None, forms.get(kind, ""), seed=number)
    with caplog.at_level(logging.WARNING, logger="featinv"):
        images = folder(tmp_path, size=SIDE)
    assert len(images) == images.intake.read == 100
    assert {name for name, _ in images.skipped} == {f"IMG_{number:04d}.heic" for number in range(70, 90)}
    assert all("pip install pillow-heif" in reason and "register" in reason for _, reason in images.skipped)
    assert images.intake.lost_share == pytest.approx(1 / 6)
    (sentence,) = intake_sentences(images, "private")
    assert sentence.startswith("private: 20 of 120 image files were not read: 20 .heic (IMG_0070.heic: HEIC")
    assert "20 of 120" in caplog.text


@pytest.mark.filterwarnings("ignore:IM image format is deprecated")
@pytest.mark.parametrize(("suffix", "form"), SUFFIXES, ids=lambda value: value)
def test_what_pillow_saves_under_a_suffix_is_read_as_pillow_reads_it(tmp_path: Path, suffix: str, form: str) -> None:
    image = noise(seed=1)
    path = tmp_path / f"x{suffix}"
    for mode in ("RGB", "P", "1"):
        try:
            image.convert(mode).save(path, form)
            break
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
    assert path.exists(), "no mode that this format takes"
    images = folder(tmp_path, size=SIDE)
    assert images.ids == (path.name,)
    with Image.open(path) as opened:
        opened.load()
        opaque = opened.convert("RGBA").convert("RGB")
    # Apple's icons hold enlargements as well, of which Pillow takes the largest.
    expected = np.asarray(opaque if form != "ICNS" else opaque.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pixels_of(images)[0], expected)
    (tmp_path / path.name).rename(tmp_path / f"x{suffix.upper()}")
    assert len(folder(tmp_path, size=SIDE)) == 1


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "QOI", "ICNS", "DDS"])
@pytest.mark.parametrize("name", ["0001", "photo.backup", "photo.jpg_original", "photo.jpg?w=600", "x.heic", "x.mov"])
def test_content_decides_where_the_suffix_says_nothing_or_something_else(tmp_path: Path, form: str, name: str) -> None:
    put(tmp_path / name, form=form)
    images = folder(tmp_path, size=SIDE)
    assert images.ids == (name,)
    assert images.intake == Intake(read=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"no image"), ("metadata.json", b"{}"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
        ("BMW", b"BMW drives"), ("P1", b"P1 hello, this is text"), ("m.h", b"#define width 3\n"), ("empty", b""),
        ("x.npy", b"\x93NUMPY\x01\0"), ("x.csv", b"P6,P7\n"), ("x.bin", bytes(600)),
        ("page.html", b"<html><svg></svg>"), ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(600)),
        ("utf16", "image".encode("utf-16")),
    ],
)  # fmt: skip
def test_what_is_no_image_is_ignored(tmp_path: Path, name: str, content: bytes) -> None:
    put(tmp_path / name, content)
    put(tmp_path / "a.png")
    images = folder(tmp_path, size=SIDE)
    assert images.intake == Intake(read=1, ignored=1)
    assert intake_sentences(images, "private") == []


def test_a_plugin_that_the_caller_registered_reads_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pillow-heif: it takes Pillow's own way in, and hands out an image for whatever begins with it."""
    for registry in ("OPEN", "EXTENSION"):
        monkeypatch.setattr(Image, registry, dict(getattr(Image, registry)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    put(tmp_path / "photos/a.heic", HEIC)
    put(tmp_path / "photos/b", HEIC)
    put(tmp_path / "photos/c.jpg", HEIC)
    put(tmp_path / "photos/d.png")
    before = folder(tmp_path / "photos", size=SIDE, cache=tmp_path / "cache")
    assert before.ids == ("d.png",)
    assert all("pillow-heif" in reason for _, reason in before.skipped)
    Image.register_open("HEIF", lambda *_: noise(9), lambda prefix: prefix[4:12] == b"ftypheic")  # type: ignore[arg-type,return-value]
    Image.register_extension("HEIF", ".heic")
    after = folder(tmp_path / "photos", size=SIDE, cache=tmp_path / "cache")
    assert after.ids == ("a.heic", "b", "c.jpg", "d.png")
    assert after.intake == Intake(read=4)


def test_programs_are_never_run() -> None:
    assert not {"EPS", "WMF"} & set(formats_of(".eps"))
    assert all(EXCLUDED.values())


# --------------------------------------------------------------------------------------------- what is not read


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("x.HEIF", HEIC, "HEIC"), ("noname", HEIC, "HEIC"), ("lies.jpg", HEIC, "HEIC"), ("x.hif", HEIC, "HEIC"),
        ("mif1", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(400), "HEIC"),
        ("x.CR2", b"II*\0\x10\0\0\0CR\x02\0", "raw"), ("x.nef", encoded("TIFF"), "raw"),
        ("x.dng", encoded("TIFF"), "raw"), ("x.arw", bytes(100), "raw"), ("x.orf", b"IIRO", "raw"),
        ("x.rw2", b"IIU\0", "raw"),
        ("fuji", b"FUJIFILMCCD-RAW 0201", "raw"), ("canon", b"\0\0\0\x18ftypcrx " + bytes(40), "raw"),
        ("x.svg", b"<svg/>", "drawing"), ("svg", b"<?xml version='1.0'?>\n<svg/>", "drawing"),
        ("x.eps", b"%!PS-Adobe", "drawing"), ("x.jxl", b"\xff\x0a", "JPEG XL"), ("jxl", b"\xff\x0a", "JPEG XL"),
        ("slice", bytes(128) + b"DICM" + bytes(50), "DICOM"), ("x.dcm", bytes(300), "DICOM"),
        ("x.fits", b"SIMPLE  =", "range"), ("x.exr", b"v/1\x01", "range"),
        ("broken", b"\x89PNG\r\n\x1a\n", "no image"), ("cut", encoded("JPEG")[:300], ""), ("x.avif", bytes(40), ""),
        ("x.tga", b"text", ""), ("text.jfif", b"text", "no image"),
    ],
)  # fmt: skip
def test_image_files_that_are_not_read_are_lost_with_the_reason(
    tmp_path: Path, name: str, content: bytes, word: str
) -> None:
    put(tmp_path / name, content)
    put(tmp_path / "good.png")
    images = folder(tmp_path, size=SIDE)
    assert images.ids == ("good.png",)
    ((path, reason),) = images.skipped
    assert path == name
    assert word in reason
    assert images.intake.lost_share == 0.5
    assert name in intake_sentences(images, "private")[0]


def test_the_preview_in_a_raw_file_under_another_name_is_not_its_image(tmp_path: Path) -> None:
    noise().save(tmp_path / "IMG_1", "TIFF", tiffinfo={254: 1})
    with pytest.raises(Unusable, match="raw camera file"):
        decode_image(tmp_path / "IMG_1", size=SIDE, fit="crop", upscale=False, limit_pixels=10**6)


def test_thumbnails_and_caches_are_left_out_counted_and_no_class(tmp_path: Path) -> None:
    for place in ("cat/1.png", "dog/2.png", "@eaDir/cat/3.png", "cat/@EADIR/1.png/SYNO.jpg", ".Trash-1000/files/4.png"):
        put(tmp_path / place)
    put(tmp_path / "__MACOSX/cat/5.png")
    put(tmp_path / "cat/._1.png", b"\0\x05\x16\x07" + bytes(100))
    put(tmp_path / "lost+found/note.txt", b"text")
    images = folder(tmp_path, size=SIDE)
    assert images.ids == ("cat/1.png", "dog/2.png")
    assert images.classes == ("cat", "dog")
    assert images.intake == Intake(read=2, left_out=((".Trash-*", 1), ("._* files", 1), ("@eaDir", 2), ("__MACOSX", 1)))
    assert images.intake.lost_share == 0
    (sentence,) = intake_sentences(images, "public")
    assert "public: 5 image files" in sentence
    assert "2 in @eaDir" in sentence


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_every_name_on_the_list_is_left_out_below_the_root_only(tmp_path: Path, name: str) -> None:
    put(tmp_path / "photos/a.png")
    put(tmp_path / "photos" / name / "b.png")
    assert folder(tmp_path / "photos", size=SIDE).intake == Intake(read=1, left_out=((name, 1),))
    assert folder(tmp_path / "photos" / name, size=SIDE).ids == ("b.png",)


def test_the_documentation_names_all_that_is_left_out_or_excluded() -> None:
    page = Path(__file__).parents[1].joinpath("docs/data_folder.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {what} |" for name, what in LEFT_OUT.items()]
    rows += [f"| {name} | {why} |" for name, why in EXCLUDED.items()]
    assert [row for row in rows if row not in page] == []


def test_what_is_beside_images_is_listed_and_not_lost(tmp_path: Path) -> None:
    put(tmp_path / "IMG_1.jpg", form="JPEG")
    for name in ("IMG_1.mov", "more.zip", "scan.pdf"):
        put(tmp_path / name, b"anything")
    put(tmp_path / "MVI_2.THM", form="JPEG")
    os.mkfifo(tmp_path / "queue")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # The path of a socket may have 107 bytes only.
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        images = folder(tmp_path, size=SIDE)
    assert images.ids == ("IMG_1.jpg",)
    assert {name for name, _ in images.intake.beside} == {
        "IMG_1.mov", "more.zip", "scan.pdf", "MVI_2.THM", "queue", "socket",
    }  # fmt: skip
    assert images.intake.lost_share == 0
    assert "6 other files" in intake_sentences(images, "private")[0]


def test_a_link_to_a_folder_that_is_not_there_may_lose_any_number(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "more").symlink_to(tmp_path / "unmounted")
    (tmp_path / ".#lock").symlink_to("user@host.1")
    intake = folder(tmp_path, size=SIDE).intake
    assert intake.lost_share == 1
    assert [name for name, _ in intake.skipped] == ["more"]


def test_a_folder_of_nothing_but_unread_images_says_why(tmp_path: Path) -> None:
    put(tmp_path / "a.heic", HEIC)
    with pytest.raises(BadInput, match=r"1 images that are not read, e\.g\. a\.heic: HEIC: pip install"):
        folder(tmp_path, size=SIDE)


def test_too_small_images_count_as_lost_where_they_are_skipped(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    noise(side=16).save(tmp_path / "b.png")
    noise(side=20).save(tmp_path / "c.png")
    images = folder(tmp_path, size=SIDE, smaller="skip")
    assert images.intake.lost_share == pytest.approx(2 / 3)
    assert "2 .png (b.png: too small" in intake_sentences(images, "private")[0]


# ------------------------------------------------------------------------------------------------ who keeps it


def test_the_intake_stays_with_parts_of_the_set_and_comes_from_a_cache_alike(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(10):
        put(photos / f"{number}.png", seed=number)
    put(photos / "x.heic", HEIC)
    put(photos / "broken.jpg", b"")
    put(photos / ".hidden/y.png")
    put(photos / "@eaDir/z.png")
    put(photos / "clip.mov", b"")
    fresh = folder(photos, size=SIDE)
    assert fresh.intake.lost == 3
    assert fresh.intake.seen == 13
    for _ in range(2):
        assert folder(photos, size=SIDE, cache=tmp_path / "cache").intake == fresh.intake
    for part in (fresh.take([1, 2]), *fresh.split(0.5), disjoint(fresh, scenes(10, size=SIDE))[0]):
        assert part.intake == fresh.intake
        assert part.skipped == fresh.skipped
    record = json.loads(json.dumps(fresh.intake.record()))
    assert (record["seen"], record["read"], record["lost"], record["left_out"]) == (13, 10, 3, {"@eaDir": 1})
    assert record["lost_share"] == pytest.approx(3 / 13)


def test_images_that_come_from_no_folder_have_an_empty_intake(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 32, 32, 3), dtype=np.uint8))
    for images in (arrays(tmp_path / "x.npy"), scenes(2, size=32)):
        assert images.intake == Intake()
        assert images.intake.lost_share == 0
        assert intake_sentences(images, "private") == []


def test_a_record_names_few_and_counts_all() -> None:
    intake = Intake(read=1, skipped=tuple((f"{number}.heic", "HEIC: why") for number in range(500)))
    assert intake.record()["lost"] == 500
    assert len(intake.record()["skipped"]) == 100


# ------------------------------------------------------------------------------------------------ twins in a side


def test_twins_within_a_side_are_found_by_their_pixels(tmp_path: Path) -> None:
    for name, seed in {"a/1.png": 0, "a/2.png": 1, "b/1.png": 0, "b/2.png": 2, "c/1.png": 0, "c/2.png": 2}.items():
        put(tmp_path / name, seed=seed)
    put(tmp_path / "d/1.bmp", form="BMP", seed=1)
    images = folder(tmp_path, size=SIDE)
    groups = duplicates_within(images)
    assert groups == [["a/1.png", "b/1.png", "c/1.png"], ["a/2.png", "d/1.bmp"], ["b/2.png", "c/2.png"]]
    (sentence,) = duplicates_sentences(groups, "private")
    assert sentence.startswith("private: 4 images equal another")
    assert duplicates_within(images.take([0, 1, 3])) == []
    assert duplicates_sentences([], "private") == []


def test_near_twins_within_a_side_are_found_once() -> None:
    pixels = pixels_of(scenes(12, size=SIDE, seed=5))
    darker = (pixels[:3] * 0.9).astype(np.uint8)
    images = ImageSet(np.concatenate([pixels, darker, pixels[:1]]), ids=[str(row) for row in range(16)])
    pairs = near_duplicates_within(images)
    assert {("0", "12"), ("1", "13"), ("2", "14")} <= set(pairs)
    assert ("0", "15") not in pairs, "equal, not nearly so"
    assert len(pairs) == len({frozenset(pair) for pair in pairs})


def test_a_file_that_cannot_be_opened_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.png")
    put(tmp_path / "secret")

    def refuse(path: Path) -> object:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return classify(path)

    monkeypatch.setattr("featinv.data.image_listing.classify", refuse)
    intake = folder(tmp_path, size=SIDE).intake
    assert intake.skipped == (("secret", "unreadable: Permission denied"),)
    assert intake.unlisted == 0
