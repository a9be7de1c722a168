"""The comparison in wandb, read back from the offline runs; and a wandb that is missing, broken or logged out."""

import io
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from evaluation_parts import PoolJudge, mean_image, perfect, published, some_images
from PIL import Image
from tracked_records import Records, read_all

import featinv as fi
from featinv import processes
from featinv.tracking import Study, TrackingSettings, log
from featinv.tracking.places import without_places
from featinv.tracking.probe_table import draw_probe
from featinv.tracking.study import _artifact_name

HISTORY = [
    {"step": k, "images": 64 * k, "seconds": 0.1 * k, "lr": 0.1, "train/loss": 1 / k, "val/psnr": 20.0 - abs(k - 7)}
    for k in range(1, 11)
]
CONFIG = {"data": "/home/alice/photos", "attacks": {"perfect": {"lr": 0.1}}}


@pytest.fixture(scope="module")
def release() -> fi.Release:
    return published(some_images(40))


@pytest.fixture(scope="module")
def attacks() -> dict[str, Any]:
    learnt = perfect()
    learnt.history = HISTORY  # type: ignore[attr-defined]
    return {"mean image": mean_image(), "perfect": learnt}


@pytest.fixture(scope="module")
def board(release: fi.Release, attacks: dict[str, Any]) -> fi.Scoreboard:
    return fi.compare(attacks, release, [PoolJudge()], galleries=[], progress=False, resamples=200)


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, board: fi.Scoreboard, attacks: dict[str, Any], release: fi.Release
) -> tuple[Path, dict[str, str]]:
    """One study, offline, without any permission; half of the curve is told while the attack trains."""
    folder = tmp_path_factory.mktemp("study")
    store = folder / "features"
    store.mkdir()
    (store / "part.npy").write_bytes(b"secret vectors")
    study = Study(folder, TrackingSettings(study="a study", tags=("nightly",), probe=8), config=CONFIG)
    listener = study.listener("perfect", attacks["perfect"])
    assert listener is not None
    for row in HISTORY[:5]:
        listener(row)
    return folder, study.log(board, attacks, release, features=store, folders={"perfect": store})


@pytest.fixture(scope="module")
def runs(study: tuple[Path, dict[str, str]]) -> dict[str, Records]:
    return read_all(study[0])


@pytest.fixture
def logged_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    # wandb keeps the settings of the first call in the process: another test's key may be among them.
    monkeypatch.setattr(wandb.setup().settings, "api_key", None)


def test_one_run_an_attack_and_one_for_the_comparison_grouped_by_study(
    study: tuple[Path, dict[str, str]], runs: dict[str, Records]
) -> None:
    assert set(runs) == set(study[1])
    assert {name: run.start["job_type"] for name, run in runs.items()} == {
        "mean image": "control",
        "perfect": "attack",
        "comparison": "comparison",
    }
    for name, run in runs.items():
        assert (run.start["run_group"], run.start["project"]) == ("a study", "featinv")
        assert run.start["run_id"] == study[1][name]
        assert {"nightly", run.start["job_type"]} <= set(run.start["tags"])


def test_the_config_says_victim_data_versions_and_settings(runs: dict[str, Records], board: fi.Scoreboard) -> None:
    for run in runs.values():
        assert run.config["victim"]["fingerprint"] == board.victim["fingerprint"]
        assert run.config["data"]["private"] == board.protocol["private"]
        assert run.config["versions"] == board.protocol["versions"]
        assert run.config["settings"]["attacks"] == CONFIG["attacks"]
    assert runs["perfect"].config["attack"]["name"] == "perfect"


def test_curves_are_told_once_each_against_images_and_the_summary_holds_the_best(runs: dict[str, Records]) -> None:
    curve = [row for row in runs["perfect"].history if "train/loss" in row]
    assert [row["images"] for row in curve] == [row["images"] for row in HISTORY]
    assert [row["val/psnr"] for row in curve] == [row["val/psnr"] for row in HISTORY]
    assert runs["perfect"].summary["val/psnr"] == {"max": 20.0}
    steps = {one["name"]: one.get("step_metric") for one in runs["perfect"].of("metric") if "name" in one}
    assert steps["val/psnr"] == "images"


