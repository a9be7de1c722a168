"""Nothing is half-written: a failure leaves what was there."""

import errno
import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featinv.errors import BadInput
from featinv.files import atomic_file, folder_name, likeness_key, publish_folder, read_json, sha256_file, write_json

FILLS = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from featinv.errors import BadInput
from featinv.files import atomic_file
try:
    with atomic_file(sys.argv[1]) as temporary:
        temporary.write_bytes(bytes(100_000))
except BadInput as error:
    print(error)
"""


def test_a_disk_that_fills_leaves_the_old_file(tmp_path: Path) -> None:
    """A real short write, through the kernel's file size limit, not a mock."""
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FILLS, str(path)], capture_output=True, text=True, check=True)
    assert f"{path}: the disk is full" in done.stdout
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_an_error_in_a_folder_leaves_the_old_folder(tmp_path: Path) -> None:
    final = tmp_path / "run"
    with publish_folder(final) as folder:
        (folder / "a").write_text("1")

    def fill() -> None:
        with publish_folder(final) as folder:
            (folder / "a").write_text("2")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInput, match="run: the disk is full"):
        fill()
    assert (final / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    with publish_folder(final) as folder:
        (folder / "b").write_text("3")
    assert [p.name for p in final.iterdir()] == ["b"]


def test_json_round_trips_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1, 2.5, None, "é"]})
    assert read_json(tmp_path / "x.json") == {"a": [1, 2.5, None, "é"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": [1, 2.5, None, "é"]}


def test_bad_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.json: expected a JSON file"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "half.json").write_text(json.dumps({"a": 1})[:-2])
    with pytest.raises(BadInput, match=r"half\.json: expected JSON"):
        read_json(tmp_path / "half.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(BadInput, match=r"deep\.json: expected JSON"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "big.json").write_text("[" + "1," * 1000 + "1]")
    with pytest.raises(BadInput, match=r"big\.json: expected at most 100 bytes"):
        read_json(tmp_path / "big.json", limit=100)


def test_sha256_of_a_known_string(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_atomic_file_is_readable_by_others(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as temporary:
        temporary.write_text("1")
    (tmp_path / "plain").write_text("1")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


NAMES = st.one_of(
    st.text(max_size=40),
    # What mappings to file names confuse: case, spaces, punctuation, composed and decomposed letters.
    st.text("aAbB -_.1λΛéÉßẞıİ()\u0301\u200b\u00a0", max_size=6),
    st.lists(st.sampled_from(["a", "B", "con", " ", "-", "_", "."]), max_size=5).map("".join),
)


def as_disks_see(folder: str) -> set[str]:
    """The name as a file system compares it: exactly, without case (Windows), decomposed (macOS), or both."""
    forms = {unicodedata.normalize(form, folder) for form in ("NFC", "NFD", "NFKC")}
    return forms | {unicodedata.normalize("NFC", form.casefold()) for form in forms}


@given(NAMES, NAMES)
def test_different_names_have_different_folders_on_every_disk(one: str, other: str) -> None:
    if one != other:
        assert not as_disks_see(folder_name(one)) & as_disks_see(folder_name(other))


@given(NAMES)
def test_a_folder_name_is_safe_and_always_the_same(name: str) -> None:
    folder = folder_name(name)
    assert folder == folder_name(name)
    assert folder
    # HFS+ stores decomposed letters; 255 is the limit of ext4, APFS and NTFS.
    assert len(unicodedata.normalize("NFD", folder).encode()) <= 255
    assert not set(folder) & set('/\\:*?"<>|\0')
    assert folder[0] not in ".- "
    assert folder[-1] not in ". "
    assert folder.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("nearest neighbour", "nearest-neighbour"),
        ("16 neighbours averaged", "16-neighbours-averaged"),
        ("two surrogates", "two-surrogates"),
        # sha256sum of the exact bytes, from coreutils
        ("ridge (1)", "ridge-1_fa25e118"),
        ("ridge λ=1", "ridge-λ-1_895bdf91"),
        ("", "_e3b0c442"),
    ],
)
def test_plain_names_stay_readable_and_others_get_a_digest(name: str, folder: str) -> None:
    assert folder_name(name) == folder


@pytest.mark.parametrize("name", ["con", "nul", "com1", "features", "checkpoints", "images", "wandb", "x" * 300])
def test_reserved_and_long_names_get_a_digest(name: str) -> None:
    """`features` is the run's own store of vectors; Windows opens a device for `con`."""
    assert folder_name(name) != name
    assert len(folder_name(name).encode()) <= 112


def test_marks_of_scripts_are_kept() -> None:
    assert folder_name("हिन्दी").startswith("हिन्दी_")


@pytest.mark.parametrize("other", ["Ridge", " ridge", "ridge ", "rid\u200bge", "\uff52idge", "RIDGE"])
def test_names_that_look_alike_share_a_key(other: str) -> None:
    assert likeness_key(other) == likeness_key("ridge")
    assert likeness_key("ridge 1") != likeness_key("ridge")
