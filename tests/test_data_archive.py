"""Archives are read like the folder that they would unpack to, in a stream; what is damaged is refused or skipped."""

import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featinv.data import archive, folder
from featinv.errors import BadInput

Files = Mapping[str, bytes]


def png(seed: int, side: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)


def write_tar(path: Path, files: Files) -> None:
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))


WRITERS: dict[str, Callable[[Path, Files], None]] = {
    "photos.zip": write_zip,
    "photos.tar": write_tar,
    "photos.tar.gz": write_tar,
    "photos.tgz": write_tar,
    "photos.tar.xz": write_tar,
    "photos.TAR.bz2": write_tar,
}
CLASSES = {f"{kind}/{number}.png": png(10 * place + number) for place, kind in enumerate("ab") for number in range(3)}


def unpacked(root: Path, files: Files) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_is_read_like_its_folder(tmp_path: Path, name: str) -> None:
    rest = {"a/notes.txt": b"x", "b/broken.jpg": b"\xff\xd8\xff", "b/raw.cr2": b"raw", "b/clip.mp4": b"video"}
    rest |= {
        "__MACOSX/a/._0.png": b"fork",
        "a/.hidden.png": png(99),
        "a/without_suffix": png(7),
        "@eaDir/t.jpg": png(8),
    }
    WRITERS[name](tmp_path / name, {**CLASSES, **rest})
    plain = folder(unpacked(tmp_path / "plain", {**CLASSES, **rest}), size=16)
    images = archive(tmp_path / name, size=16)
    assert sorted(images.ids) == sorted(plain.ids)
    assert images.classes == plain.classes == ("a", "b")
    assert images.labels is not None
    rows = [plain.ids.index(name) for name in images.ids]
    assert np.array_equal(images.uint8(range(len(images))), plain.uint8(rows))
    assert images.labels.tolist() == [plain.classes.index(name[0]) for name in images.ids]
    assert dict(images.skipped).keys() == dict(plain.skipped).keys()
    assert images.intake.beside == plain.intake.beside
    assert dict(images.intake.left_out) == dict(plain.intake.left_out)
    assert images.intake.ignored == plain.intake.ignored


def test_ids_follow_the_archive_and_leave_shared_folders_out(tmp_path: Path) -> None:
    files = {f"./export/photos/{name}": png(place) for place, name in enumerate(("b/2.png", "a/1.png", "b/10.png"))}
    write_tar(tmp_path / "x.tar", files)
    images = archive(tmp_path / "x.tar", size=16)
    assert images.ids == ("b/2.png", "a/1.png", "b/10.png")
    assert np.array_equal(images.uint8([1])[0], np.asarray(Image.open(io.BytesIO(png(1)))))
    assert archive(tmp_path / "x.tar", size=16, cache=tmp_path / "cache").ids == images.ids
    again = archive(tmp_path / "x.tar", size=16, cache=tmp_path / "cache")
    assert again.fingerprint == images.fingerprint
    assert again.labels is not None
    assert again.labels.tolist() == [1, 0, 1]


def wds(first: int, count: int, *, labels: bool = True) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number in range(first, first + count):
        files[f"{number:06d}.png"] = png(number)
        files[f"{number:06d}.json"] = b"{}"
        if labels:
            files[f"{number:06d}.cls"] = str(number % 3).encode()
    return files


def test_shards_of_webdataset_are_one_set(tmp_path: Path) -> None:
    for number in range(11):
        write_tar(tmp_path / f"{number:05d}.tar", wds(2 * number, 2))
        (tmp_path / f"{number:05d}_stats.json").write_text("{}")
    images = archive(tmp_path, size=16)
    assert images.ids == tuple(f"{number:06d}.png" for number in range(22))
    assert images.labels is not None
    assert images.labels.tolist() == [number % 3 for number in range(22)]
    (tmp_path / "00004.tar").unlink()
    with pytest.raises(BadInput, match=r"expected every shard from 0 to 10, got 10 .*: 4\)"):
        archive(tmp_path, size=16)


def test_shards_that_repeat_a_path_carry_the_name_of_their_shard(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"s-{number}.tar", {"0.png": png(number)})
    images = archive(tmp_path, size=16)
    assert images.ids == ("s-0/0.png", "s-1/0.png")


