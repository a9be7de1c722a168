"""The store on disk: equal to memory, finished or refused, resumed after a kill, never half-written."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extraction_program import BATCH, BLOCK, Grey, extraction, noisy, some_images
from hypothesis import given, settings
from hypothesis import strategies as st

import featinv.features.layout
from featinv import BadInput, Pairs, Victim, extract, load_features, open_store, pair
from featinv.data import ImageSet
from featinv.defences import GaussianNoise

PROGRAM = Path(__file__).with_name("extraction_program.py")
COUNT = 45
SHARDS = [f"view{view}-{block:05d}.npy" for view in (0, 1) for block in range(8)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store that no test changes."""
    folder = tmp_path_factory.mktemp("finished") / "store"
    extraction(folder)
    return folder


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished store, to be damaged."""
    copy = tmp_path / "store"
    copy.mkdir()
    for name, data in contents(finished).items():
        (copy / name).write_bytes(data)
    return copy


def test_the_store_is_plain_numpy_and_json(finished: Path) -> None:
    assert sorted(contents(finished)) == sorted([*SHARDS, "ids.json", "manifest.json"])
    manifest = json.loads((finished / "manifest.json").read_text())
    assert json.loads((finished / "ids.json").read_text()) == list(some_images().ids)
    assert manifest["schema"] == 1
    assert manifest["victim"] == noisy().metadata
    wanted = {"count": 45, "views": 2, "seed": 3, "block": 6, "image_size": 8, "dtype": "float32", "feature_shape": [8]}
    assert wanted.items() <= manifest.items()
    assert np.load(finished / SHARDS[0]).shape == (6, 8)
    assert np.load(finished / SHARDS[7]).shape == (3, 8)


def test_the_store_equals_memory_bit_by_bit(finished: Path) -> None:
    stored = open_store(finished, some_images())
    memory = extract(noisy(), some_images(), flips=True, seed=3, batch_size=BATCH, block=BLOCK)
    for flip in (False, True):
        both = [pairs.batch(range(COUNT), [flip] * COUNT) for pairs in (stored, memory)]
        assert torch.equal(both[0][0], both[1][0])
        assert torch.equal(both[0][1], both[1][1])
    assert stored.metadata == memory.metadata


@pytest.fixture(scope="module")
def opened(finished: Path) -> Pairs:
    return open_store(finished, some_images())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, COUNT - 1), st.booleans()), max_size=60))
def test_rows_across_shards_come_in_the_order_asked_for(
    finished: Path, opened: Pairs, chosen: list[tuple[int, bool]]
) -> None:
    features, _ = opened.batch([i for i, _ in chosen], np.array([f for _, f in chosen], dtype=bool))
    views = [np.concatenate([np.load(finished / name) for name in SHARDS[v * 8 : v * 8 + 8]]) for v in (0, 1)]
    expected = np.array([views[int(mirrored)][index] for index, mirrored in chosen]).reshape(-1, 8)
    assert np.array_equal(features, expected)


def test_more_shards_than_may_be_open(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.features.rows.OPEN_SHARDS", 2)
    pairs = open_store(finished, some_images())
    backwards = np.arange(COUNT)[::-1]
    assert np.array_equal(pairs.features(backwards), open_store(finished, some_images()).features(range(COUNT))[::-1])
    assert len(pairs.rows._mapped) <= 2


def test_taking_and_splitting_reach_the_shards(opened: Pairs) -> None:
    whole = opened.features(range(COUNT))
    assert np.array_equal(opened.take([40, 3, 11]).features([0, 1, 2]), whole[[40, 3, 11]])
    first, second = opened.split(0.7, seed=1)
    original = [int(name[1:]) for name in second.images.ids]
    assert np.array_equal(second.features(range(len(second))), whole[original])
    assert not set(first.images.ids) & set(second.images.ids)


def test_a_finished_store_is_opened_without_encoding(store: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    victim = noisy()
    again = extract(victim, some_images(), to=store, flips=True, seed=3, batch_size=BATCH, block=BLOCK)
    assert victim.encoder.encoded == 0
    assert len(again) == COUNT
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _retype(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def _reshape(path: Path) -> None:
    np.save(path, np.load(path).T)


def _pickle(path: Path) -> None:
    np.save(path, np.array([print] * 6, dtype=object), allow_pickle=True)


def _junk(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00" + b"junk" * 60)


DAMAGES = [Path.unlink, _truncate, _extend, _empty, _retype, _reshape, _pickle, _junk]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_refused_and_then_mended_alone(
    finished: Path, store: Path, damage: Callable[[Path], None]
) -> None:
    damage(store / "view1-00002.npy")
    with pytest.raises(BadInput, match=r"view1-00002\.npy: expected features of images 12 to 17, found a missing or"):
        open_store(store, some_images())
    assert extraction(store) == 6
    assert contents(store) == contents(finished)


def test_killed_in_the_middle_it_ends_in_the_same_files(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    process = subprocess.Popen([sys.executable, PROGRAM, folder, "0.15"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "view0-00002.npy").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder / ".view0-00004.npy.abc.tmp").write_bytes(b"what a kill leaves in the middle of a write")

    there = [name for name in SHARDS if (folder / name).exists()]
    assert 3 <= len(there) < len(SHARDS)
    assert not (folder / "manifest.json").exists()
    with pytest.raises(
        BadInput, match="expected a finished store, got an interrupted one; run the same extraction again"
    ):
        open_store(folder, some_images())
    other = Victim(Grey(), GaussianNoise(0.2))
    with pytest.raises(BadInput, match=r"another victim: expected defence GaussianNoise\(std=0\.2\), got .*0\.1"):
        extract(other, some_images(), to=folder, flips=True, seed=3, block=BLOCK)

    assert extraction(folder) < 2 * COUNT - 2 * 6
    assert contents(folder) == contents(finished)


def _other_pixels() -> ImageSet:
    pixels = some_images().uint8(range(COUNT))
    pixels[7, 0, 0, 0] ^= 1
    return ImageSet(pixels, ids=some_images().ids)


def _renamed() -> ImageSet:
    return ImageSet(some_images().uint8(range(COUNT)), ids=[f"q{i}" for i in range(COUNT)])


def _other_layer() -> Victim:
    encoder = Grey()
    encoder.layer = "layer1"
    return Victim(encoder, GaussianNoise(0.1))


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "defence": ({"victim": Victim(Grey())}, r"another victim: expected defence Identity\(\), got Gauss.*std=0\.1"),
    "layer": ({"victim": _other_layer()}, "another victim: expected layer layer1, got None"),
    "pixels": ({"images": _other_pixels()}, "of other images: expected pixels"),
    "ids": ({"images": _renamed()}, "of other images: expected image ids"),
    "count": ({"images": some_images(44)}, "of other images: expected count of images 44, got 45"),
    "order": ({"images": some_images().take(range(COUNT)[::-1])}, "of other images: expected image ids"),
    "flips": ({"flips": False}, r"other settings: expected views \(flips\) 1, got 2"),
    "seed": ({"seed": 4}, "other settings: expected seed 4, got 3"),
    "block": ({"block": 7}, "other settings: expected block 7, got 6"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_store_in_the_folder_is_named_and_kept(store: Path, name: str) -> None:
    changed, complaint = OTHERS[name]
    before = contents(store)
    arguments = {"victim": noisy(), "images": some_images(), "flips": True, "seed": 3, "block": BLOCK} | changed
    with pytest.raises(BadInput, match=f"{store.name}: holds features .*{complaint}.*; give another folder"):
        extract(arguments.pop("victim"), arguments.pop("images"), to=store, **arguments)
    assert contents(store) == before


@pytest.mark.parametrize("images", [_other_pixels(), _renamed(), some_images(44)])
def test_a_store_is_not_opened_for_other_images(finished: Path, images: ImageSet) -> None:
    with pytest.raises(BadInput, match="holds features of other images"):
        open_store(finished, images)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(
        BadInput, match=r"expected an empty folder or a feature store, found 1 other files \(thesis\.txt"
    ):
        extraction(tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"irreplaceable"}
    with pytest.raises(BadInput, match="expected a folder for the feature store, got a file"):
        extraction(tmp_path / "thesis.txt")


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"manifest\.json: expected a JSON file, found none"):
        open_store(tmp_path, some_images())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"count": -1},
        {"block": "6"},
        {"views": 3},
        {"views": True},
        {"feature_shape": [0]},
        {"feature_shape": [2, 3]},
        {"feature_shape": 8},
        {"dtype": "object"},
        {"victim": None},
    ],
)
def test_an_unusable_manifest_is_refused(store: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(BadInput, match=r"manifest\.json: expected"):
        open_store(store, some_images())


def test_a_manifest_that_is_a_list_is_refused(store: Path) -> None:
    (store / "manifest.json").write_text("[1, 2]")
    with pytest.raises(BadInput, match=r"manifest\.json: expected a feature store of schema 1, got None"):
        open_store(store, some_images())


def test_features_that_are_not_finite_name_the_image_and_leave_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^p20: expected finite features from grey"):
        extraction(tmp_path / "store", black=[20, 30])
    assert sorted(contents(tmp_path / "store")) == ["unfinished.json", *SHARDS[:3], *SHARDS[8:11]]


def test_a_disk_that_fills_keeps_what_is_written(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A file on a disk with room for 1000 more bytes."""

        room = 1000

        def __init__(self, path: Path, mode: str) -> None:
            self.file = open(path, mode)  # noqa: SIM115

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            Full.room -= len(data)
            if Full.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

    def opened(path: Path, mode: str) -> Any:
        return Full(path, mode) if mode == "wb" else open(path, mode)

    folder = tmp_path / "store"
    monkeypatch.setattr(featinv.features.layout, "open", opened, raising=False)
    with pytest.raises(BadInput, match=r"view1-00001\.npy: the disk is full \(No space left on device\)"):
        extraction(folder)
    assert sorted(contents(folder)) == ["unfinished.json", SHARDS[0], SHARDS[1], SHARDS[8]]
    monkeypatch.undo()
    extraction(folder)
    assert contents(folder) == contents(finished)