def test_private_metrics_stand_in_the_summary_with_their_bounds(runs: dict[str, Records], board: fi.Scoreboard) -> None:
    summary, metrics = runs["perfect"].summary, board["perfect"].metrics
    for key, name in {"psnr": "psnr", "reid_top10": "reid_top10", "strength": "attack_strength"}.items():
        found = [summary[f"attack/{key}{bound}"] for bound in ("", "_low", "_high")]
        assert found == pytest.approx([metrics[name].mean, metrics[name].low, metrics[name].high])
    assert summary["attack/n"] == 40
    assert "attack/strength" not in runs["mean image"].summary


def test_the_probe_is_the_same_in_every_attack_and_holds_the_boards_numbers(
    runs: dict[str, Records], board: fi.Scoreboard
) -> None:
    chosen = draw_probe(board, 8)
    tables = {name: runs[name].table("probe") for name in ("mean image", "perfect")}
    for name, table in tables.items():
        assert table["image_id"] == tables["perfect"]["image_id"]
        assert len(set(table["image_id"])) == 8
        assert table["psnr"] == pytest.approx(board.per_image[f"{name}/psnr"][chosen].tolist())
        assert table["rank"] == board.per_image[f"{name}/rank"][chosen].tolist()
        assert not {"original", "reconstruction"} & set(table)


def test_the_comparison_holds_the_scoreboard_bars_with_intervals_and_the_trade_off(
    runs: dict[str, Records], board: fi.Scoreboard
) -> None:
    run = runs["comparison"]
    rows = run.table("scoreboard/rows")
    assert rows["attack"] == [row.name for row in board.attacks]
    assert rows["strength"][-1] == pytest.approx(board["perfect"].metrics["attack_strength"].mean)
    assert rows["psnr_low"][0] == pytest.approx(board["mean image"].metrics["psnr"].low)
    views = run.table("scoreboard/views")
    assert {"", "low-pass", "jpeg 75", "shift"} <= set(views["view"])
    assert {"plots/psnr", "plots/strength", "plots/trade_off"} <= {
        key.removeprefix("_wandb.visualize.") for key in run.config if key.startswith("_wandb.visualize.")
    }
    assert run.summary["comparison/level"] == board.leak_level.level  # type: ignore[union-attr]
    for key in ("scoreboard/bars", "scoreboard/trade_off"):
        pixels = run.image(key)
        assert pixels.dtype == np.uint8
        assert pixels.mean() > 128, "a figure on white paper: floats would have logged black"
        assert len(np.unique(pixels)) > 10


def test_attacks_and_stores_are_named_by_their_files_and_not_uploaded(runs: dict[str, Records]) -> None:
    artifacts = {one["type"]: one for run in runs.values() for one in run.of("artifact") if one["type"] != "run_table"}
    assert set(artifacts) == {"attack", "features"}
    for artifact in artifacts.values():
        assert [entry["path"] for entry in artifact["manifest"]["contents"]] == ["contents.json"]


def test_nothing_private_is_told_unless_asked_for_by_name(
    study: tuple[Path, dict[str, str]], runs: dict[str, Records], release: fi.Release
) -> None:
    """Field by field: what would be synced, without the paths of this machine by which wandb finds its own files."""
    for run in runs.values():
        kinds = {record["type"] for record in run.records}
        assert not kinds & {"environment", "output", "output_raw", "stats", "alert"}
        fields = [field for record in run.records for field in leaves(record) if field[0] != "local_path"]
        words = " ".join(str(value) for _, value in fields)
        program = Path(sys.argv[0]).name  # "-c" in a worker of pytest-xdist: no name
        forbidden = [str(Path.cwd()), str(Path.home()), str(study[0]), "alice"] + [program] * (program != "-c")
        assert not [word for word in forbidden if word in words]
        # As words of their own: any three letters stand somewhere in wandb's random ids.
        assert not re.search(r"\b(git|ssh)\b", words)
        assert not [field for field in fields if field[0] in ("host", "program", "username", "email") and field[1]]
        assert socket.gethostname() not in [value for _, value in fields]
    originals = {release.truth.uint8([row])[0].tobytes() for row in range(40)}  # type: ignore[union-attr]
    shown = 0
    for file in (study[0] / "wandb").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert b"secret vectors" not in content
        if content.startswith(b"\x89PNG"):
            shown += 1
            assert np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).tobytes() not in originals
    assert shown == 2, "the two figures"


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a record with the name that it stands under."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield "key", key
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, value


