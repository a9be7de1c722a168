"""Exact resume with an adversary: both networks, both optimisers, the average, LeCam's averages and every counter."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversarial_parts import make_adversary
from safetensors.torch import load_file
from torch import Tensor
from training_parts import kill_moments, make_decoder, make_pairs

from featinv import Adversary, BadInput, Training
from featinv.discriminators import DiffAugment
from featinv.losses import MSE, R1, GradientPenalty, LeCam, Loss, hinge, relativistic
from featinv.training import Checkpoints, FitOptions, Fitted, collapse, fit_decoder

SETTINGS = Training(images=480, batch_size=24, accumulation=2, holdout=10, ema=0.9, clip=0.1)


def everything() -> Adversary:
    """An adversary with all that has to be remembered: counters, averages, draws, a batch norm's and Adam's moments."""
    penalties = [LeCam(start=2)]
    return make_adversary(
        hinge,
        conditional=True,
        norm="batch",
        penalties=penalties,
        augment=DiffAugment(),
        decoder_every=2,
        adaptive=True,
    )


def _fit(folder: Path, adversary: Adversary | None, objective: Loss | None = None, **more: Any) -> Fitted:
    checkpoints = Checkpoints(folder, every_images=more.pop("every", 48), keep=more.pop("keep", 2))
    return fit_decoder(
        make_decoder(0.3),
        objective or MSE(),
        make_pairs(100),
        more.pop("settings", SETTINGS),
        FitOptions(checkpoints, progress=False),
        adversary=adversary,
        **more,
    )


def state(folder: Path) -> dict[str, Any]:
    """All that a training state holds, but for the wall clock."""
    read: dict[str, Any] = {path.name: load_file(path) for path in folder.glob("*.safetensors")}
    read |= {path.name: torch.load(path, weights_only=True) for path in folder.glob("*.bin")}
    for path in folder.glob("custom_checkpoint_*.pkl"):
        held = read[path.name] = torch.load(path, weights_only=True)
        held.pop("seconds", None)
        for row in held.get("rows", ()):
            row.pop("seconds")
    return read


def same(one: Any, other: Any, where: str = "") -> None:
    """Assert that two nested values are equal, bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (this, that) in enumerate(zip(one, other, strict=True)):
            same(this, that, f"{where}/{number}")
    elif isinstance(one, Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


class _Stopped(Exception):
    pass


class _Stopping(MSE):
    """Stands for whatever kills a process in the middle of a step."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def __repr__(self) -> str:
        return repr(MSE())

    @property
    def terms(self) -> Any:
        return MSE().terms

    def named(self, reconstruction: Tensor, original: Tensor) -> dict[str, Tensor]:
        self.calls -= 1
        if self.calls < 0:
            raise _Stopped
        return super().named(reconstruction, original)


def test_interrupted_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    _fit(tmp_path / "a", everything())
    whole = state(tmp_path / "a" / "step_00000020")
    assert {"model.safetensors", "model_1.safetensors", "optimizer.bin", "optimizer_1.bin"} <= whole.keys()
    assert bool(whole["model_1.safetensors"]["held.0.started"]), "LeCam's averages are there, and were used"
    assert {"steps": 18} in whole.values(), "and the count of the discriminator's steps"
    for calls in (8, 15):  # two calls a step of the decoder: in the lead, and where it moves in every second step only
        with pytest.raises(_Stopped):
            _fit(tmp_path / f"{calls}", everything(), _Stopping(calls))
        assert Checkpoints(tmp_path / f"{calls}").latest() is not None
        _fit(tmp_path / f"{calls}", everything())
        same(state(tmp_path / f"{calls}" / "step_00000020"), whole)


SCRIPT = """
import sys, time, torch
from pathlib import Path
from featinv import Training
from featinv.losses import L1, MSE, LeCam, R1, relativistic
from featinv.training import Checkpoints, FitOptions, fit_decoder
from test_adversarial_resume import everything
from training_parts import DoubleViews, make_decoder
torch.set_num_threads(1)
folder, pause = Path(sys.argv[1]), float(sys.argv[2])
adversary = everything()
whole = adversary.discriminator.hidden

def slow(images):
    time.sleep(pause)  # a moment to be killed in
    print("pass", flush=True)
    return whole(images)

adversary.discriminator.hidden = slow
settings = Training(images=1440, batch_size=24, accumulation=2, flips=True, ema=0.9, holdout=10, clip=0.1)
fit_decoder(make_decoder(dropout=0.4), MSE() + 0.5 * L1(), DoubleViews(), settings,
            FitOptions(Checkpoints(folder, every_images=100), progress=False), adversary=adversary)
"""


def _start(tmp_path: Path, name: str, pause: float) -> subprocess.Popen:
    tests = Path(__file__).parent
    (tmp_path / "slow.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}", "OMP_NUM_THREADS": "1"}
    arguments = [str(tmp_path / "slow.py"), str(tmp_path / name), str(pause)]
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.multiprocess
def test_killed_at_a_random_step_and_resumed_both_networks_end_as_they_would_have(tmp_path: Path) -> None:
    whole = _start(tmp_path, "whole", 0.0)
    moments = kill_moments()
    passes = moments.randint(20, 300)
    with _start(tmp_path, "cut", 0.003) as killed:
        assert killed.stdout is not None
        for _ in range(passes):
            assert killed.stdout.readline() == "pass\n"
        time.sleep(moments.random() * 0.02)  # within a step, or while a state is being written
        os.kill(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    latest = Checkpoints(tmp_path / "cut").latest()
    assert latest is not None, "killed before the first state: this tests nothing"
    assert latest.name < "step_00000060"
    resumed = _start(tmp_path, "cut", 0.0)
    again = resumed.communicate(timeout=200)[0].count("pass")
    everything_anew = whole.communicate(timeout=200)[0].count("pass")
    assert (resumed.returncode, whole.returncode) == (0, 0)
    assert again < everything_anew, "it began anew"
    same(
        state(tmp_path / "cut" / "step_00000060"), state(tmp_path / "whole" / "step_00000060"), f"after {passes} passes"
    )


# ------------------------------------------------------------------------------------------- another set of networks


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (make_adversary, lambda: None, r"adversary: 'Adversary\(TinyDiscriminator\(\), .*there, None here"),
        (lambda: None, make_adversary, r"adversary: None there, 'Adversary\(TinyDiscriminator\(\)"),
        (make_adversary, lambda: make_adversary(norm="spectral"), r"norm='spectral'"),
        (make_adversary, lambda: make_adversary(conditional=True), r"Projection"),
        (make_adversary, lambda: make_adversary(relativistic, penalties=[R1(1.0)]), r"R1\(1\.0\)"),
        (make_adversary, lambda: make_adversary(weight=0.2), r"weight=0\.2"),
    ],
)
def test_another_set_of_networks_is_refused_in_one_line(tmp_path: Path, before: Any, after: Any, words: str) -> None:
    short = replace(SETTINGS, images=24)
    _fit(tmp_path, before(), settings=short)
    with pytest.raises(BadInput, match=rf"step_00000001: belongs to another training \(.*{words}") as refusal:
        _fit(tmp_path, after(), settings=short)
    assert "\n" not in str(refusal.value)


# ------------------------------------------------------------------------------------------- collapse


def _hasty(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    for name, value in {"STEPS_BETWEEN_LOOKS": 2, "STEPS_IN_A_ROW": 6, **limits}.items():
        monkeypatch.setattr(collapse, name, value)


def _steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_when_the_discriminator_has_won_one_warning_is_logged_and_a_state_from_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _hasty(monkeypatch, WON=0.0)
    fitted = _fit(tmp_path, make_adversary(), keep=1)
    (notice,) = fitted.notices
    assert notice.startswith("The discriminator has won: it tells originals from their reconstructions almost always ")
    assert "since step 4 " in notice, "when the adversary began to play"
    assert caplog.text.count("The discriminator has won") == 1
    assert _steps(tmp_path) == ["step_00000004", "step_00000020"]


def test_collapsed_reconstructions_are_noticed_and_so_they_are_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hasty(monkeypatch, COLLAPSED=10.0)
    whole = _fit(tmp_path / "a", make_adversary())
    assert len(whole.notices) == 1
    assert whole.notices[0].startswith("The reconstructions have collapsed: ")
    for calls in (18, 22):  # steps 9 and 11: before it is said, and after
        with pytest.raises(_Stopped):
            _fit(tmp_path / f"{calls}", make_adversary(), _Stopping(calls))
        assert _fit(tmp_path / f"{calls}", make_adversary()).notices == whole.notices
        same(state(tmp_path / f"{calls}" / "step_00000020"), state(tmp_path / "a" / "step_00000020"))
        assert _steps(tmp_path / f"{calls}") == ["step_00000004", "step_00000018", "step_00000020"]


def test_nothing_is_said_and_nothing_more_is_kept_where_all_is_well(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, make_adversary(penalties=[GradientPenalty()]))
    assert fitted.notices == []
    assert _steps(tmp_path) == ["step_00000018", "step_00000020"]
