"""Names decide which vector belongs to which image, in every container; order never does by accident."""

import os
import shutil
import string
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import featinv as fi
from featinv import BadInput, Vectors, load_features
from featinv.audit.file_source import FileSource, open_files
from featinv.features.loading import content_digest
from featinv.features.matching import match, match_ids, plain_order_differs

PUBLIC_IDS = tuple(f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(3))
PRIVATE_IDS = tuple(f"{number:03d}.png" for number in range(5))
VECTORS = np.random.default_rng(0).normal(size=(len(PUBLIC_IDS) + len(PRIVATE_IDS), 4)).astype(np.float32)
PUBLIC_VECTORS, PRIVATE_VECTORS = VECTORS[: len(PUBLIC_IDS)], VECTORS[len(PUBLIC_IDS) :]

Save = Callable[[Path, np.ndarray, list[str]], None]


def some_images(ids: Sequence[str], seed: int = 0) -> Any:
    made = fi.data.scenes(len(ids), size=32, seed=seed)
    made.ids = tuple(ids)
    return made


def shuffled(vectors: np.ndarray, ids: Sequence[str], seed: int = 1) -> tuple[np.ndarray, list[str]]:
    order = np.random.default_rng(seed).permutation(len(ids))
    assert list(order) != sorted(order)
    return vectors[order], [ids[place] for place in order]


def opened(private: Path, public: Path | None = None, *, folders: tuple[str, str] = ("x/old", "x/new"), **more: Any):  # type: ignore[no-untyped-def]
    other = None if public is None else str(public)
    return open_files(
        fi.audit.AuditSettings("out", folders[0], folders[1], features=str(private), public_features=other, **more)
    )


def must_match(source: FileSource, tmp_path: Path) -> None:
    """Every image has its own vector, whatever the order in the files was."""
    release = source.release(some_images(PRIVATE_IDS, 1), 0, tmp_path)
    assert np.array_equal(release.features, PRIVATE_VECTORS)
    pairs = source.pairs(some_images(PUBLIC_IDS), tmp_path / "unused")
    assert np.array_equal(pairs.features(range(len(PUBLIC_IDS))), PUBLIC_VECTORS)