def test_the_kernels_own_limit_is_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Bytes a file: a shard of 6 x 8 floats (320 bytes) and the manifest fit, a shard of 45 (1568 bytes) does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1400, before[1]))
    try:
        extraction(folder)
        with pytest.raises(BadInput, match=r"view0-00000\.npy: the disk is full \(File too large\)"):
            extract(noisy(), some_images(), to=tmp_path / "other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(contents(tmp_path / "other")) == ["unfinished.json"]


@pytest.mark.multiprocess
def test_two_processes_write_the_same_files_as_one(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    run = _launch(folder, "0")
    assert run.returncode == 0, run.stderr
    # Blocks 0, 2, 4, 6 and 1, 3, 5, 7 (the last one short), each in two views: the work was shared, not done twice.
    # Ten more each are what `check_function` looks at first.
    assert "process 0 of 2 encoded 58" in run.stderr
    assert "process 1 of 2 encoded 52" in run.stderr
    assert contents(folder) == contents(finished)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_the_main_process_tells_of_bad_input_that_another_met(tmp_path: Path) -> None:
    # Image 20 lies in block 3, which falls to process 1.
    run = _launch(tmp_path / "store", "0", "20")
    assert run.returncode != 0
    assert run.stderr.count("error: p20: expected finite features from grey") == 1
    assert not (tmp_path / "store" / "manifest.json").exists()


def _launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launch, PROGRAM, folder, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("block", [BLOCK, COUNT])
def test_a_store_is_also_vectors_with_their_ids_and_victim(tmp_path: Path, block: int) -> None:
    pairs = extract(noisy(), some_images(), to=tmp_path / "store", block=block)
    vectors = load_features(tmp_path / "store")
    assert np.array_equal(vectors.features, pairs.features(range(COUNT)))
    assert vectors.ids == list(some_images().ids)
    assert vectors.metadata == noisy().metadata
    assert pair(vectors, some_images()).metadata == noisy().metadata
    (tmp_path / "store" / "ids.json").write_text('{"not": "a list"}')
    with pytest.raises(BadInput, match=r"ids\.json: expected a list of strings"):
        load_features(tmp_path / "store")


@pytest.mark.slow
def test_anonymous_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    used = []
    for count in (10_000, 60_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        program = Path(__file__).with_name("memory_program.py")
        # Freed blocks go back to the system at once, so that the allocator's habits do not blur the figures.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "1"}
        command = [sys.executable, program, str(count), folder]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        used.append(int(run.stdout))
    # Features of 50,000 more images in two views would take 200,000 kB, the images 21,000 kB, their ids 3,000 kB.
    assert used[1] < used[0] * 1.1
    assert used[1] - used[0] < 10_000
