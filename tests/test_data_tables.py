"""Encoded images in tables are read like files, and their ids are names where the table has them."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import featinv as fi
from featinv.data import open_images, table
from featinv.errors import BadInput


def png(seed: int, side: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(seed) for seed in range(6)]
PATHS = [f"{'abc'[seed % 3]}/{seed}.png" for seed in range(6)]
HUGGING_FACE = {
    b"huggingface": json.dumps(
        {"info": {"features": {"label": {"names": ["cat", "dog", "cow"], "_type": "ClassLabel"}}}}
    ).encode()
}


def structs(paths: list[str | None] | None = None, **more: Any) -> pa.Table:
    paths = PATHS if paths is None else paths  # type: ignore[assignment]
    rows = [{"bytes": content, "path": path} for content, path in zip(IMAGES, paths, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, Any] = {"image": pa.array(rows, kind), "label": [0, 1, 2, 0, 1, 2], **more}
    return pa.table(columns).replace_schema_metadata(HUGGING_FACE)


def plain(**more: Any) -> pa.Table:
    return pa.table({"jpg": IMAGES, **more})


def _parquet(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, path, row_group_size=2)


def _parquet_shards(path: Path, rows: pa.Table) -> None:
    path.mkdir()
    for number in range(3):
        pq.write_table(rows.slice(2 * number, 2), path / f"train-{number:05d}-of-00003.parquet")


def _arrow(path: Path, rows: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=4)


def _datasets(path: Path, rows: pa.Table) -> None:
    path.mkdir()
    _arrow(path / "data-00000-of-00001.arrow", rows)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}
    (path / "state.json").write_text(json.dumps(state))
    (path / "dataset_info.json").write_text("{}")


FORMS: dict[str, tuple[str, Callable[[Path, pa.Table], None]]] = {
    "parquet": ("x.parquet", _parquet),
    "parquet in shards": ("x", _parquet_shards),
    "arrow": ("x.arrow", _arrow),
    "datasets": ("x", _datasets),
}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("form", FORMS)
def test_images_names_and_classes_are_read_in_the_order_of_rows(tmp_path: Path, form: str) -> None:
    name, write = FORMS[form]
    write(tmp_path / name, structs())
    images = open_images(tmp_path / name, size=16)
    assert images.ids == tuple(PATHS)
    assert images.classes == ("cat", "dog", "cow")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert np.array_equal(images.uint8(range(6)), np.stack([pixels(content) for content in IMAGES]))
    assert images.provenance["ids"] == "image.path"


def test_the_real_datasets_package_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    rows = {"image": [{"bytes": content, "path": None} for content in IMAGES], "label": [0, 1, 0, 1, 0, 1]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "d"), num_shards=2)
    images = open_images(tmp_path / "d", size=16)
    assert images.ids == tuple(f"d:{row}" for row in range(6))
    assert images.classes == ("x", "y")
    assert np.array_equal(images.uint8([5])[0], pixels(IMAGES[5]))


NAMED: dict[str, tuple[pa.Table, str, list[str] | None]] = {
    "a column": (plain(file_name=PATHS, caption=["x"] * 6), "file_name", PATHS),
    "a better column": (plain(key=list("abcdef"), path=PATHS), "path", PATHS),
    "a path before a column": (structs(key=list("abcdef")), "image.path", PATHS),
    "a path that is missing": (structs([None, *PATHS[1:]], key=list("abcdef")), "key", list("abcdef")),
    "a path that repeats": (structs(["image.png"] * 6), "rows", None),
    "two columns": (plain(file_name=PATHS, path=PATHS[::-1]), "rows", None),
    "a column that repeats": (plain(key=["a"] * 6), "rows", None),
    "no column": (plain(), "rows", None),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_name_counts_where_every_row_has_one_of_its_own(tmp_path: Path, case: str) -> None:
    rows, how, ids = NAMED[case]
    _parquet(tmp_path / "x.parquet", rows)
    images = table(tmp_path / "x.parquet", size=16)
    assert images.provenance["ids"] == how
    assert list(images.ids) == (ids or [f"x.parquet:{row}" for row in range(6)])
    assert np.array_equal(images.uint8(range(6)), np.stack([pixels(content) for content in IMAGES]))


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    rows = [*IMAGES[:3], b"no image", None, b""]
    pq.write_table(pa.table({"image": rows, "id": list("abcdef"), "label": [0, 1, 2, 3, 4, 5]}), tmp_path / "x.parquet")
    images = table(tmp_path / "x.parquet", size=16)
    assert images.ids == ("a", "b", "c")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2]
    assert [name for name, _ in images.skipped] == ["d", "e", "f"]
    assert images.skipped[1][1] == "no bytes in the table: the image lies elsewhere, embed it"
    assert images.intake.lost_share == 0.5


def test_a_cache_is_found_again_until_the_table_changes(tmp_path: Path) -> None:
    _parquet(tmp_path / "x.parquet", structs())
    first = table(tmp_path / "x.parquet", size=16, cache=tmp_path / "cache")
    assert table(tmp_path / "x.parquet", size=16, cache=tmp_path / "cache").fingerprint == first.fingerprint
    assert len(list((tmp_path / "cache").iterdir())) == 1
    _parquet(tmp_path / "x.parquet", structs(PATHS[::-1], note=["x"] * 6))
    assert table(tmp_path / "x.parquet", size=16, cache=tmp_path / "cache").ids == tuple(PATHS[::-1])


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "two columns": (
        "x.parquet",
        lambda p: pq.write_table(pa.table({"left": IMAGES, "right": IMAGES}), p),
        "one column of encoded images .* got 2: 'left' .*, 'right' .*column=NAME",
    ),
    "vectors alone": (
        "x.parquet",
        lambda p: pq.write_table(pa.table({"features": [[1.0]]}), p),
        "one column of encoded images .* got 1: 'features'",
    ),
    "truncated": (
        "x.parquet",
        lambda p: (_parquet(p, structs()), p.write_bytes(p.read_bytes()[:-20])),
        "expected a parquet file, but it is truncated",
    ),
    "a stream without its end": (
        "x.arrow",
        lambda p: (_arrow(p, structs()), p.write_bytes(p.read_bytes()[:-8])),
        "expected an Arrow file, but it is truncated .*mark of the stream's end is missing",
    ),
    "none usable": (
        "x.parquet",
        lambda p: pq.write_table(pa.table({"image": [b"x", b"y"]}), p),
        "at least one usable image, got none of 2",
    ),
    "no rows": (
        "x.parquet",
        lambda p: pq.write_table(pa.table({"image": pa.array([], pa.binary())}), p),
        "expected images, got a table without rows",
    ),
    "another suffix": ("x.docx", lambda p: p.write_text("x"), r"expected images in a folder.*got \.docx"),
    "nothing there": ("x.parquet", lambda p: None, "expected a folder of images, got nothing there"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, write, complaint = BAD[case]
    write(tmp_path / name)
    with pytest.raises(BadInput, match=complaint) as caught:
        open_images(tmp_path / name, size=16)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_damaged_tables_are_read_or_refused_and_nothing_else(tmp_path: Path, form: str) -> None:
    name, write = FORMS[form]
    write(tmp_path / name, structs())
    whole, drawn = (tmp_path / name).read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(drawn.randint(1, 3)):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        try:
            images = open_images(tmp_path / name, size=16)
        except BadInput:
            continue
        assert images.intake.seen <= 6


def test_images_and_vectors_of_one_table_find_each_other(tmp_path: Path) -> None:
    """One parquet file with both: rows are matched by the same names."""
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    rows = plain(path=PATHS, embedding=pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4))
    _parquet(tmp_path / "x.parquet", rows)
    images = open_images(tmp_path / "x.parquet", size=16)
    loaded = fi.load_features(tmp_path / "x.parquet")
    assert loaded.ids == list(images.ids)
    assert np.array_equal(fi.pair(loaded, images).features(range(6)), vectors)