def test_with_permission_the_probe_shows_the_images_to_the_bit_and_a_second_logging_keeps_the_ids(
    tmp_path: Path, board: fi.Scoreboard, release: fi.Release, caplog: pytest.LogCaptureFixture
) -> None:
    only = {"perfect": perfect()}
    settings = TrackingSettings(log_private_images=True, probe=50)
    first = Study(tmp_path, settings).log(board, only, release)
    assert "tracking.probe: 50 images asked for, but the release has 40" in caplog.text
    table = read_all(tmp_path)["perfect"].table("probe")
    assert len(table["original"]) == 40
    for row, original in enumerate(table["original"]):
        assert np.array_equal(original, release.truth.uint8([row])[0])  # type: ignore[union-attr]
    assert np.array_equal(table["reconstruction"][3], table["original"][3])

    only["perfect"].history = HISTORY  # type: ignore[attr-defined]
    again = Study(tmp_path, TrackingSettings(probe=0)).log(board, only, release)
    assert again == first
    resumed = Records(sorted((tmp_path / "wandb").glob(f"offline-run-*-{first['perfect']}"))[-1])
    assert len([row for row in resumed.history if "train/loss" in row]) == len(HISTORY)


def test_disabled_writes_nothing(tmp_path: Path, board: fi.Scoreboard, attacks: dict[str, Any]) -> None:
    study = Study(tmp_path, TrackingSettings(mode="disabled"))
    assert study.listener("perfect", attacks["perfect"]) is None
    assert study.log(board, attacks) == {}
    assert log(board, mode="disabled", folder=tmp_path) == {}
    assert not list(tmp_path.iterdir())


def test_other_processes_are_silent(
    tmp_path: Path, board: fi.Scoreboard, attacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "is_main", lambda: False)
    study = Study(tmp_path)
    assert study.listener("perfect", attacks["perfect"]) is None
    assert study.log(board, attacks) == {}
    assert not list(tmp_path.iterdir())


def test_without_wandb_the_run_goes_on_and_says_so_once(
    tmp_path: Path, board: fi.Scoreboard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "featinv.tracking.wandb_runs", raising=False)
    monkeypatch.delattr("featinv.tracking.wandb_runs", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert Study(tmp_path).log(board) == {}
    assert caplog.messages == ["wandb: wandb is not installed (pip install wandb); the run goes on without it"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError("no space left"), TimeoutError("too slow")])
