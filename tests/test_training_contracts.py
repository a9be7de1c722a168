"""A training is what a hand-written loop does, however it is cut up and whatever was done before."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from training_parts import DoublePairs, Squared, make_decoder, make_pairs

from featinv import BadInput, Diverged, Training
from featinv.features import Pairs
from featinv.losses import L1, MSE, Loss
from featinv.metrics import psnr
from featinv.training import Checkpoints, FitOptions, Fitted, fit_decoder
from featinv.training.batches import Batches, hold_out
from featinv.training.progress import rate

STEPS, BATCH = 20, 24
PLAIN = Training(
    images=STEPS * BATCH, batch_size=BATCH, lr=3e-3, clip=0.02, ema=0.9, warmup=0.1, holdout=0, keep="last"
)


def _fit(settings: Training, objective: Loss | None = None, decoder: nn.Module | None = None, **more: Any) -> Fitted:
    decoder = make_decoder() if decoder is None else decoder
    pairs = more.pop("pairs", make_pairs(100))
    return fit_decoder(decoder, objective or MSE(), pairs, settings, FitOptions(progress=False, **more))


def _by_hand(decoder: nn.Module, pairs: Any, settings: Training, autocast: bool = False) -> tuple[dict, dict, list]:
    """The same training in plain torch; returns (weights, averaged weights, losses)."""
    batches = Batches(pairs, batch_size=settings.batch_size, seed=settings.seed)
    optimiser = torch.optim.AdamW(
        decoder.parameters(), betas=settings.betas, eps=settings.eps, weight_decay=settings.weight_decay
    )
    average: dict[str, Tensor] = {}
    losses = []
    for step in range(STEPS):
        features, images = pairs.batch(batches.indices(step))
        optimiser.param_groups[0]["lr"] = settings.lr * rate(settings, step / STEPS)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            made = decoder(features)
        loss = ((made.to(images.dtype) - images) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in decoder.parameters()]).norm()
        assert norm > settings.clip, "a clip that is never reached tests nothing"
        for parameter in decoder.parameters():
            parameter.grad *= min(1.0, settings.clip / (float(norm) + 1e-6))
        optimiser.step()
        decay = min(settings.ema, (1 + step) / (10 + step))
        for name, weight in decoder.state_dict().items():
            average[name] = weight.clone() if step == 0 else decay * average[name] + (1 - decay) * weight
        losses.append(float(loss.detach()))
    return {k: v.clone() for k, v in decoder.state_dict().items()}, average, losses


def _close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("accumulation", [1, 4, 5])
def test_in_float64_it_is_the_hand_written_loop_to_1e_10(accumulation: int) -> None:
    pairs = DoublePairs(make_pairs(100))
    weights, average, losses = _by_hand(make_decoder().double(), pairs, PLAIN)
    decoder = make_decoder().double()
    fitted = _fit(replace(PLAIN, accumulation=accumulation), Squared(), decoder, pairs=pairs)
    _close(fitted.weights, average, 1e-10)
    _close(decoder.state_dict(), weights, 1e-10)
    assert [row["train/loss"] for row in fitted.history] == pytest.approx(losses, abs=1e-9)
    assert (fitted.steps, fitted.images) == (STEPS, STEPS * BATCH)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_in_float32_it_is_the_hand_written_loop_to_1e_5(accumulation: int) -> None:
    _, average, _ = _by_hand(make_decoder(), make_pairs(100), PLAIN)
    _close(_fit(replace(PLAIN, accumulation=accumulation)).weights, average, 1e-5)


def test_in_bf16_it_is_the_hand_written_autocast_loop() -> None:
    settings = replace(PLAIN, mixed_precision="bf16")
    _, average, _ = _by_hand(make_decoder(), make_pairs(100), PLAIN, autocast=True)
    fitted = _fit(settings)
    _close(fitted.weights, average, 1e-5)
    exact = _fit(PLAIN).weights
    assert any(not torch.allclose(fitted.weights[name], exact[name], atol=1e-4) for name in exact), (
        "nothing was autocast"
    )
    assert all(weight.dtype == torch.float32 for weight in fitted.weights.values())


def test_the_terms_of_an_objective_are_logged_by_name_and_add_up() -> None:
    rows = _fit(PLAIN, MSE() + 0.5 * L1()).history
    assert len(rows) == STEPS
    for row in rows:
        assert row["train/loss"] == pytest.approx(row["train/loss/MSE"] + 0.5 * row["train/loss/L1"], rel=1e-5)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert rows[1]["lr"] == pytest.approx(PLAIN.lr * rate(PLAIN, 1 / STEPS))


def test_neither_the_callers_random_state_nor_the_callers_accelerator_matters_or_changes() -> None:
    mine = Accelerator(mixed_precision="no")
    settings = replace(PLAIN, mixed_precision="bf16")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = _fit(settings, decoder=make_decoder(dropout=0.5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two = _fit(settings, decoder=make_decoder(dropout=0.5))
    _close(one.weights, two.weights, 0.0)
    assert mine.state.mixed_precision == AcceleratorState().mixed_precision == "no"
    other = _fit(replace(settings, seed=1), decoder=make_decoder(dropout=0.5))
    assert not torch.equal(one.weights["mix.weight"], other.weights["mix.weight"])


def test_the_best_weights_on_held_out_public_pairs_are_kept() -> None:
    settings = Training(images=960, batch_size=24, lr=0.03, warmup=0.0, schedule="constant", ema=None, clip=None)
    settings = replace(settings, holdout=30, validate_every=48)
    # Vectors that say nothing of their images: learning them by heart makes the held-out images worse.
    noise = np.random.default_rng(0).normal(size=(100, 12)).astype(np.float32)
    pairs = Pairs(noise, make_pairs(100).images)
    fitted = _fit(settings, pairs=pairs)
    scores = [row["val/psnr"] for row in fitted.history if "val/psnr" in row]
    assert len(scores) == 20
    assert max(scores) > scores[-1] + 0.01, "the last is the best: this tests nothing"
    decoder = make_decoder()
    decoder.load_state_dict(fitted.weights)
    held_out = hold_out(pairs, 30, settings.seed)[1]
    features, images = held_out.batch(range(30))
    with torch.no_grad():
        kept = float(psnr(decoder(features), images).mean())
    assert kept == pytest.approx(max(scores), abs=1e-4)


def test_twenty_validations_by_default_and_always_one_at_the_end() -> None:
    rows = _fit(Training(images=2400, batch_size=24, holdout=10)).history
    assert sum("val/psnr" in row for row in rows) == 20
    rows = _fit(Training(images=480, batch_size=24, holdout=10, validate_every=100_000)).history
    assert [row["step"] for row in rows if "val/psnr" in row] == [20]


def test_a_batch_larger_than_the_pairs_is_all_of_them() -> None:
    fitted = _fit(replace(PLAIN, batch_size=64, images=30), pairs=make_pairs(10))
    assert (fitted.steps, fitted.images) == (3, 30)


class Bursting(Loss):
    """Finite for some calls, then infinite."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        self.calls -= 1
        return (reconstruction - original).abs().flatten(1).mean(1) * (1.0 if self.calls >= 0 else torch.inf)


