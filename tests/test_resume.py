"""Training states on disk: exact resume after SIGKILL, and what is refused."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from evaluation_parts import mean_image
from torch import Tensor
from training_parts import kill_moments, make_decoder, make_pairs

from featinv import BadInput, Training
from featinv.losses import L1, MSE, Loss
from featinv.training import Checkpoints, FitOptions, Fitted, fit_decoder

SETTINGS = Training(images=480, batch_size=24, holdout=10, ema=0.9)


def _fit(folder: Path, settings: Training = SETTINGS, *, objective: Loss | None = None, **more: Any) -> Fitted:
    checkpoints = Checkpoints(folder, every_images=more.pop("every", 96))
    pairs = more.pop("pairs", None) or make_pairs(100)
    identity = more.pop("identity", None)
    options = FitOptions(checkpoints, progress=False, **more)
    return fit_decoder(make_decoder(0.3), objective or MSE(), pairs, settings, options, identity=identity)


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step_*"))


# ------------------------------------------------------------------------------------------------ SIGKILL

SCRIPT = """
import sys, time, torch
from pathlib import Path
from featinv import Training
from featinv.features import Pairs
from featinv.losses import L1, MSE
from featinv.training import Checkpoints, FitOptions, fit_decoder
from training_parts import DoubleViews, make_decoder
torch.set_num_threads(1)
folder, out, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

class Slow(L1):
    def forward(self, reconstruction, original):
        if self.training:  # a moment to be killed in
            time.sleep(pause)
            print("step", flush=True)
        return super().forward(reconstruction, original)

settings = Training(images=1440, batch_size=24, accumulation=2, flips=True, ema=0.9, holdout=10, clip=0.1)
fitted = fit_decoder(make_decoder(dropout=0.4), MSE() + 0.5 * Slow(), DoubleViews(), settings,
                     FitOptions(Checkpoints(folder, every_images=100), progress=False))
history = [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history]
torch.save([fitted.weights, history], out)
"""


def _start(tmp_path: Path, name: str, pause: float) -> subprocess.Popen:
    tests = Path(__file__).parent
    (tmp_path / "slow.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}", "OMP_NUM_THREADS": "1"}
    arguments = [str(tmp_path / "slow.py"), str(tmp_path / f"{name}_states"), str(tmp_path / f"{name}.pt"), str(pause)]
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.multiprocess
def test_killed_at_a_random_step_and_resumed_it_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole = _start(tmp_path, "whole", 0.0)
    moments = kill_moments()
    calls = moments.randint(20, 100)  # two calls a step, sixty steps
    with _start(tmp_path, "cut", 0.01) as killed:
        assert killed.stdout is not None
        for _ in range(calls):
            assert killed.stdout.readline() == "step\n"
        time.sleep(moments.random() * 0.02)  # within a step, or while a state is being written
        os.kill(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut.pt").exists()
    assert _steps(tmp_path / "cut_states"), "killed before the first state: this tests nothing"
    resumed = _start(tmp_path, "cut", 0.0)
    printed = resumed.communicate(timeout=200)[0].count("step")
    assert resumed.returncode == 0
    assert printed < 120, "it began anew"
    assert whole.communicate(timeout=200) is not None
    (weights, history), (again, rows) = torch.load(tmp_path / "whole.pt"), torch.load(tmp_path / "cut.pt")
    assert _equal(weights, again), f"killed after {calls} calls"
    assert history == rows


# ------------------------------------------------------------------------------------------------ in one process


def test_interrupted_at_any_state_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = _fit(tmp_path / "a", every=1)
    assert whole.steps == 20
    for step in (1, 7, 19):
        states = tmp_path / f"b{step}"
        with pytest.raises(_Stopped):
            _fit(states, objective=_Stopping(step), every=1)
        assert _steps(states)[-1] == f"step_{step:08d}"
        again = _fit(states)
        assert _equal(again.weights, whole.weights)
        assert [row["step"] for row in again.history] == [row["step"] for row in whole.history]


class _Stopped(Exception):
    pass


class _Stopping(MSE):
    """Stands for whatever kills a process between two steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def __repr__(self) -> str:
        return repr(MSE())

    @property
    def terms(self) -> Any:
        return MSE().terms

    def named(self, reconstruction: Tensor, original: Tensor) -> dict[str, Tensor]:
        self.steps -= 1
        if self.steps < 0:
            raise _Stopped
        return super().named(reconstruction, original)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = _fit(tmp_path)
    second = _fit(tmp_path, objective=_Stopping(0))  # would stop at its first step
    assert _equal(first.weights, second.weights)
    assert second.history == first.history
    assert second.steps == 20