def test_a_failing_wandb_stops_nothing(
    error: Exception,
    tmp_path: Path,
    board: fi.Scoreboard,
    attacks: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from featinv.tracking import wandb_runs

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(wandb_runs, "open_run", fail)
    study = Study(tmp_path)
    listener = study.listener("perfect", attacks["perfect"])
    assert listener is not None
    listener(HISTORY[0])
    listener(HISTORY[1])
    assert study.log(board, attacks) == {}
    assert caplog.messages == [f"wandb: {type(error).__name__}: {error}; the run goes on without it"]


def test_without_a_login_it_goes_offline_and_says_so(
    tmp_path: Path, board: fi.Scoreboard, logged_out: None, caplog: pytest.LogCaptureFixture
) -> None:
    settings = TrackingSettings(mode="online", probe=0)
    assert set(Study(tmp_path, settings).log(board, {})) == {"comparison"}
    assert "nobody is logged in; the study goes to" in caplog.text
    assert set(read_all(tmp_path)) == {"comparison"}


def test_with_a_login_and_no_server_the_whole_study_is_written_offline(
    tmp_path: Path, board: fi.Scoreboard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from featinv.tracking import wandb_runs

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{_closed_port()}")
    monkeypatch.setattr(wandb.setup().settings, "api_key", "0" * 40)
    monkeypatch.setattr(wandb_runs, "_SECONDS_TO_START", 2.0)
    assert set(Study(tmp_path, TrackingSettings(mode="online", probe=0)).log(board, {})) == {"comparison"}
    assert "the study goes to" in caplog.text
    assert set(read_all(tmp_path)) == {"comparison"}


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_without_a_server_it_goes_offline_and_says_so(
    tmp_path: Path,
    board: fi.Scoreboard,
    logged_out: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from featinv.tracking import wandb_runs

    asked = []

    def refuse(*_: Any, mode: str, **__: Any) -> Any:
        asked.append(mode)
        raise wandb_runs.NO_SERVER[0]("no route") if mode == "online" else RuntimeError("enough")

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_runs, "open_run", refuse)
    assert Study(tmp_path, TrackingSettings(mode="online")).log(board, {}) == {}
    assert asked == ["online", "offline"]
    assert "no route; the study goes to" in caplog.text


@pytest.mark.parametrize(
    ("setting", "variable", "expected"),
    [
        ("online", "offline", "offline"),
        ("offline", "online", "offline"),
        ("online", "", "online"),
        ("online", "dryrun", "offline"),
        ("online", "disabled", "disabled"),
        ("disabled", "online", "disabled"),
    ],
)
def test_the_more_reserved_of_setting_and_environment_counts(
    setting: Any, variable: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    runs = Study(tmp_path, TrackingSettings(mode=setting)).runs
    assert runs is not None
    assert runs.mode == expected
    monkeypatch.setenv("WANDB_DISABLED", "true")
    runs = Study(tmp_path, TrackingSettings(mode=setting)).runs
    assert runs is not None
    assert runs.silent


def test_an_agent_gets_one_run_under_its_own_id(
    tmp_path: Path, board: fi.Scoreboard, attacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from featinv.tracking import wandb_runs

    opened = []

    def remember(record: Any, *, run_id: str, **_: Any) -> Any:
        opened.append((record.name, run_id))
        raise RuntimeError("enough")

    monkeypatch.setattr(wandb_runs, "open_run", remember)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    Study(tmp_path).log(board, attacks)
    assert opened == [("perfect", "given")]


def test_wrong_arguments_are_one_line(tmp_path: Path, board: fi.Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(fi.BadInput, match="tracking.project: expected a name without '/', got 'me/mine'"):
        TrackingSettings(project="me/mine")
    with pytest.raises(fi.BadInput, match="tracking.probe: expected a number of images, got -1"):
        TrackingSettings(probe=-1)
    with pytest.raises(fi.BadInput, match="config: expected a dataclass or a mapping of settings, got int"):
        log(board, config=3, folder=tmp_path)
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(fi.BadInput, match="WANDB_MODE: expected one of disabled, offline, online, got 'sometimes'"):
        Study(tmp_path)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("/home/alice/photos", ".../photos"),
        ("~/photos", ".../photos"),
        ("VGG(weights='/data/secret place/x.pt')", None),
        ("wrap(/srv/alice/net.safetensors)", "wrap(.../net.safetensors)"),
        ("file:///home/alice/x", ".../x"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("runs/demo", "runs/demo"),
        ("0.1/0.2", "0.1/0.2"),
        (["/a/b", {"k": "/a/c"}, 3, None, True], [".../b", {"k": ".../c"}, 3, None, True]),
    ],
)
def test_places_are_cut_to_their_last_part(told: Any, kept: Any) -> None:
    found = without_places(told)
    assert found == kept if kept is not None else "/data" not in found


def test_a_row_of_history_is_heard_once_each(tmp_path: Path) -> None:
    pairs = fi.testing.synthetic_pairs(feature_shape=(16,), size=8)
    training = fi.Training(images=96, batch_size=16, holdout=8)
    heard: list[dict[str, float]] = []
    attack = fi.attacks.DecoderAttack(fi.decoders.Listik((16,), 8), fi.losses.MSE(), training)
    attack.fit(pairs, progress=False, listener=heard.append)
    assert heard == attack.history
    assert any("val/psnr" in row for row in heard)


def test_nothing_is_left_in_the_home_folder(study: tuple[Path, dict[str, str]]) -> None:
    assert (study[0] / "wandb" / "data").is_dir()
    assert "WANDB_DATA_DIR" not in os.environ


def test_ids_and_artifacts_of_different_studies_and_attacks_differ(tmp_path: Path, board: fi.Scoreboard) -> None:
    """Two folders of one name; names that lose letters; a boundary between names that could lie elsewhere."""
    logged = [Study(tmp_path / parent / "run", TrackingSettings(mode="offline")).log(board) for parent in ("a", "b")]
    ids = [one for found in logged for one in found.values()]
    assert len(ids) == 2 * 3
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]{1,128}", one) for one in ids)
    names = [
        ("s", "ridge λ=1"),
        ("s", "ridge (1)"),
        ("s", "ridge 1"),
        ("s-ridge", "1"),
        ("s", "x" * 300),
        ("s", "x" * 301),
    ]
    artifacts = [_artifact_name(*one) for one in names]
    assert len(set(artifacts)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", one) for one in artifacts)
