"""Arrays and CIFAR-10: read as they are, without pickle, or refused in one line that says what to do."""

import pickle
import re
import zipfile
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

from featinv.data import arrays, cifar10
from featinv.errors import BadInput


def some_images(count: int = 5, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_an_npy_is_mapped_and_an_npz_read_with_its_labels(tmp_path: Path) -> None:
    raw, labels = some_images(), np.array([4, 0, 1, 1, 2], dtype=np.uint8)
    np.save(tmp_path / "x.npy", raw)
    np.save(tmp_path / "y.npy", labels)
    np.savez_compressed(tmp_path / "x.npz", images=raw, labels=labels, other=[1])
    mapped = arrays(tmp_path / "x.npy", labels=tmp_path / "y.npy", size=8)
    assert isinstance(mapped._pixels, np.memmap)
    packed = arrays(tmp_path / "x.npz")
    for images in (mapped, packed):
        np.testing.assert_array_equal(images.uint8(np.arange(5)), raw)
        assert images.labels is not None
        assert images.labels.tolist() == labels.tolist()
    assert packed.ids == tuple(f"x.npz:{row}" for row in range(5))
    assert mapped.fingerprint == packed.fingerprint
    assert arrays(tmp_path / "x.npy").labels is None


class Harmful:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_pickles_are_not_opened(tmp_path: Path, name: str) -> None:
    harmful = np.array([Harmful(tmp_path / "harm")], dtype=object)
    if name == "x.npy":
        np.save(tmp_path / name, harmful, allow_pickle=True)
    else:
        np.savez(tmp_path / name, images=harmful, allow_pickle=True)
    with pytest.raises(BadInput, match="without pickled objects"):
        arrays(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(BadInput, match="without pickled objects"):
        arrays(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, name: str, keep: float) -> None:
    np.save(tmp_path / "x.npy", some_images())
    np.savez(tmp_path / "x.npz", images=some_images())
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: int(keep * len(raw))])
    with pytest.raises(BadInput, match="truncated"):
        arrays(tmp_path / name)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", some_images())
    raw = (tmp_path / "images.npy").read_bytes()
    lying = raw.replace(b"(5, 8, 8, 3), }          ", b"(5000000, 800, 800, 3), }")
    assert lying != raw
    assert len(lying) == len(raw)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", lying)
    with pytest.raises(BadInput, match="says shape"):
        arrays(tmp_path / "x.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((200, 32, 32, 3), np.uint8))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    with pytest.raises(BadInput, match="at most 100000 bytes unpacked, got 614528"):
        arrays(tmp_path / "x.npz", limit_bytes=100_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((5, 3, 8, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((5, 8, 9, 3), np.uint8), r"got \(5, 8, 9, 3\)"),
        (np.zeros((5, 8, 8), np.uint8), "channels last"),
        (np.zeros((5, 8, 8, 3), np.float32), "uint8 in 0..255, got float32"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one image"),
    ],
)
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_other_shapes_and_types_are_not_guessed(tmp_path: Path, content: np.ndarray, words: str, form: str) -> None:
    path = tmp_path / f"x.{form}"
    if form == "npy":
        np.save(path, content)
    else:
        np.savez(path, images=content)
    with pytest.raises(BadInput, match=words) as caught:
        arrays(path)
    assert str(path) in str(caught.value)


def test_what_else_does_not_fit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", photos=some_images())
    np.savez(tmp_path / "both.npz", images=some_images(), labels=np.arange(5))
    np.savez(tmp_path / "short.npz", images=some_images(), labels=np.arange(4))
    np.save(tmp_path / "x.npy", some_images())
    np.save(tmp_path / "y.npy", np.zeros(5))
    (tmp_path / "x.txt").write_text("x")
    for call, words in [
        (lambda: arrays(tmp_path / "none.npy"), "found none"),
        (lambda: arrays(tmp_path / "x.txt"), r"ends in \.npy or \.npz"),
        (lambda: arrays(tmp_path / "other.npz"), '"images", got photos'),
        (lambda: arrays(tmp_path / "both.npz", labels=tmp_path / "y.npy"), "one source of labels"),
        (lambda: arrays(tmp_path / "short.npz"), "5 labels"),
        (lambda: arrays(tmp_path / "x.npy", labels=tmp_path / "y.npy"), "whole numbers"),
        (lambda: arrays(tmp_path / "x.npy", labels=tmp_path / "z.npy"), r"z\.npy: expected an \.npy"),
        (lambda: arrays(tmp_path / "x.npy", size=16), "expected images of 16 px, got 8 px"),
    ]:
        with pytest.raises(BadInput, match=words):
            call()


def test_cifar10_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="download=True"):
        cifar10(tmp_path, train=True)


def test_cifar10_is_read_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CIFAR-10 of two images a batch, whose checksums torchvision is told."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)

    def batch(name: str) -> tuple[str, str]:
        rows = generator.integers(0, 256, (2, 3 * 32 * 32), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [3, 7]}))
        return name, md5((folder / name).read_bytes()).hexdigest()

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{place}") for place in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {place}" for place in range(10)]}))
    checksum = md5((folder / "batches.meta").read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": checksum})
    train, test = cifar10(tmp_path, train=True), cifar10(tmp_path, train=False)
    assert (len(train), len(test), train.size) == (10, 2, 32)
    assert test.labels is not None
    assert test.labels.tolist() == [3, 7]
    assert test.ids == ("cifar10-test-00000", "cifar10-test-00001")
    raw = pickle.loads((folder / "test_batch").read_bytes())["data"][1].reshape(3, 32, 32)
    np.testing.assert_array_equal(test.uint8([1])[0], raw.transpose(1, 2, 0))
    (folder / "test_batch").write_bytes(b"changed")
    with pytest.raises(BadInput, match="damaged"):
        cifar10(tmp_path, train=False)


@pytest.mark.parametrize(
    "shape", [(5, 8, 8), (5, 8, 8, 1), (5, 1, 8, 8), (5, 3, 8, 8), (5, 8, 8, 4), (8, 8, 3), (3, 8, 8)]
)
def test_the_fix_that_is_named_makes_images_of_it(shape: tuple[int, ...], tmp_path: Path) -> None:
    """The message is taken at its word: what it says is run, and the result is read."""
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(BadInput) as refused:
        arrays(tmp_path / "x.npy")
    fix = str(refused.value).rpartition("; ")[2]
    expression = re.search(r"(numpy\.repeat\(.*\)|x\[.*?\]|\.transpose\(0, 2, 3, 1\))(?= |$)", fix)
    assert expression is not None, fix
    code = expression.group(1)
    mended = eval(f"x{code}" if code.startswith(".") else code, {"x": x, "numpy": np})  # our own message, in a test
    np.save(tmp_path / "mended.npy", mended)
    images = arrays(tmp_path / "mended.npy")
    assert len(images) == (1 if shape == (8, 8, 3) else shape[0])