def test_a_diverged_training_names_the_term_and_loses_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every_images=BATCH * 3)
    with pytest.raises(Diverged, match=r"train/loss/Bursting became inf in step 9 "):
        _fit(PLAIN, MSE() + Bursting(8), checkpoints=checkpoints)
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.name == "step_00000006"


class Cliff(nn.Module):
    """A decoder whose loss is finite and whose gradient is not."""

    feature_shape, image_size = 12, 8

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(3))

    def forward(self, features: Tensor) -> Tensor:
        return self.level.abs().sqrt().reshape(1, 3, 1, 1).expand(len(features), 3, 8, 8)


def test_weights_that_are_not_finite_are_never_returned() -> None:
    with pytest.raises(Diverged, match="weight level was not finite after step 1"):
        _fit(replace(PLAIN, images=BATCH), decoder=Cliff())


@pytest.mark.parametrize("by_launch", [False, True])
def test_fp16_on_a_cpu_is_refused(by_launch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_launch:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(BadInput, match="fp16 does nothing on a CPU"):
        _fit(PLAIN if by_launch else replace(PLAIN, mixed_precision="fp16"))


def test_it_says_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FEATINV_PROGRESS", "1")
    fit_decoder(make_decoder(), MSE(), make_pairs(100), Training(images=2400, batch_size=24))
    said = capsys.readouterr().err
    assert said.count("about") == 1
    assert "to go" in said
    assert "images/s" in said


@pytest.mark.slow
# inductor looks into every loaded module, deprecated names too
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_it_learns_the_same_and_saves_the_same_names() -> None:
    plain, compiled = _fit(PLAIN), _fit(replace(PLAIN, compile=True))
    _close(compiled.weights, plain.weights, 1e-4)


SCRIPT = """
import sys, torch
from dataclasses import replace
from training_parts import DoublePairs, Squared, make_decoder, make_pairs
from test_training_contracts import PLAIN
from featinv import processes
from featinv.losses import MSE
from featinv.training import Checkpoints, FitOptions, fit_decoder
torch.set_num_threads(1)
out = sys.argv[1]
plain = fit_decoder(make_decoder(), MSE(), make_pairs(100), PLAIN, FitOptions(progress=False))
cut = fit_decoder(make_decoder(), MSE(), make_pairs(100), replace(PLAIN, accumulation=3), FitOptions(progress=False))
exact = fit_decoder(
    make_decoder().double(), Squared(), DoublePairs(make_pairs(100)), PLAIN, FitOptions(progress=False)
)
chosen = fit_decoder(make_decoder(), MSE(), make_pairs(101), replace(PLAIN, holdout=15, keep="best"),
                     FitOptions(Checkpoints(out + "/states", every_images=100), progress=False))
short = fit_decoder(make_decoder(), MSE(), make_pairs(100), replace(PLAIN, minutes=1e-9), FitOptions(progress=False))
assert short.steps == 10, short.steps
if processes.is_main():
    torch.save([plain.weights, cut.weights, exact.weights, chosen.weights, chosen.history], out + "/weights.pt")
"""


@pytest.mark.multiprocess
def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(SCRIPT)
    tests = Path(__file__).parent
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": f"{tests}:{tests.parent}"}
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    command = [sys.executable, *launch.split(), "--dynamo_backend", "no", "--main_process_port", "0"]
    ran = subprocess.run(
        [*command, str(tmp_path / "two.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    plain, cut, exact, chosen, history = torch.load(tmp_path / "weights.pt")
    one = _fit(PLAIN)
    _close(plain, one.weights, 1e-5)
    _close(cut, one.weights, 1e-5)
    _close(exact, _fit(PLAIN, Squared(), make_decoder().double(), pairs=DoublePairs(make_pairs(100))).weights, 1e-10)
    alone = _fit(replace(PLAIN, holdout=15, keep="best"), pairs=make_pairs(101))
    _close(chosen, alone.weights, 1e-5)
    for ours, theirs in zip(alone.history, history, strict=True):
        assert ours["train/loss"] == pytest.approx(theirs["train/loss"], abs=1e-6)
        assert ours.get("val/psnr", 0) == pytest.approx(theirs.get("val/psnr", 0), abs=1e-2)
    latest = Checkpoints(tmp_path / "states").latest()
    assert latest is not None
    assert (latest.name, (latest / "random_states_1.pkl").exists()) == (f"step_{STEPS:08d}", True)
