"""Vectors of strangers: every format round-trips, every bad file is refused in one line, nothing in it is executed."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file

from featinv import BadInput, Release, Vectors, load_features, pair
from featinv.data import ImageSet
from featinv.victim import features_must_match

Save = Callable[[Path, np.ndarray], None]


def _parquet_lists(path: Path, array: np.ndarray) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
    pq.write_table(pa.table({"other": pa.array(range(len(array))), "features": lists}), path)


def _parquet_variable(path: Path, array: np.ndarray) -> None:
    pq.write_table(pa.table({"features": pa.array(array.tolist(), pa.list_(pa.from_numpy_dtype(array.dtype)))}), path)


def _parquet_columns(path: Path, array: np.ndarray) -> None:
    columns = {f"f{i}": array[:, i] for i in range(array.shape[1])}
    pq.write_table(pa.table({"id": [f"p{i}" for i in range(len(array))], **columns, "year": [2026] * len(array)}), path)


SAVERS: dict[str, tuple[str, Save]] = {
    "npy": (".npy", np.save),
    "npy, columns first": (".npy", lambda p, a: np.save(p, np.asfortranarray(a))),
    "npy, big-endian": (".npy", lambda p, a: np.save(p, a.astype(a.dtype.newbyteorder(">")))),
    "npz": (".npz", lambda p, a: np.savez(p, features=a, labels=np.arange(3))),
    "npz, the only array": (".npz", lambda p, a: np.savez(p, vectors=a)),
    "npz, compressed": (".npz", lambda p, a: np.savez_compressed(p, a)),
    "safetensors": (
        ".safetensors",
        lambda p, a: save_file({"features": torch.from_numpy(a), "b": torch.zeros(1)}, p),
    ),
    "safetensors, the only tensor": (".safetensors", lambda p, a: save_file({"x": torch.from_numpy(a)}, p)),
    "pt": (".pt", lambda p, a: torch.save(torch.from_numpy(a), p)),
    "pt, a view of more": (".pt", lambda p, a: torch.save(torch.from_numpy(np.concatenate([a, a]))[: len(a)], p)),
    "pth, a dict": (".pth", lambda p, a: torch.save({"features": torch.from_numpy(a), "note": "x"}, p)),
    "pt, a parameter": (".PT", lambda p, a: torch.save(torch.nn.Parameter(torch.from_numpy(a)), p)),
    "parquet, lists of one size": (".parquet", _parquet_lists),
    "parquet, lists": (".parquet", _parquet_variable),
    "parquet, columns": (".parquet", _parquet_columns),
}
FLAT_ONLY = {name for name in SAVERS if name.startswith("parquet")}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", SAVERS)
def test_every_format_round_trips(tmp_path: Path, name: str, dtype: type) -> None:
    suffix, save = SAVERS[name]
    for shape in [(5, 3)] if name in FLAT_ONLY else [(5, 3), (4, 2, 3, 3)]:
        array = np.random.default_rng(0).normal(size=shape).astype(dtype)
        path = tmp_path / f"vectors{suffix}"
        save(path, array)
        loaded = load_features(str(path))
        assert loaded.features.dtype == np.float32
        assert np.array_equal(loaded.features, array.astype(np.float32))
        assert loaded.source == str(path)
        assert loaded.feature_shape == shape[1:]
        assert loaded.metadata["fingerprint"] is None
        assert loaded.metadata["feature_shape"] == list(shape[1:])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-9, 9, width=32))
)
def test_any_finite_array_passes_and_one_bad_number_names_its_row(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", array)
    assert np.array_equal(load_features(tmp_path / "v.npy").features, array)
    row = len(array) // 2
    array[row, -1], array[-1, 0] = np.inf, np.nan
    np.save(tmp_path / "w.npy", array)
    first = min(row, len(array) - 1)
    with pytest.raises(BadInput, match=rf"w\.npy: expected finite features, got NaN or infinity in row {first};"):
        load_features(tmp_path / "w.npy")


def test_half_precision_of_torch_is_read(tmp_path: Path) -> None:
    features = torch.randn(4, 3).bfloat16()
    save_file({"features": features}, tmp_path / "v.safetensors")
    torch.save(features, tmp_path / "v.pt")
    for name in ("v.safetensors", "v.pt"):
        assert np.array_equal(load_features(tmp_path / name).features, features.float())


def test_float32_npy_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((4, 3), dtype=np.float32))
    assert isinstance(load_features(tmp_path / "v.npy").features, np.memmap)


def test_ids_in_the_file_are_kept(tmp_path: Path) -> None:
    array = np.ones((3, 2), dtype=np.float32)
    np.savez(tmp_path / "v.npz", features=array, ids=np.array(["a", "b", "c"]))
    assert load_features(tmp_path / "v.npz").ids == ["a", "b", "c"]
    _parquet_columns(tmp_path / "v.parquet", array)
    assert load_features(tmp_path / "v.parquet").ids == ["p0", "p1", "p2"]


class Payload:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def _disguised(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps(payload))


def _object_npy(path: Path, payload: Payload) -> None:
    np.save(path, np.array([[payload]], dtype=object), allow_pickle=True)


def _object_npz(path: Path, payload: Payload) -> None:
    np.savez(path, features=np.array([[payload]], dtype=object), allow_pickle=True)


def _pickled_member(path: Path, payload: Payload) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", pickle.dumps(payload))


def _saved(path: Path, payload: Payload) -> None:
    torch.save({"features": payload}, path)


def _saved_before_zip(path: Path, payload: Payload) -> None:
    torch.save({"features": payload}, path, _use_new_zipfile_serialization=False)


PICKLES = [
    *[(suffix, _disguised) for suffix in (".npy", ".npz", ".pt", ".safetensors", ".parquet", ".pkl", ".joblib")],
    (".npy", _object_npy),
    (".npz", _object_npz),
    (".npz", _pickled_member),
    (".pt", _saved),
    (".pth", _saved_before_zip),
]


@pytest.mark.parametrize(("suffix", "save"), PICKLES)
def test_pickles_are_refused_and_not_executed(
    tmp_path: Path, suffix: str, save: Callable[[Path, Payload], None]
) -> None:
    path, executed = tmp_path / f"vectors{suffix}", tmp_path / "executed"
    save(path, Payload(executed))
    with pytest.raises(BadInput, match=f"vectors{suffix}: ") as caught:
        load_features(path)
    assert not executed.exists()
    assert "\n" not in str(caught.value)
    pickle.loads(pickle.dumps(Payload(executed)))
    assert executed.exists(), "the payload is real"


GOOD = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)


@pytest.mark.parametrize("name", SAVERS)
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    suffix, save = SAVERS[name]
    path = tmp_path / f"v{suffix}"
    save(path, GOOD)
    whole = path.read_bytes()
    for keep in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(BadInput, match=rf"v{suffix}: expected"):
            load_features(path)


@pytest.mark.parametrize("name", SAVERS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corrupted_files_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str, data: st.DataObject) -> None:
    suffix, save = SAVERS[name]
    path = tmp_path / f"v{suffix}"
    save(path, GOOD)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        loaded = load_features(path)
    except BadInput:
        return
    assert np.isfinite(loaded.features).all()


def _npz_bomb(path: Path) -> None:
    np.savez_compressed(path, features=np.zeros((1000, 1000), dtype=np.float32))


def _expanded(path: Path) -> None:
    torch.save(torch.zeros(1).expand(1000, 1000), path)


def _parquet_bomb(path: Path) -> None:
    pq.write_table(pa.table({"features": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(10**6)), 1000)}), path)


BOMBS = [
    (".npy", lambda p: np.save(p, np.zeros((1000, 1000), dtype=np.float32))),
    (".npz", _npz_bomb),
    (".pt", _expanded),
    (".parquet", _parquet_bomb),
    (".safetensors", lambda p: save_file({"features": torch.zeros(1000, 1000)}, p)),
]


@pytest.mark.parametrize(("suffix", "save"), BOMBS)
def test_more_bytes_than_allowed_are_refused(tmp_path: Path, suffix: str, save: Callable[[Path], None]) -> None:
    path = tmp_path / f"v{suffix}"
    save(path)
    with pytest.raises(BadInput, match=rf"v{suffix}: expected at most 500000 bytes, got \d+; raise limit_bytes"):
        load_features(path, limit_bytes=500_000)
    assert load_features(path).features.shape == (1000, 1000)


def test_an_npz_that_announces_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("features.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**8, 100)})
    with pytest.raises(BadInput, match=r"v\.npz: expected .*announces 40000000000 bytes"):
        load_features(path)


OTHER: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "one axis": (".npy", lambda p: np.save(p, np.ones(4)), r"expected vectors of shape \(N, D\) or .*got \(4,\)"),
    "three axes": (".npy", lambda p: np.save(p, np.ones((4, 2, 2))), r"got \(4, 2, 2\)"),
    "no rows": (".npz", lambda p: np.savez(p, np.ones((0, 4))), "expected at least one vector"),
    "no rows of npy": (".npy", lambda p: np.save(p, np.ones((0, 4))), "expected"),
    "no columns": (".pt", lambda p: torch.save(torch.ones(4, 0), p), "expected at least one vector"),
    "whole numbers": (".npy", lambda p: np.save(p, np.ones((4, 2), dtype=int)), "floating-point features, got int64"),
    "whole tensor": (
        ".pt",
        lambda p: torch.save(torch.ones(4, 2).long(), p),
        "got torch.int64",
    ),
    "strings": (".npz", lambda p: np.savez(p, np.array([["a"]])), "floating-point features, got <U1"),
    "records": (".npy", lambda p: np.save(p, np.zeros((2, 2), dtype=[("a", "f4")])), "floating-point features"),
    "complex": (".npy", lambda p: np.save(p, np.ones((2, 2), dtype=complex)), "got complex128"),
    "sparse": (".pt", lambda p: torch.save(torch.eye(3).to_sparse(), p), "dense floating-point features"),
    "meta": (".pt", lambda p: torch.save(torch.empty(3, 2, device="meta"), p), "dense floating-point features"),
    "a list": (".pt", lambda p: torch.save([torch.ones(2, 2)], p), "a tensor or a dict of tensors, got list"),
    "two arrays": (".npz", lambda p: np.savez(p, a=np.ones(2), b=np.ones(2)), "named features.*got 2: 'a' .*, 'b' "),
    "two tensors": (
        ".pt",
        lambda p: torch.save({"a": torch.ones(2, 2), "b": torch.ones(2, 2)}, p),
        "got 2: 'a' .*, 'b'",
    ),
    "no tensor": (".pt", lambda p: torch.save({"a": 1}, p), "got 0: none"),
    "no tensor at all": (".safetensors", lambda p: save_file({}, p), "got 0: none"),
    "beyond float32": (".npy", lambda p: np.save(p, np.array([[1.0], [1e300]])), "NaN or infinity in row 1"),
    "ids that are numbers": (
        ".npz",
        lambda p: np.savez(p, features=np.ones((2, 2)), ids=np.arange(2)),
        "'ids' to hold names",
    ),
    "too few ids": (".npz", lambda p: np.savez(p, features=np.ones((2, 2)), ids=np.array(["a"])), "one id for each"),
    "a text": (".npy", lambda p: p.write_text("1.0, 2.0"), r"expected a \.npy file of numbers"),
    "another suffix": (".xyz", lambda p: p.write_text("1.0, 2.0"), r"expected \.npy, \.npz.*got \.xyz"),
    "no suffix": ("", lambda p: p.write_text("1.0, 2.0"), "got a file without a suffix"),
    "parquet without numbers": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"a": ["x"]}), p),
        r"got 1: 'a' \(string\)",
    ),
    "parquet without rows": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"f0": pa.array([], pa.float32())}), p),
        "expected at least one vector",
    ),
    "parquet, null": (".parquet", lambda p: pq.write_table(pa.table({"f0": [1.0, None]}), p), "nulls in column f0"),
    "parquet, null in list": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"features": [[1.0, None], [1.0, 2.0]]}), p),
        "got nulls; leave such rows out",
    ),
    "parquet, ragged": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"features": [[1.0], [1.0, 2.0]]}), p),
        r"lists of one length, got \[1, 2\]",
    ),
    "parquet, text": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"features": ["x"]}), p),
        "lists of numbers",
    ),
    "parquet, whole": (
        ".parquet",
        lambda p: pq.write_table(pa.table({"features": [[1]]}), p),
        "floating-point numbers",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_bad_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    suffix, save, complaint = OTHER[name]
    path = tmp_path / f"vectors{suffix}"
    save(path)
    with pytest.raises(BadInput, match=complaint) as caught:
        load_features(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.npy: expected a file of vectors, found none"):
        load_features(tmp_path / "none.npy")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(BadInput, match=r"v\.parquet: parquet needs pyarrow.*featinv\[parquet\]"):
        load_features(tmp_path / "v.parquet")


def some_images(count: int = 4) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageSet(pixels, ids=[f"p{i}" for i in range(count)])


def test_vectors_are_paired_with_their_images(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", GOOD[:4])
    pairs = pair(load_features(tmp_path / "v.npy"), some_images())
    features, images = pairs.batch([2, 0])
    assert np.array_equal(features, GOOD[[2, 0]])
    assert torch.equal(images, some_images().batch([2, 0]))
    assert pairs.metadata["name"] == f"vectors of {tmp_path / 'v.npy'}"


def test_bare_vectors_can_be_a_release(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", GOOD[:4])
    vectors = load_features(tmp_path / "v.npy")
    published = Release(vectors.features, vectors.metadata, some_images())
    assert published.feature_shape == (4,)
    with pytest.raises(BadInput, match="expected one vector for each of the 5 private images, got 4"):
        Release(vectors.features, vectors.metadata, some_images(5))


def test_another_count_than_the_images_is_refused() -> None:
    vectors = Vectors(np.ones((900, 2), dtype=np.float32), "vectors.npy")
    with pytest.raises(BadInput, match=r"^vectors\.npy: 900 vectors for 1000 images; give the images that"):
        pair(vectors, some_images(1000))


def test_names_in_another_order_are_put_in_the_order_of_the_images() -> None:
    vectors = Vectors(GOOD[:4], "vectors.npz", ids=["p0", "p2", "p1", "p3"])
    assert np.array_equal(pair(vectors, some_images()).features(range(4)), GOOD[[0, 2, 1, 3]])
    with pytest.raises(BadInput, match=r"^vectors\.npz: has no vector of 1 of 4 images \(the first: 'p3'\).* 'q3'"):
        pair(Vectors(GOOD[:4], "vectors.npz", ids=["p0", "p2", "p1", "q3"]), some_images())
    with pytest.raises(BadInput, match=r"^vectors\.npz: expected every id once, got 'p0' in row 3 and 'p0' in row 0"):
        pair(Vectors(GOOD[:4], "vectors.npz", ids=["p0", "p2", "p1", "p0"]), some_images())


def test_vectors_of_another_width_than_the_attack_are_refused() -> None:
    vectors = Vectors(GOOD, "vectors.npy")
    with pytest.raises(
        BadInput, match=r"expected shape \(N, 64\) .* resnet20, got \(N, 4\) from vectors of vectors\.npy"
    ):
        features_must_match({"name": "resnet20", "feature_shape": [64]}, vectors.metadata)


def test_vectors_made_by_hand_are_held_to_float32() -> None:
    with pytest.raises(BadInput, match=r"^here: expected float32, got float64"):
        Vectors(np.ones((3, 2)), "here")


def test_the_vectors_are_chosen_by_rule_and_that_is_said(tmp_path: Path) -> None:
    """A guess that ignores the obvious column would audit two numbers in place of a vector."""
    table = {"id": ["a", "b"], "similarity": [0.5, 0.1], "aspect_ratio": [1.0, 1.0], "embedding": [[1.0, 2.0, 3.0]] * 2}
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    loaded = load_features(tmp_path / "v.parquet")
    assert loaded.features.tolist() == [[1, 2, 3]] * 2
    assert loaded.notes == ("vectors from 'embedding' of 4 in the file; ids from 'id'",)
    np.savez(tmp_path / "v.npz", scores=np.ones(2), labels=np.arange(2), vector=np.full((2, 3), 7.0))
    assert load_features(tmp_path / "v.npz").features.tolist() == [[7, 7, 7]] * 2
    assert load_features(tmp_path / "v.npz").notes == ("vectors from 'vector' of 3 in the file; no ids",)


ONE_LIST, FLAGS = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]
CHOSEN: dict[str, dict[str, Any]] = {
    "a name before another list": {"boxes": FLAGS, "embeddings": ONE_LIST},
    "features before all names": {"embedding": FLAGS, "features": ONE_LIST},
    "the only list": {"clip": ONE_LIST, "score": [0.1, 0.2], "tags": [["x"], ["y", "z"]]},
    "large lists": {"clip": pa.array(ONE_LIST, pa.large_list(pa.float64()))},
    "half precision": {"clip": pa.array(np.array(ONE_LIST, np.float16).tolist(), pa.list_(pa.float16()))},
    "lists of one size": {"clip": pa.array(ONE_LIST, pa.list_(pa.float32(), 2))},
    "numbered columns, in the order of numbers": {"f1": [2.0, 4.0], "f0": [1.0, 3.0], "year": [1, 2]},
}


@pytest.mark.parametrize("name", CHOSEN)
def test_parquet_columns_that_can_be_meant(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table(CHOSEN[name]), tmp_path / "v.parquet")
    assert load_features(tmp_path / "v.parquet").features.tolist() == ONE_LIST


REFUSED: dict[str, dict[str, Any]] = {
    "two lists": {"clip": ONE_LIST, "boxes": FLAGS},
    "two names": {"embedding": ONE_LIST, "vector": FLAGS},
    "a list of whole numbers beside": {"int8": [[1, 2], [3, 4]], "box": FLAGS},
    "numbers that are no vector": {"similarity": [0.1, 0.2], "aspect_ratio": [1.0, 1.0]},
    "one number": {"score": [0.1, 0.2]},
    "numbered columns and others": {"f0": [0.1, 0.2], "f1": [1.0, 1.0], "score": [1.0, 1.0]},
    "a number missing": {"f0": [0.1, 0.2], "f2": [1.0, 1.0]},
    "two families": {"f0": [0.1, 0.2], "g1": [1.0, 1.0]},
    "a nested list": {"tokens": [[[1.0]], [[2.0]]], "pooled": ONE_LIST},
}


@pytest.mark.parametrize("name", REFUSED)
def test_columns_that_are_no_obvious_choice_are_refused_and_listed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({**REFUSED[name]}), path)
    with pytest.raises(BadInput, match=r"expected vectors named features.*say which with --column") as caught:
        load_features(path)
    assert all(repr(column) in str(caught.value) for column in REFUSED[name])


def test_a_column_can_be_said(tmp_path: Path) -> None:
    pq.write_table(pa.table({"clip": ONE_LIST, "boxes": FLAGS}), tmp_path / "v.parquet")
    np.savez(tmp_path / "v.npz", clip=ONE_LIST, boxes=FLAGS)
    save_file({"clip": torch.tensor(ONE_LIST), "boxes": torch.tensor(FLAGS)}, tmp_path / "v.safetensors")
    torch.save({"clip": torch.tensor(ONE_LIST), "boxes": torch.tensor(FLAGS)}, tmp_path / "v.pt")
    for suffix in ("parquet", "npz", "safetensors", "pt"):
        assert load_features(tmp_path / f"v.{suffix}", column="clip").features.tolist() == ONE_LIST
        with pytest.raises(BadInput, match=rf"v\.{suffix}: expected vectors in 'dino' as asked, got 2: '"):
            load_features(tmp_path / f"v.{suffix}", column="dino")
    np.save(tmp_path / "v.npy", ONE_LIST)
    with pytest.raises(BadInput, match=r"v\.npy: expected no --column or --id-column, got 'clip'"):
        load_features(tmp_path / "v.npy", column="clip")


@pytest.mark.parametrize(("pattern", "first"), [("part_{}.npy", 0), ("img_emb_{:04d}.npy", 1), ("{}.npy", 0)])
def test_numbered_files_are_one_array_in_the_order_of_numbers(tmp_path: Path, pattern: str, first: int) -> None:
    """As text, part_10 comes before part_2."""
    whole = np.random.default_rng(0).normal(size=(36, 3)).astype(np.float16)
    for number in range(12):
        np.save(tmp_path / pattern.format(number + first), whole[3 * number : 3 * number + 3])
    loaded = load_features(tmp_path)
    assert np.array_equal(loaded.features, whole.astype(np.float32))
    assert loaded.ids is None
    assert "12 files in the order of their numbers" in loaded.notes[0]
    (tmp_path / "ids.json").write_text(str([f"{row}.png" for row in range(36)]).replace("'", '"'))
    assert load_features(tmp_path).ids == [f"{row}.png" for row in range(36)]
    with pytest.raises(BadInput, match="expected at most 200 bytes, got 216"):
        load_features(tmp_path, limit_bytes=200)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part-0.gguf").write_bytes(b"")
    with pytest.raises(BadInput, match=r"expected a folder of vectors, got one with 'part-0\.gguf'; give"):
        load_features(tmp_path)


def test_one_numbered_file_stays_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "part_0.npy", np.ones((4, 3), dtype=np.float32))
    assert isinstance(load_features(tmp_path).features, np.memmap)


FOLDERS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "a number is missing": ({"p_0": (2, 3), "p_2": (2, 3)}, "every number from 0 on, .* without 1"),
    "the first is missing": ({"p_2": (2, 3), "p_3": (2, 3)}, "every number from 1 on, .* without 1"),
    "a huge number": ({"p_0": (2, 3), "p_99999999999999999": (2, 3)}, "without 1"),
    "a number is there twice": ({"p_1": (2, 3), "p_01": (2, 3)}, "each number once, got 'p_01.npy' and 'p_1.npy'"),
    "two prefixes": ({"img_0": (2, 3), "text_1": (2, 3)}, "files of one prefix, got 'img_0.npy' and 'text_1.npy'"),
    "two widths": ({"p_0": (2, 3), "p_1": (2, 4)}, r"vectors of shape \(N, 3\) as in p_0.npy, got float64 of shape"),
    "one axis": ({"p_0": (2,), "p_1": (2,)}, r"got float64 of shape \(2,\)"),
    "another file": ({"p_0": (2, 3), "names": (2, 3)}, "numbered .npy files and ids.json only, got 'names.npy'"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_that_are_no_array_in_parts_are_refused(tmp_path: Path, name: str) -> None:
    files, complaint = FOLDERS[name]
    for file, shape in files.items():
        np.save(tmp_path / f"{file}.npy", np.ones(shape))
    with pytest.raises(BadInput, match=complaint) as caught:
        load_features(tmp_path)
    assert "\n" not in str(caught.value)


def _store(path: Path, array: np.ndarray) -> None:
    """A feature store of two shards, written by hand as docs say that it looks."""
    path.mkdir()
    np.save(path / "view0-00000.npy", array[:4])
    np.save(path / "view0-00001.npy", array[4:])
    (path / "ids.json").write_text(json.dumps([f"p{row}" for row in range(len(array))]))
    manifest = {"schema": 1, "victim": {"name": "x"}, "dtype": "float32", "feature_shape": [array.shape[1]]}
    manifest |= {"views": 1, "block": 4, "seed": 0, "count": len(array), "image_size": 8}
    (path / "manifest.json").write_text(json.dumps(manifest))


def _parts(path: Path, array: np.ndarray) -> None:
    path.mkdir()
    np.save(path / "part_0.npy", array[:4])
    np.save(path / "part_1.npy", array[4:])
    (path / "ids.json").write_text(json.dumps([f"p{row}" for row in range(len(array))]))


def _named_npz(path: Path, array: np.ndarray) -> None:
    np.savez(path, features=array, ids=np.array([f"p{row}" for row in range(len(array))]))


def _named_torch(path: Path, array: np.ndarray) -> None:
    torch.save({f"p{row}": torch.from_numpy(vector.copy()) for row, vector in enumerate(array)}, path)


def _named_safetensors(path: Path, array: np.ndarray) -> None:
    ids = json.dumps([f"p{row}" for row in range(len(array))])
    save_file({"features": torch.from_numpy(array)}, path, metadata={"ids": ids})


NAMED: dict[str, Save] = {
    "store": _store,
    "parts": _parts,
    "v.npz": _named_npz,
    "v.pt": _named_torch,
    "v.safetensors": _named_safetensors,
    "v.parquet": _parquet_columns,
}


@pytest.mark.parametrize("name", NAMED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_with_names_are_read_or_refused_in_one_line(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    path = tmp_path / name
    if not path.exists():
        NAMED[name](path, GOOD)
        assert load_features(path).ids == [f"p{row}" for row in range(len(GOOD))]
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    damaged = bytearray(whole)
    # The first hundred bytes are headers, which numbers outnumber.
    last = data.draw(st.sampled_from([min(100, len(damaged)) - 1, len(damaged) - 1]))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    file.write_bytes(damaged)
    loaded, refusal = _read_or_refused(path)
    file.write_bytes(whole)
    if loaded is None:
        assert len(refusal.splitlines()) == 1
    else:
        assert np.isfinite(loaded.features).all()
        assert loaded.ids is None or len(loaded.ids) == len(loaded.features)


def _read_or_refused(path: Path) -> tuple[Vectors | None, str]:
    try:
        return load_features(path), ""
    except BadInput as error:
        return None, str(error)


@pytest.mark.parametrize("header", ["{'descr': '<f4", "{'descr': (((((", "{'descr'\\\n", "{" * 110, "\x00" * 110])
def test_a_shard_whose_header_is_no_header_is_named(tmp_path: Path, header: str) -> None:
    """What numpy's parser raises for these is no ValueError: tokenize.TokenError, SyntaxError, MemoryError, ..."""
    _store(tmp_path / "store", GOOD)
    shard = tmp_path / "store" / "view0-00001.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:10] + header.encode().ljust(118)[:118] + whole[128:])
    with pytest.raises(BadInput, match=r"view0-00001\.npy: expected features of .*missing or damaged file"):
        load_features(tmp_path / "store")
