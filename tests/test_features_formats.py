"""Vectors as people keep them: HDF5, FAISS, Arrow, `datasets`, Lance, CSV, JSON Lines, clip-retrieval, in shards."""

import csv
import importlib.util
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import featinv as fi
from featinv import BadInput, load_features
from featinv.features.loading import content_digest
from featinv.features.matching import match_ids

IDS = ["b/007.png", "a/1.png", "ü 2.jpg", "c.png", "d, e.png"]
GOOD = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)

Save = Callable[[Path, np.ndarray, list[str]], None]


def needs(*packages: str) -> Any:
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} not installed")


def _hdf5(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["group/embeddings"] = vectors
        file["group/labels"] = np.arange(len(vectors))
        file["ids"] = ids


def _hdf5_bytes(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=vectors, compression="gzip", chunks=(2, 2))
        file["filename"] = np.array([name.encode() for name in ids])


def _faiss(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors.astype(np.float32))
    faiss.write_index(index, str(path))
    path.with_suffix(".ids.json").write_text(json.dumps(ids), encoding="utf-8")


def _npy_beside(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    np.save(path, vectors)
    path.with_suffix(".ids.json").write_text(json.dumps(ids), encoding="utf-8")


def _csv(path: Path, vectors: np.ndarray, ids: list[str], separator: str = ",") -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerow(["label", "path", *(f"f{number}" for number in range(vectors.shape[1]))])
        rows.writerows([7, name, *map(repr, row.tolist())] for name, row in zip(ids, vectors, strict=True))


def _csv_lists(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["", "embedding", "image_path"])
        rows.writerows(
            [row, json.dumps(vector.tolist()), name]
            for row, (vector, name) in enumerate(zip(vectors, ids, strict=True))
        )


def _jsonl(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    lines = [
        json.dumps({"id": name, "label": 3, "embedding": row.tolist()}) for name, row in zip(ids, vectors, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")


def _table(vectors: np.ndarray, ids: list[str]) -> pa.Table:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table({"score": [0.5] * len(ids), "embedding": lists, "file_name": ids})


def _arrow(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _table(vectors, ids).schema) as writer:
        writer.write_table(_table(vectors, ids), max_chunksize=2)


def _arrow_stream(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, _table(vectors, ids).schema) as writer:
        writer.write_table(_table(vectors, ids), max_chunksize=2)


def _datasets_by_hand(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    path.mkdir()
    names = [f"data-0000{number}-of-00002.arrow" for number in range(2)]
    for name, part in zip(names, (slice(0, 2), slice(2, None)), strict=True):
        _arrow_stream(path / name, vectors[part], ids[part])
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


def _datasets(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import datasets

    columns = {"key": ids, "features": list(vectors), "label": list(range(len(ids)))}
    datasets.Dataset.from_dict(columns).save_to_disk(str(path), num_shards=2)


def _lance(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import lance

    lance.write_dataset(_table(vectors, ids), str(path), max_rows_per_file=2)


def _clip_retrieval(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    (path / "img_emb").mkdir(parents=True)
    (path / "metadata").mkdir()
    (path / "text_emb").mkdir()
    for number, part in enumerate((slice(0, 3), slice(3, None))):
        np.save(path / f"img_emb/img_emb_{number}.npy", vectors[part])
        np.save(path / f"text_emb/text_emb_{number}.npy", -vectors[part])
        captions = [f"a caption {row}" for row in range(len(ids[part]))]
        pq.write_table(
            pa.table({"caption": captions, "image_path": ids[part]}), path / f"metadata/metadata_{number}.parquet"
        )


def in_shards(save: Save, suffix: str) -> Save:
    def shards(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
        path.mkdir()
        # 10 comes before 2 as text.
        for number in range(1, len(ids) + 1):
            save(path / f"part-{number}{suffix}", vectors[number - 1 : number], ids[number - 1 : number])
        (path / f".{suffix}.tmp").write_text("left over")

    return shards


def _parquet(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    pq.write_table(_table(vectors, ids), path)


FILES: dict[str, tuple[str, Save, tuple[str, ...]]] = {
    "hdf5": (".h5", _hdf5, ("h5py",)),
    "hdf5, compressed, bytes": (".hdf5", _hdf5_bytes, ("h5py",)),
    "faiss": (".faiss", _faiss, ("faiss",)),
    "npy with names beside": (".npy", _npy_beside, ()),
    "csv": (".csv", _csv, ()),
    "csv, lists": (".csv", _csv_lists, ()),
    "tsv": (".tsv", lambda p, v, i: _csv(p, v, i, "\t"), ()),
    "jsonl": (".jsonl", _jsonl, ()),
    "arrow": (".arrow", _arrow, ()),
    "feather": (".feather", _arrow, ()),
    "arrow stream": (".arrow", _arrow_stream, ()),
}
FOLDERS: dict[str, tuple[Save, tuple[str, ...]]] = {
    "datasets, written here": (_datasets_by_hand, ()),
    "datasets": (_datasets, ("datasets",)),
    "lance": (_lance, ("lance",)),
    "clip-retrieval": (_clip_retrieval, ()),
    "parquet in shards": (in_shards(_parquet, ".parquet"), ()),
    "jsonl in shards": (in_shards(_jsonl, ".jsonl"), ()),
    "csv in shards": (in_shards(_csv, ".csv"), ()),
    "hdf5 in shards": (in_shards(_hdf5, ".h5"), ("h5py",)),
}
EVERY = [
    *(pytest.param(suffix, save, id=name, marks=needs(*packages)) for name, (suffix, save, packages) in FILES.items()),
    *(pytest.param("", save, id=name, marks=needs(*packages)) for name, (save, packages) in FOLDERS.items()),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("suffix", "save"), EVERY)
def test_every_vector_keeps_its_name(tmp_path: Path, suffix: str, save: Save, dtype: type) -> None:
    vectors = GOOD.astype(dtype)
    path = tmp_path / f"vectors{suffix}"
    save(path, vectors, IDS)
    loaded = load_features(path)
    assert loaded.features.dtype == np.float32
    assert loaded.ids is not None
    assert dict(zip(loaded.ids, loaded.features.tolist(), strict=True)) == dict(
        zip(IDS, vectors.astype(np.float32).tolist(), strict=True)
    )
    assert any("ids from" in note for note in loaded.notes), loaded.notes


@pytest.mark.parametrize(("suffix", "save"), EVERY)
def test_names_decide_whatever_the_order_of_the_rows(tmp_path: Path, suffix: str, save: Save) -> None:
    order = np.array([3, 0, 4, 2, 1])
    path = tmp_path / f"vectors{suffix}"
    save(path, GOOD[order], [IDS[row] for row in order])
    loaded = load_features(path)
    assert np.array_equal(loaded.features[match_ids(loaded, IDS)], GOOD)


@pytest.mark.parametrize(("suffix", "save"), EVERY)
def test_names_can_be_left_out(tmp_path: Path, suffix: str, save: Save) -> None:
    path = tmp_path / f"vectors{suffix}"
    save(path, GOOD, IDS)
    loaded = load_features(path, id_column="none")
    assert loaded.ids is None
    assert np.array_equal(loaded.features, GOOD)


@pytest.mark.parametrize(("suffix", "save"), EVERY)
def test_the_digest_changes_with_any_number(tmp_path: Path, suffix: str, save: Save) -> None:
    first, second = tmp_path / f"one/v{suffix}", tmp_path / f"two/v{suffix}"
    for path, vectors in ((first, GOOD), (second, GOOD + np.eye(5, 4, dtype=np.float32))):
        path.parent.mkdir()
        save(path, vectors, IDS)
    assert content_digest(first) != content_digest(second)
    # A copy has the digest of the original.
    copy = tmp_path / "three"
    shutil.copytree(first.parent, copy)
    assert content_digest(copy / f"v{suffix}") == content_digest(first)


def test_names_beside_an_array_belong_to_its_digest(tmp_path: Path) -> None:
    _npy_beside(tmp_path / "v.npy", GOOD, IDS)
    before = content_digest(tmp_path / "v.npy")
    (tmp_path / "v.ids.json").write_text(json.dumps(IDS[::-1]))
    assert content_digest(tmp_path / "v.npy") != before


@pytest.mark.parametrize("name", FILES)
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    suffix, save, packages = FILES[name]
    if any(importlib.util.find_spec(package) is None for package in packages):
        pytest.skip(f"{packages[0]} not installed")
    path = tmp_path / f"v{suffix}"
    save(path, GOOD, IDS)
    whole = path.read_bytes()
    for keep in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        # A text file that is cut is still one; what is lost must not go unnoticed.
        if suffix in (".csv", ".tsv", ".jsonl") and keep == len(whole) - 1:
            assert load_features(path).ids == IDS
            continue
        with pytest.raises(BadInput) as caught:
            load_features(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corrupted_files_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str, data: st.DataObject) -> None:
    suffix, save, packages = FILES[name]
    if any(importlib.util.find_spec(package) is None for package in packages):
        pytest.skip(f"{packages[0]} not installed")
    path = tmp_path / f"v{suffix}"
    save(path, GOOD, IDS)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        loaded = load_features(path)
    except BadInput:
        return
    assert np.isfinite(loaded.features).all()


def _write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _hdf5_of(**entries: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            for name, value in entries.items():
                file[name] = value

    return write


def _hdf5_elsewhere(path: Path) -> None:
    import h5py

    (path.parent / "secret.bin").write_bytes(np.ones((5, 4), np.float32).tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("features", (5, 4), np.float32, external=[(str(path.parent / "secret.bin"), 0, 80)])


def _hdf5_promise(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("features", (2**30, 2**10), np.float32, chunks=(1, 2**10))


def _faiss_of(make: Callable[[Any], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import faiss

        faiss.write_index(make(faiss), str(path))

    return write


def _quantised(faiss: Any) -> Any:
    index = faiss.IndexScalarQuantizer(4, faiss.ScalarQuantizer.QT_8bit)
    index.train(GOOD)
    index.add(GOOD)
    return index


def _numbered(faiss: Any) -> Any:
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(4))
    index.add_with_ids(GOOD, np.array([30, 10, 20, 50, 40]))
    return index


def _faiss_promise(path: Path) -> None:
    head = struct.pack("<4siqqq?i", b"IxF2", 2**20, 2**40, 0, 0, True, 1)
    path.write_bytes(head + struct.pack("<Q", 2**60))


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "csv, text in a number": (
        ".csv",
        _write("id,f0,f1\na,1,2\nb,x,2\n"),
        "expected numbers in every row, got 'x' in row 2",
    ),
    "csv, an empty cell": (".csv", _write("id,f0,f1\na,1,2\nb,,2\n"), "got '' in row 2"),
    "csv, ragged": (".csv", _write("id,f0,f1\na,1,2\nb,1\n"), "expected 3 columns in every row, got 2 in row 2"),
    "csv, lists of two widths": (
        ".csv",
        _write('id,v\na,"[1, 2]"\nb,"[1]"\n'),
        "vectors of one width, got 2 .* and 1 in line 2",
    ),
    "csv, a shortened list": (".csv", _write('id,v\na,"[1 2 ... 3]"\n'), "expected a list of numbers"),
    "csv, NaN": (".csv", _write("id,f0,f1\na,1,2\nb,nan,2\n"), r"NaN or infinity in row 1 \(b\)"),
    "csv, two runs": (".csv", _write("id,a0,a1,b0,b1\nx,1,2,3,4\n"), "expected vectors named .* got 5: 'id'"),
    "csv, a number beside": (".csv", _write("id,f0,f1,score\nx,1,2,0.5\n"), "expected vectors named"),
    "csv, a gap": (".csv", _write("id,f0,f2\nx,1,2\n"), "expected vectors named"),
    "csv, a run that begins late": (".csv", _write("id,f5,f6\nx,1,2\n"), "expected vectors named"),
    "csv, headings twice": (".csv", _write("id,f0,f0\nx,1,2\n"), "'f0' twice"),
    "csv, headings alone": (".csv", _write("id,f0,f1\n"), "headings alone"),
    "csv, two columns of names": (".csv", _write("path,file,f0,f1\nx,y,1,2\n"), "one entry that names the images"),
    "csv, a quote that never ends": (".csv", _write('id,f0,f1\n"x,1,2\n'), "expected a CSV file"),
    "csv, another encoding": (".csv", lambda p: p.write_bytes("id,f0,f1\nü,1,2\n".encode("latin-1")), "in UTF-8"),
    "jsonl, two widths": (".jsonl", _write('{"id": "a", "v": [1, 2]}\n{"id": "b", "v": [1]}'), "of one width"),
    "jsonl, no key": (".jsonl", _write('{"id": "a", "v": [1, 2]}\n{"id": "b"}'), "got no such key in line 2"),
    "jsonl, a null in it": (".jsonl", _write('{"id": "a", "v": [1, 2]}\n{"id": "b", "v": [1, null]}'), "line 2"),
    "jsonl, a name that is null": (
        ".jsonl",
        _write('{"id": "a", "v": [1, 2]}\n{"id": null, "v": [1, 2]}'),
        "a null in row 1",
    ),
    "jsonl, infinity": (".jsonl", _write('{"id": "a", "v": [1, Infinity]}'), r"row 0 \(a\)"),
    "jsonl, a huge number": (".jsonl", _write('{"id": "a", "v": [1' + "0" * 400 + "]}"), "JSON Lines"),
    "jsonl, one list": (".jsonl", _write("[1, 2]"), "expected a JSON object in every line, got list in line 1"),
    "jsonl, deep": (".jsonl", _write("[" * 100_000), "JSON Lines"),
    "jsonl, empty": (".jsonl", _write("\n"), "empty file"),
    "hdf5, two arrays": (".h5", _hdf5_of(a=GOOD, b=GOOD), "got 2: 'a' .*, 'b' "),
    "hdf5, names of another number": (".h5", _hdf5_of(features=GOOD, ids=["x"]), "one id for each of 5 vectors"),
    "hdf5, whole numbers": (".h5", _hdf5_of(features=np.eye(3, dtype=int)), "floating-point features, got int64"),
    "hdf5, data elsewhere": (".h5", _hdf5_elsewhere, "got data that lies in others"),
    "hdf5, more than allowed": (".h5", _hdf5_promise, "expected at most"),
    "hdf5, numbers as ids": (".h5", _hdf5_of(features=GOOD, ids=np.arange(5)), "'ids' to hold names as text"),
    "faiss, quantised": (".index", _faiss_of(_quantised), r"got b'IxSQ'; write its vectors to \.npz"),
    "faiss, numbers as ids": (".index", _faiss_of(_numbered), "'ids' to hold names as text, got int64"),
    "faiss, more than it holds": (".index", _faiss_promise, "truncated or something else"),
    "faiss, something else": (".faiss", _write("not an index at all, but a text of some length"), "a flat FAISS index"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    suffix, write, complaint = BAD[name]
    for kind, package in (("hdf5", "h5py"), ("faiss", "faiss")):
        if name.startswith(kind) and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} not installed")
    path = tmp_path / f"v{suffix}"
    write(path)
    with pytest.raises(BadInput, match=complaint) as caught:
        load_features(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@needs("faiss")
def test_the_numbers_of_an_id_map_name_images_when_asked(tmp_path: Path) -> None:
    _faiss_of(_numbered)(tmp_path / "v.index")
    loaded = load_features(tmp_path / "v.index", id_column="ids")
    names = ["10.png", "20.png", "30.png", "40.png", "50.png"]
    assert np.array_equal(loaded.features[match_ids(loaded, names)], GOOD[[1, 2, 0, 4, 3]])


@needs("faiss")
def test_a_flat_index_says_that_it_names_nothing(tmp_path: Path) -> None:
    _faiss(tmp_path / "v.faiss", GOOD, IDS)
    (tmp_path / "v.ids.json").unlink()
    loaded = load_features(tmp_path / "v.faiss")
    assert loaded.ids is None
    assert loaded.notes == ("a flat FAISS index; no ids",)


def test_csv_without_headings_is_all_vector(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "v.csv", GOOD)
    loaded = load_features(tmp_path / "v.csv")
    assert np.allclose(loaded.features, GOOD, atol=1e-7)
    assert loaded.ids is None
    assert loaded.notes == ("no line of headings: vectors of all 4 columns; no ids",)


def test_zeros_in_front_of_a_name_are_kept(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,f0,f1\n007,1,2\n7,3,4\n")
    loaded = load_features(tmp_path / "v.csv")
    assert loaded.ids == ["007", "7"]
    assert loaded.features[match_ids(loaded, ["7.png", "007.png"])].tolist() == [[3, 4], [1, 2]]


def test_pandas_csv_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas not installed")
    pandas.DataFrame(GOOD, index=IDS).to_csv(tmp_path / "named.csv")
    assert load_features(tmp_path / "named.csv").ids == IDS
    pandas.DataFrame(GOOD).to_csv(tmp_path / "v.csv")
    loaded = load_features(tmp_path / "v.csv")
    assert loaded.ids is None
    assert np.array_equal(loaded.features, GOOD)


def broken(save: Save, change: Callable[[Path], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        save(path, GOOD, IDS)
        change(path)

    return write


def _widths_differ(path: Path) -> None:
    np.save(path / "img_emb/img_emb_1.npy", GOOD[3:, :3])


def _a_row_less(path: Path) -> None:
    table = pq.read_table(path / "metadata/metadata_1.parquet")
    pq.write_table(table.slice(1), path / "metadata/metadata_1.parquet")


PARQUETS = in_shards(_parquet, ".parquet")
JSONLS = in_shards(_jsonl, ".jsonl")
BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "clip-retrieval, widths": (broken(_clip_retrieval, _widths_differ), r"img_emb_1\.npy: expected .*shape \(N, 4\)"),
    "clip-retrieval, a row less": (
        broken(_clip_retrieval, _a_row_less),
        "a row for each of 2 vectors in img_emb_1.npy, got 1",
    ),
    "clip-retrieval, no metadata of a part": (
        broken(_clip_retrieval, lambda p: (p / "metadata/metadata_1.parquet").unlink()),
        "expected the metadata of every part, got none of 'img_emb_1.npy'",
    ),
    "clip-retrieval, a part is missing": (
        broken(_clip_retrieval, lambda p: (p / "img_emb/img_emb_1.npy").rename(p / "img_emb/img_emb_2.npy")),
        "expected every shard from 0 to 2, got 2",
    ),
    "parquet, a shard is missing": (
        broken(PARQUETS, lambda p: (p / "part-3.parquet").unlink()),
        "expected every shard from 1 to 5, got 4 of them .*: 3",
    ),
    "parquet, another column": (
        broken(PARQUETS, lambda p: pq.write_table(pa.table({"x": [1.0]}), p / "part-3.parquet")),
        "expected a column 'embedding' .* as in part-1.parquet, got no such column",
    ),
    "parquet, widths": (
        broken(PARQUETS, lambda p: _parquet(p / "part-3.parquet", GOOD[:1, :3], IDS[:1])),
        "expected a column 'embedding' of fixed_size_list.*4.* got fixed_size_list",
    ),
    "jsonl, widths": (
        broken(JSONLS, lambda p: _jsonl(p / "part-3.jsonl", GOOD[:1, :3], IDS[:1])),
        r"part-3\.jsonl: expected .*shape \(N, 4\) as in part-1\.jsonl",
    ),
    "jsonl, names in some": (
        broken(JSONLS, lambda p: (p / "part-3.jsonl").write_text('{"embedding": [1, 2, 3, 4]}')),
        "ids in every file or in none, got none in 'part-3.jsonl'",
    ),
    "jsonl, another prefix": (
        broken(JSONLS, lambda p: (p / "part-5.jsonl").rename(p / "rest-5.jsonl")),
        "expected shards of one name",
    ),
    "datasets, a file is missing": (
        broken(_datasets_by_hand, lambda p: (p / "data-00001-of-00002.arrow").unlink()),
        "expected the file 'data-00001-of-00002.arrow', found none",
    ),
    "datasets, a way out": (
        broken(_datasets_by_hand, lambda p: (p / "state.json").write_text('{"_data_files": [{"filename": "../x"}]}')),
        "expected the names of Arrow files",
    ),
    "datasets, several splits": (
        broken(_datasets_by_hand, lambda p: (p / "dataset_dict.json").write_text('{"splits": ["train"]}')),
        "expected one split",
    ),
    "a mixture": (
        broken(JSONLS, lambda p: (p / "x.csv").write_text("")),
        "expected a folder of vectors, got one with",
    ),
    "nothing": (Path.mkdir, "got one with nothing"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    write, complaint = BAD_FOLDERS[name]
    write(tmp_path / "v")
    with pytest.raises(BadInput, match=complaint) as caught:
        load_features(tmp_path / "v")
    assert str(caught.value).startswith(str(tmp_path / "v"))
    assert "\n" not in str(caught.value)


def test_clip_retrieval_without_its_metadata_is_not_taken_for_numbered_arrays(tmp_path: Path) -> None:
    _clip_retrieval(tmp_path / "v", GOOD, IDS)
    with pytest.raises(BadInput, match=r"the names lie beside this folder; give .*v, which holds both"):
        load_features(tmp_path / "v" / "img_emb")
    shutil.rmtree(tmp_path / "v" / "metadata")
    loaded = load_features(tmp_path / "v")
    assert loaded.ids is None
    assert loaded.notes == ("2 parts of clip-retrieval; no metadata_*.parquet, so no ids",)


MISSING = {
    "h5py": (".h5", "HDF5 needs h5py", "hdf5"),
    "faiss": (".faiss", "a FAISS index needs faiss-cpu", "faiss"),
    "pyarrow": (".arrow", "an Arrow file needs pyarrow", "parquet"),
}


@pytest.mark.parametrize("package", MISSING)
def test_an_extra_that_is_not_installed_is_named_with_its_line(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, words, extra = MISSING[package]
    (tmp_path / f"v{suffix}").write_bytes(b"something")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(BadInput, match=rf"v{suffix}: {words}; install it with: pip install 'featinv\[{extra}\]'"):
        load_features(tmp_path / f"v{suffix}")


@pytest.mark.parametrize(("suffix", "save"), [(".jsonl", _jsonl), (".csv", _csv), ("", _clip_retrieval)])
def test_ids_of_other_images_and_ids_that_are_there_twice_are_counted(tmp_path: Path, suffix: str, save: Save) -> None:
    path = tmp_path / f"v{suffix}"
    save(path, GOOD, ["a.png", "b.png", "a.png", "a.png", "c.png"])
    with pytest.raises(BadInput, match=r"every id once, got 'a\.png' in row 2 .* \(2 of 5 rows repeat an id\)"):
        match_ids(load_features(path), ["a.png"])
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    save(path, GOOD, IDS)
    with pytest.raises(BadInput, match="has no vector of 2 of 2 images"):
        match_ids(load_features(path), ["x.png", "y.png"])


def test_an_audit_reads_them_as_it_reads_any_file(tmp_path: Path) -> None:
    """Both sides in one folder of clip-retrieval, matched by names, whatever the order."""
    from featinv.audit.file_source import open_files

    images = fi.data.scenes(4, size=32, seed=0)
    images.ids = ("a/1.png", "ü 2.jpg", "c.png", "b/007.png")
    _clip_retrieval(tmp_path / "v", GOOD.astype(np.float16), IDS)
    source = open_files(fi.audit.AuditSettings("out", "x/old", "x/new", features=str(tmp_path / "v")))
    pairs = source.pairs(images.take([0, 1]), tmp_path)
    assert np.array_equal(pairs.features([0, 1]), GOOD[[1, 2]].astype(np.float16).astype(np.float32))
    release = source.release(images.take([2, 3]), 0, tmp_path)
    assert np.array_equal(release.features, GOOD[[3, 0]].astype(np.float16).astype(np.float32))
    assert any("1 of 5 vectors belong to no image given here" in note for note in source.notes)


COLUMNS = [parameter for parameter in EVERY if parameter.id not in ("faiss", "npy with names beside", "clip-retrieval")]


@pytest.mark.parametrize(("suffix", "save"), COLUMNS)
def test_a_column_that_is_not_there_is_refused_with_a_list(tmp_path: Path, suffix: str, save: Save) -> None:
    path = tmp_path / f"v{suffix}"
    save(path, GOOD, IDS)
    with pytest.raises(BadInput, match=r"expected vectors in 'dino' as asked, got \d+: '.*correct --column"):
        load_features(path, column="dino")
    with pytest.raises(BadInput, match=r"expected names in 'dino' as asked, got \d+: '.*correct --id-column"):
        load_features(path, id_column="dino")


@needs("faiss")
def test_what_holds_one_array_takes_no_column(tmp_path: Path) -> None:
    _clip_retrieval(tmp_path / "v", GOOD, IDS)
    _faiss(tmp_path / "v.faiss", GOOD, IDS)
    for name in ("v", "v.faiss"):
        with pytest.raises(BadInput, match="expected no --column"):
            load_features(tmp_path / name, column="dino")
    with pytest.raises(BadInput, match="expected names in 'dino' as asked, got 2: 'caption' .*, 'image_path'"):
        load_features(tmp_path / "v", id_column="dino")
