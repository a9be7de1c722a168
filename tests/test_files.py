"""Nothing is half-written: a failure leaves what was there."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from featinv.errors import BadInput
from featinv.files import atomic_file, publish_folder, read_json, sha256_file, write_json

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