def test_the_newest_states_stay_and_the_last_step_is_one_of_them(tmp_path: Path) -> None:
    _fit(tmp_path)
    assert _steps(tmp_path) == ["step_00000016", "step_00000020"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    marker = json.loads((tmp_path / "step_00000020" / "complete.json").read_text())
    assert (marker["step"], marker["images"]) == (20, 480)
    assert set(marker["files"]) == {p.name for p in (tmp_path / "step_00000020").iterdir()} - {"complete.json"}


@pytest.mark.parametrize("damage", ["no marker", "cut file", "missing file", "broken marker", "empty folder"])
def test_half_written_states_are_ignored(tmp_path: Path, damage: str) -> None:
    _fit(tmp_path)
    newest = tmp_path / "step_00000020"
    if damage == "no marker":
        (newest / "complete.json").unlink()
    elif damage == "cut file":
        (newest / "model.safetensors").write_bytes((newest / "model.safetensors").read_bytes()[:-1])
    elif damage == "missing file":
        (newest / "optimizer.bin").unlink()
    elif damage == "broken marker":
        (newest / "complete.json").write_text("{")
    else:
        (tmp_path / "step_00000099").mkdir()
        assert Checkpoints(tmp_path).latest() == newest
        return
    (tmp_path / ".step_00000024.x.tmp").mkdir()
    assert Checkpoints(tmp_path).latest() == tmp_path / "step_00000016"
    assert _fit(tmp_path).steps == 20
    assert Checkpoints(tmp_path).latest() == newest, "written again, in its place"
    assert _steps(tmp_path) == [path.name for path in sorted(tmp_path.iterdir())], "and what the kill left is gone"


def test_states_are_due_by_the_clock_as_well(tmp_path: Path) -> None:
    from featinv.training.progress import Progress

    progress = Progress(Training())
    checkpoints = Checkpoints(tmp_path, every_seconds=10)
    progress.load_state_dict({"step": 5, "images": 640, "seconds": 9.0})
    progress._started -= 2.0
    progress.advance(128)
    assert checkpoints.due(progress)
    progress.advance(128)
    assert not checkpoints.due(progress)


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": Training(images=960, batch_size=24, holdout=10, ema=0.9)}, "training.images: 480 there, 960"),
        ({"settings": Training(images=480, batch_size=24, holdout=10, ema=None)}, r"training.ema: 0\.9 there, None"),
        ({"objective": L1()}, "objective"),
        ({"pairs": make_pairs(100, seed=1)}, "pairs.images"),
        ({"pairs": make_pairs(101)}, "pairs.count: 100 there, 101"),
        ({"identity": {"decoder": {"class": "x", "args": {"width": 3}}}}, "decoder.args.width: 2 there, 3"),
    ],
)
def test_a_state_of_another_training_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    identity = {"decoder": {"class": "x", "args": {"width": 2}}}
    _fit(tmp_path, identity=identity)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    settings = change.pop("settings", SETTINGS)
    with pytest.raises(BadInput, match=words):
        _fit(tmp_path, settings, **{"identity": identity, **change})
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}, "nothing was touched"


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    _fit(tmp_path)
    marker = tmp_path / "step_00000020" / "complete.json"
    content = json.loads(marker.read_text())
    content["identity"]["processes"] = 2
    marker.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="processes: 2 there, 1 here"):
        _fit(tmp_path)