def test_the_real_writer_of_webdataset_is_read(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset not installed")
    with webdataset.ShardWriter(str(tmp_path / "s-%04d.tar"), maxcount=2, verbose=0) as shards:
        for number in range(5):
            shards.write({"__key__": f"x{number}", "png": png(number), "cls": number})
    images = archive(tmp_path, size=16)
    assert images.ids == tuple(f"x{number}.png" for number in range(5))
    assert images.labels is not None
    assert images.labels.tolist() == list(range(5))


def test_a_label_that_is_missing_leaves_all_out(tmp_path: Path) -> None:
    files = wds(0, 4)
    del files["000002.cls"]
    write_tar(tmp_path / "s.tar", files)
    images = archive(tmp_path / "s.tar", size=16)
    assert images.labels is None
    assert images.intake.ignored == 4 + 3


def truncated(write: Callable[[Path, Files], None], share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        write(path, CLASSES)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut


def _second_header(path: Path) -> None:
    """A header in the middle that cannot be read: Python's tarfile takes it for the end."""
    write_tar(path, CLASSES)
    content = bytearray(path.read_bytes())
    place = content.index(b"a/1.png\0")
    content[place : place + 7] = b"a/x.png"
    path.write_bytes(content)


def _no_end(path: Path) -> None:
    write_tar(path, CLASSES)
    path.write_bytes(path.read_bytes().rstrip(b"\0").ljust(512 * 12, b"\0")[: 512 * 12])


def _twice(path: Path) -> None:
    with tarfile.open(path, "w") as opened:
        for seed in range(2):
            info = tarfile.TarInfo("a.png")
            info.size = len(png(seed))
            opened.addfile(info, io.BytesIO(png(seed)))


def _link(path: Path) -> None:
    with tarfile.open(path, "w") as opened:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(info)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "zip, truncated": ("x.zip", truncated(write_zip, 0.7), "expected a zip archive, but it is truncated"),
    "tar, truncated": ("x.tar", truncated(write_tar, 0.3), "expected a tar archive, but it is truncated"),
    "tgz, truncated": ("x.tgz", truncated(write_tar, 0.7), "expected a tgz archive, but it is truncated"),
    "tar, a broken header": ("x.tar", _second_header, "no end after its last readable file"),
    "tar, without its end": ("x.tar", _no_end, "expected a tar archive, but it is truncated"),
    "a text": ("x.zip", lambda p: p.write_text("no archive"), "expected a zip archive"),
    "empty": ("x.tar", lambda p: p.write_bytes(b""), "expected a tar archive"),
    "a path twice": ("x.tar", _twice, r"every path once, got 'a\.png' twice \(1 such\)"),
    "no images": ("x.zip", lambda p: write_zip(p, {"a.txt": b"x"}), r"expected images .*got none \(1 other files"),
    "a link": ("x.tar", _link, "got none .*1 images that are not read"),
    "none usable": ("x.zip", lambda p: write_zip(p, {"a.png": b"x"}), "at least one usable image, got none of 1"),
    "too small": ("x.zip", lambda p: write_zip(p, {"a.png": png(0, 9)}), r"x\.zip/a\.png: expected at least 16 px"),
    "nothing there": ("x.zip", lambda p: None, "expected an archive of images, found none"),
    "another suffix": ("x.7z", lambda p: p.write_text("x"), "expected an archive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_archives_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, write, complaint = BAD[case]
    write(tmp_path / name)
    with pytest.raises(BadInput, match=complaint) as caught:
        archive(tmp_path / name, size=16)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_damaged_in_a_zip_is_counted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        for name, content in CLASSES.items():
            opened.writestr(name, content)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[content.index(b"a/1.png") + 60] ^= 255
    (tmp_path / "x.zip").write_bytes(content)
    images = archive(tmp_path / "x.zip", size=16)
    assert len(images) == 5
    assert images.skipped[0][0] == "a/1.png"
    assert images.skipped[0][1].startswith("damaged in the archive: Bad CRC-32")
    assert images.intake.lost_share == pytest.approx(1 / 6)


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tgz"])
def test_damaged_archives_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, {**CLASSES, "c/cls.cls": b"1"})
    whole, drawn = path.read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(drawn.randint(1, 3)):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        path.write_bytes(damaged)
        try:
            images = archive(path, size=16)
        except BadInput:
            continue
        # Nothing is lost without being counted, but for what a changed name makes of a file.
        assert (
            images.intake.seen
            + images.intake.ignored
            + len(images.intake.beside)
            + sum(count for _, count in images.intake.left_out)
            >= 6
        )