def parquet(ids_type: Any, name: str = "id", column: str = "features") -> Save:
    def save(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
        names = pa.array(ids).dictionary_encode() if ids_type == "dictionary" else pa.array(ids, pa.string())
        names = names if ids_type == "dictionary" else names.cast(ids_type)
        pq.write_table(pa.table({name: names, column: list(vectors)}), path)

    return save


def _safetensors(path: Path, vectors: np.ndarray, ids: list[str]) -> None:
    import json

    save_file({"features": torch.from_numpy(vectors.copy())}, path, metadata={"ids": json.dumps(ids), "name": "x"})


def _tensors(vectors: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(vectors.copy())


CONTAINERS: dict[str, tuple[str, Save]] = {
    "parquet, large string": (".parquet", parquet(pa.large_string())),
    "parquet, string": (".parquet", parquet(pa.string(), "ids")),
    "parquet, dictionary": (".parquet", parquet("dictionary", "image_path")),
    "parquet, bytes": (".parquet", parquet(pa.binary(), "Filename")),
    "parquet, large bytes": (".parquet", parquet(pa.large_binary(), "key", "embedding")),
    "parquet, the only text": (".parquet", parquet(pa.large_string(), "photo", "clip")),
    "npz": (".npz", lambda p, v, i: np.savez(p, features=v, ids=np.array(i))),
    "npz, bytes": (".npz", lambda p, v, i: np.savez(p, embeddings=v, paths=np.array([n.encode() for n in i]))),
    "npz, the only text": (".npz", lambda p, v, i: np.savez(p, v=v, photos=np.array(i), classes=np.array(["a"]))),
    "pt, list": (".pt", lambda p, v, i: torch.save({"features": _tensors(v), "ids": i}, p)),
    "pth, tuple": (".pth", lambda p, v, i: torch.save({"vectors": _tensors(v), "image_paths": tuple(i), "n": 1}, p)),
    "pt, path to vector": (".pt", lambda p, v, i: torch.save(dict(zip(i, _tensors(v), strict=True)), p)),
    "safetensors, metadata": (".safetensors", _safetensors),
    "safetensors, path to vector": (
        ".safetensors",
        lambda p, v, i: save_file({name: row.clone() for name, row in zip(i, _tensors(v), strict=True)}, p),
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_rows_are_matched_by_the_names_of_every_container(tmp_path: Path, name: str) -> None:
    suffix, save = CONTAINERS[name]
    for side, vectors, ids in (("public", PUBLIC_VECTORS, PUBLIC_IDS), ("private", PRIVATE_VECTORS, PRIVATE_IDS)):
        save(tmp_path / f"{side}{suffix}", *shuffled(vectors, ids))
    source = opened(tmp_path / f"private{suffix}", tmp_path / f"public{suffix}")
    must_match(source, tmp_path)
    assert source.named
    assert not any("by order" in note for note in source.notes)
    assert any("ids from" in note for note in source.notes)
    # One file of both sides, the folder's name before each.
    every = [f"old/{name}" for name in PUBLIC_IDS] + [f"new/{name}" for name in PRIVATE_IDS]
    save(tmp_path / f"both{suffix}", *shuffled(VECTORS, every))
    must_match(opened(tmp_path / f"both{suffix}"), tmp_path)


def test_a_string_view_is_a_name_column_too(tmp_path: Path) -> None:
    vectors, ids = shuffled(PRIVATE_VECTORS, PRIVATE_IDS)
    table = pa.table({"id": pa.array(ids, pa.string_view()), "features": list(vectors)})
    pq.write_table(table, tmp_path / "v.parquet")
    assert load_features(tmp_path / "v.parquet").ids == ids


def _table(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table({"features": [[1.0, 2.0], [3.0, 4.0]], **columns}), path)


TWO = torch.ones(2, 2)
UNREADABLE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "null": (".parquet", _table(id=["a", None]), "name in every row of 'id', got a null in row 1"),
    "floats": (".parquet", _table(id=[1.0, 2.0]), "'id' to hold names as text, got double"),
    "floats beside a path": (".parquet", _table(ids=[1.0, 2.0], path=["a", "b"]), "'ids' to hold names"),
    "whole numbers": (".parquet", _table(id=[1, 2]), "'id' to hold names as text, got int64"),
    "nested": (".parquet", _table(image=[{"path": "a"}, {"path": "b"}]), "'image' to hold names as text, got struct"),
    "not UTF-8": (".parquet", _table(id=pa.array([b"a", b"\xff"])), "'id', got bytes that are not UTF-8 in row 1"),
    "two of one kind": (".parquet", _table(path=["a", "b"], filename=["a", "b"]), "one entry that names the images"),
    "two unknown": (".parquet", _table(label=["a", "b"], caption=["c", "d"]), "'label' .*'caption'.*--id-column"),
    "npz, not UTF-8": (".npz", lambda p: np.savez(p, features=TWO, ids=np.array([b"a", b"\xff"])), "not UTF-8"),
    "npz, objects": (
        ".npz",
        lambda p: np.savez(p, allow_pickle=True, features=TWO, ids=np.array(["a", None], dtype=object)),
        "'ids' to hold names as text, got objects",
    ),
    "npz, too few": (".npz", lambda p: np.savez(p, features=TWO, ids=np.array(["a"])), "one id for each of 2"),
    "npz, two axes": (".npz", lambda p: np.savez(p, features=TWO, ids=np.array([["a", "b"]])), "'ids' to hold names"),
    "pt, a null": (".pt", lambda p: torch.save({"features": TWO, "ids": ["a", None]}, p), "'ids' to hold names"),
    "pt, numbers": (".pt", lambda p: torch.save({"features": TWO, "ids": torch.arange(2)}, p), "'ids' to hold names"),
    "pt, too many": (".pt", lambda p: torch.save({"features": TWO, "ids": ["a", "b", "c"]}, p), "one id for each"),
    "pt, one text": (".pt", lambda p: torch.save({"features": TWO, "ids": "a b"}, p), "'ids' to hold names .* got str"),
    "pt, a set": (".pt", lambda p: torch.save({"features": TWO, "ids": {"a", "b"}}, p), "'ids' to hold .* got set"),
    "pt, several widths": (".pt", lambda p: torch.save({"a": torch.ones(2), "b": torch.ones(3)}, p), "of one width"),
    "metadata, no JSON": (
        ".safetensors",
        lambda p: save_file({"features": TWO}, p, metadata={"ids": "a,b"}),
        "'ids' to hold names as text, got text that is no list",
    ),
    "metadata, numbers": (".safetensors", lambda p: save_file({"x": TWO}, p, metadata={"ids": "[1, 2]"}), "no list"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_names_that_cannot_be_read_are_refused_and_never_ignored(tmp_path: Path, name: str) -> None:
    suffix, save, complaint = UNREADABLE[name]
    save(tmp_path / f"v{suffix}")
    with pytest.raises(BadInput, match=rf"v{suffix}: .*{complaint}") as caught:
        load_features(tmp_path / f"v{suffix}")
    assert "\n" not in str(caught.value)


def test_pixels_beside_the_vectors_are_no_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", features=VECTORS[:2], images=np.zeros((2, 8, 8, 3), np.uint8))
    assert load_features(tmp_path / "v.npz").ids is None
    np.savez(tmp_path / "w.npz", features=VECTORS[:2], images=np.array(["a", "b"]))
    assert load_features(tmp_path / "w.npz").ids == ["a", "b"]


def test_a_column_of_names_can_be_said_and_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    _table(label=["a", "b"], caption=["c", "d"], number=[7, 8])(path)
    assert load_features(path, id_column="caption").ids == ["c", "d"]
    assert load_features(path, id_column="number").ids == ["7", "8"]
    assert load_features(path, id_column="none").ids is None
    with pytest.raises(BadInput, match="expected names in 'title' as asked, got 4: 'features'"):
        load_features(path, id_column="title")


def test_one_file_for_two_folders_of_one_name_is_refused(tmp_path: Path) -> None:
    """Bare names fit an image of each side: the private images would get the public ones' vectors."""
    np.savez(tmp_path / "once.npz", features=VECTORS, ids=np.array([f"{n:03d}.png" for n in range(len(VECTORS))]))
    folders = ("siteA/images", "siteB/images")
    source = opened(tmp_path / "once.npz", folders=folders)
    ids = [f"{number:03d}.png" for number in range(5)]
    source.release(some_images(ids, 1), 0, tmp_path)
    with pytest.raises(BadInput, match=r"vectors are missing; .*siteA/images/000\.png.*two files"):
        source.pairs(some_images(ids), tmp_path)
    # Naming the file twice, or the same vectors in another container, changes nothing.
    parquet(pa.string())(tmp_path / "copy.parquet", VECTORS, [f"{n:03d}.png" for n in range(len(VECTORS))])
    source = opened(tmp_path / "once.npz", tmp_path / "copy.parquet", folders=folders)
    source.pairs(some_images(ids), tmp_path)
    with pytest.raises(BadInput, match="vectors are missing"):
        source.release(some_images(ids, 1), 0, tmp_path)


@pytest.mark.parametrize(
    "before", ["site{}/images", "./site{}//images", "export\\site{}\\images", "/data/site{}/images"]
)
def test_more_parts_of_the_path_decide_between_folders_of_one_name(tmp_path: Path, before: str) -> None:
    ids = [f"{number}.png" for number in range(4)]
    every = [f"{before.format(site)}/{name}" for site in "AB" for name in ids]
    np.savez(tmp_path / "v.npz", features=VECTORS[:8], ids=np.array(every))
    source = opened(tmp_path / "v.npz", folders=("siteA/images", "siteB/images"))
    assert np.array_equal(source.release(some_images(ids, 1), 0, tmp_path).features, VECTORS[4:8])
    assert np.array_equal(source.pairs(some_images(ids), tmp_path).features(range(4)), VECTORS[:4])


def test_vectors_of_the_other_folder_are_refused(tmp_path: Path) -> None:
    """Only the private side is in the file; the public images have other numbers of the same names."""
    every = [f"export/new/{number}.png" for number in range(8)]
    np.savez(tmp_path / "v.npz", features=VECTORS[:8], ids=np.array(every))
    source = opened(tmp_path / "v.npz")
    source.release(some_images(["6.png", "7.png"], 1), 0, tmp_path)
    with pytest.raises(BadInput, match=r"expected vectors of the public images in x/old, got ids of the private ones"):
        source.pairs(some_images(["1.png", "2.png"]), tmp_path)


def test_a_folder_inside_one_with_the_name_of_the_other_side_is_no_mistake(tmp_path: Path) -> None:
    every = [f"/data/new/old/{name}" for name in PUBLIC_IDS] + [f"/data/new/new/{name}" for name in PRIVATE_IDS]
    np.savez(tmp_path / "v.npz", features=VECTORS, ids=np.array(every))
    must_match(opened(tmp_path / "v.npz"), tmp_path)


def test_vectors_of_no_image_are_counted_and_said(tmp_path: Path) -> None:
    every = [*(f"old/{name}" for name in PUBLIC_IDS), *(f"new/{name}" for name in PRIVATE_IDS)]
    np.savez(tmp_path / "v.npz", features=VECTORS, ids=np.array(every))
    source = opened(tmp_path / "v.npz")
    source.pairs(some_images(PUBLIC_IDS[1:]), tmp_path)
    assert not any("belong to no image" in note for note in source.notes), "half of the sides is not known yet"
    source.release(some_images(PRIVATE_IDS[:3], 1), 0, tmp_path)
    assert f"{tmp_path / 'v.npz'}: 3 of 11 vectors belong to no image given here" in source.notes


def test_files_without_names_are_paired_by_order_and_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "private.npy", PRIVATE_VECTORS)
    np.save(tmp_path / "public.npy", PUBLIC_VECTORS)
    source = opened(tmp_path / "private.npy", tmp_path / "public.npy")
    must_match(source, tmp_path)
    assert not source.named
    for side in ("private", "public"):
        said = f"The {side} vectors are paired by order; {tmp_path / f'{side}.npy'} names no images"
        assert said in source.notes
    assert not any("WARNING" in note for note in source.notes)
    shutil.copy(tmp_path / "private.npy", tmp_path / "copy.npy")
    with pytest.raises(BadInput, match="nobody knows which vectors are public"):
        opened(tmp_path / "private.npy", tmp_path / "copy.npy").release(some_images(PRIVATE_IDS), 0, tmp_path)


@pytest.mark.parametrize("twin", ["ring-2", "ring 2", "ring.old"])
def test_folders_that_plain_text_sorts_otherwise_are_warned_of(tmp_path: Path, twin: str) -> None:
    """The order of Python's `sorted(glob(...))` is the outside witness."""
    for number in range(6):
        place = tmp_path / "public" / ("ring" if number % 2 else twin)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(place / f"{number}.png")
    read = fi.data.folder(tmp_path / "public", size=8)
    plain = sorted(str(path.relative_to(tmp_path / "public")) for path in (tmp_path / "public").rglob("*.png"))
    assert list(read.ids) != plain
    assert plain_order_differs(read.ids) == (read.ids[0], plain[0])
    np.save(tmp_path / "public.npy", PUBLIC_VECTORS)
    np.save(tmp_path / "private.npy", PRIVATE_VECTORS)
    source = opened(tmp_path / "private.npy", tmp_path / "public.npy")
    source.pairs(read, tmp_path)
    source.release(some_images(PRIVATE_IDS), 0, tmp_path)
    warnings = [note for note in source.notes if note.startswith("WARNING")]
    assert len(warnings) == 1
    assert "public" in warnings[0]
    assert repr(plain[0]) in warnings[0]


@given(st.lists(st.text("ab-/ .", min_size=1, max_size=6), max_size=6, unique=True))
def test_orders_differ_exactly_where_sorting_differs(names: list[str]) -> None:
    from pathlib import PurePosixPath

    ours = sorted(names, key=lambda name: PurePosixPath(name).parts)
    assert (plain_order_differs(ours) is None) == (ours == sorted(names))


def vectors_named(*ids: str) -> Vectors:
    return Vectors(np.arange(2.0 * len(ids), dtype=np.float32).reshape(-1, 2), "v.npz", list(ids))


SPELLINGS = {
    "backslashes": lambda name: name.replace("/", "\\"),
    "./": lambda name: f"./{name}",
    "repeated slashes": lambda name: name.replace("/", "//"),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "a leading slash": lambda name: f"/{name}",
    "an absolute path": lambda name: f"/home/me/export/{name}",
    "a drive": lambda name: "C:\\export\\" + name.replace("/", "\\"),
    "no suffix": lambda name: name.removesuffix(".png"),
    "folder and no suffix": lambda name: "old/" + name.removesuffix(".png"),
}
NAMES = ("café/1.png", "café/2.png", "dog/1.png", "dog/ü.v2.png", "3.png")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_path_in_another_spelling_is_the_same_name(spelling: str) -> None:
    vectors, ids = shuffled(np.eye(5, dtype=np.float32), NAMES)
    rows = match_ids(Vectors(vectors, "v.npz", [SPELLINGS[spelling](name) for name in ids]), NAMES, "x/old")
    assert np.array_equal(vectors[rows], np.eye(5))


@given(
    st.lists(st.lists(st.text(string.ascii_lowercase[:3], min_size=1, max_size=2), min_size=1, max_size=3), min_size=1),
    st.randoms(),
)
def test_every_image_gets_the_vector_of_its_whole_path_or_the_match_is_refused(
    paths: list[list[str]], random: Any
) -> None:
    names = sorted({"/".join(path) for path in paths})
    written = random.sample(names, len(names))
    try:
        rows = match_ids(Vectors(np.ones((len(names), 1), np.float32), "v", written), names, "/x/a")
    except BadInput:
        # Only where the folder's own name begins an id, more than one reading is possible.
        assert any(name.startswith(("a/", "x/")) for name in names)
        return
    if not any(name.startswith(("a/", "x/")) for name in names):
        assert [written[row] for row in rows] == names
    assert len(set(rows.tolist())) == len(names)


MISSES: dict[str, tuple[list[str], str]] = {
    "case": (["Cat.png", "dog.png"], "'Cat.png' differs from 'cat.png' in case"),
    "a space": (["cat.png ", "dog.png"], "'cat.png ' differs from 'cat.png' in spaces"),
    "suffix": (["cat.jpg", "dog.png"], r"in the suffix \('.jpg' in the file, '.png' of the image\)"),
    "letter of another alphabet": (["c\u0430t.png", "dog.png"], "U\\+0430 CYRILLIC SMALL LETTER A in the file"),
    "invisible letter": (["cat\u200b.png", "dog.png"], "U\\+200B ZERO WIDTH SPACE"),
    "ligature": (["\uff43at.png", "dog.png"], "in its Unicode form"),
    "folder": (["pets/cat.png", "dog.png"], r"differs from 'cat.png' in the folders before it"),
    "other images": (["x.png", "y.png", "z.png"], r"first: 'cat.png', 'dog.png'\); the file names 'x.png', 'y.png'"),
}


@pytest.mark.parametrize("name", MISSES)
def test_a_miss_says_what_differs(name: str) -> None:
    ids, complaint = MISSES[name]
    with pytest.raises(BadInput, match=complaint) as caught:
        match_ids(vectors_named(*ids), ["cat.png", "dog.png"], "old")
    assert str(caught.value).startswith("v.npz: has no vector of ")
    assert str(caught.value).isascii()


AMBIGUOUS: dict[str, tuple[list[str], list[str], str]] = {
    "twice": (["1.png", "1.png"], ["1.png"], "every id once, got '1.png' in row 1 and '1.png' in row 0"),
    "two spellings": (["a/1.png", "a\\1.png"], ["a/1.png"], "every id once"),
    "two forms": (["é.png", "e\u0301.png"], ["é.png"], "every id once"),
    "two prefixes": (["a/1.png", "b/1.png"], ["1.png"], "several candidates"),
    "two suffixes": (["1"], ["1.png", "1.jpg"], "has no vector of 2 of 2"),
    "an empty id": (["1.png", ""], ["1.png"], "the path of an image as every id, got '' in row 1"),
    "twin images": (["é.png", "x"], ["é.png", "e\u0301.png"], "^old: expected every id once"),
    "part of a name": (["11.png"], ["1.png"], "has no vector"),
    "part of a folder": (["bigcat/1.png"], ["cat/1.png"], "has no vector"),
    "only the last part": (["1.png", "2.png"], ["cat/1.png", "cat/2.png"], "has no vector of 2"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_repeated_or_ambiguous_name_is_refused(name: str) -> None:
    ids, wanted, complaint = AMBIGUOUS[name]
    with pytest.raises(BadInput, match=complaint):
        match_ids(vectors_named(*ids), wanted, "old")


def test_a_folder_inside_one_of_its_own_name_has_one_vector_for_each_image() -> None:
    found = match(vectors_named("a/1.png", "1.png"), ["1.png", "a/1.png"], "x/a")
    assert found.rows.tolist() == [1, 0]


@pytest.mark.parametrize("change", ["shard", "ids", "manifest", "file"])
def test_a_digest_is_of_the_content_and_of_no_name(tmp_path: Path, change: str) -> None:
    """A store made anew under the same names, with the same images, is another one."""
    encoder, read = fi.encoders.tiny(), some_images(PUBLIC_IDS)
    store = tmp_path / "store"
    fi.extract(fi.Victim(encoder), read, to=store, block=4)
    np.save(tmp_path / "v.npy", VECTORS)
    path = tmp_path / "v.npy" if change == "file" else store
    before = content_digest(path)
    copy = tmp_path / "elsewhere"
    (shutil.copy if change == "file" else shutil.copytree)(path, copy)
    assert content_digest(copy) == content_digest(os.path.relpath(copy)) == before
    (store / ".DS_Store").write_text("x")
    assert content_digest(path) == before
    target = {"shard": store / "view0-00001.npy", "ids": store / "ids.json", "manifest": store / "manifest.json"}
    changed = bytearray(target.get(change, path).read_bytes())
    changed[-2] ^= 1
    target.get(change, path).write_bytes(changed)
    assert content_digest(path) != before


def test_the_fingerprint_of_an_audit_is_of_content_and_columns(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for std in (5.0, 0.0):
        shutil.rmtree(store, ignore_errors=True)
        fi.extract(fi.Victim(fi.encoders.tiny(), fi.defences.GaussianNoise(std=std)), some_images(PUBLIC_IDS), to=store)
        shutil.copytree(store, tmp_path / f"store{std:g}")
    prints = [opened(tmp_path / name).fingerprint for name in ("store", "store0", "store5")]
    assert prints[0] == prints[1] != prints[2]
    np.savez(tmp_path / "v.npz", features=VECTORS, other=VECTORS + 1)
    asked = [opened(tmp_path / "v.npz", column=column).fingerprint for column in (None, "features", "other")]
    assert len(set(asked)) == 3


def test_columns_are_asked_of_files_only() -> None:
    for flag, more in (("--column", {"column": "x"}), ("--id-column", {"id_column": "x"})):
        with pytest.raises(BadInput, match=f"^{flag}: says what a file of --features holds"):
            fi.audit.AuditSettings("out", "a", "b", victim="tiny", **more)