def test_a_folder_with_states_is_not_written_over(tmp_path: Path) -> None:
    _fit(tmp_path)
    with pytest.raises(BadInput, match="already; resume it, or choose another folder"):
        _fit(tmp_path, resume=False)


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_state_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    _fit(tmp_path)
    evil = tmp_path / "step_00000020" / "custom_checkpoint_0.pkl"
    evil.write_bytes(b"")
    torch.save({"step": _Payload(tmp_path / "ran")}, evil)
    marker = tmp_path / "step_00000020" / "complete.json"
    content = json.loads(marker.read_text())
    content["files"][evil.name] = evil.stat().st_size
    marker.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"custom_checkpoint_0\.pkl: expected numbers only"):
        _fit(tmp_path)
    assert not (tmp_path / "ran").exists()
    torch.load(evil, weights_only=False)
    assert (tmp_path / "ran").exists(), "the payload is one"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_state_of_another_user_is_refused(tmp_path: Path) -> None:
    _fit(tmp_path)
    os.chown(tmp_path / "step_00000020", 12345, -1)
    with pytest.raises(BadInput, match="belongs to another user"):
        _fit(tmp_path)


def test_a_full_disk_is_one_line_and_earlier_states_stay(tmp_path: Path) -> None:
    with pytest.raises(_Stopped):
        _fit(tmp_path, objective=_Stopping(5))
    assert _steps(tmp_path) == ["step_00000004"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a disk that takes no file larger than that
    try:
        with pytest.raises(BadInput, match=r"step_00000008: .*full.*") as refusal:
            _fit(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000004"]
    assert _fit(tmp_path).steps == 20


@pytest.mark.parametrize("name", ["every_images", "every_seconds", "keep"])
def test_checkpoints_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=rf"checkpoints\.{name}"):
        Checkpoints(tmp_path, **{name: 0})


# ------------------------------------------------------------------------------------------------ listeners


def test_a_listener_gets_every_row_once_though_the_training_was_interrupted(tmp_path: Path) -> None:
    """What was heard before the interruption and after it, put together, is what an uninterrupted training tells."""
    whole: list[dict[str, float]] = []
    _fit(tmp_path / "a", every=1, listener=whole.append)
    assert [row["step"] for row in whole] == list(range(1, 21))
    for step in (1, 7, 19):
        heard: list[dict[str, float]] = []
        with pytest.raises(_Stopped):
            _fit(tmp_path / f"b{step}", objective=_Stopping(step), every=1, listener=heard.append)
        before = len(heard)
        assert before == step
        again = _fit(tmp_path / f"b{step}", every=1, listener=heard.append)
        assert len(heard) > before
        assert [_timeless(row) for row in heard] == [_timeless(row) for row in whole]
        assert [_timeless(row) for row in heard] == [_timeless(row) for row in again.history]


def test_a_study_tells_rows_since_the_last_state_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States are rarer than rows: a resumed training makes those since the last state again, and they are skipped."""
    from featinv.tracking import Study, wandb_runs

    told: list[float] = []
    monkeypatch.setattr(wandb_runs, "open_run", lambda *_, run_id, **__: SimpleNamespace(id=run_id))
    monkeypatch.setattr(wandb_runs, "write_row", lambda run, row: told.append(row["images"]))
    monkeypatch.setattr("featinv.tracking.open_runs._SECONDS_BETWEEN_WRITES", 0.0)
    attack = mean_image()
    with pytest.raises(_Stopped):
        _fit(tmp_path / "a", objective=_Stopping(9), every=96, listener=Study(tmp_path).listener("x", attack))
    assert len(told) == 9
    _fit(tmp_path / "a", every=96, listener=Study(tmp_path).listener("x", attack))  # as in a new process
    assert told == [24.0 * step for step in range(1, 21)]


def _timeless(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}
