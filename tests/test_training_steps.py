"""Another kind of step slots into the same loop: two networks with an optimiser each, as an adversary needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from training_parts import SIZE, make_decoder, make_pairs

from featinv import Training
from featinv.losses import MSE
from featinv.training import Checkpoints, Ema, FitOptions, Fitted, Step, fit_decoder, fit_steps
from featinv.training.batches import Batch
from featinv.training.progress import Progress

SETTINGS = Training(images=480, batch_size=24, holdout=10, keep="last", ema=0.9)


class Duel:
    """A decoder that pleases a critic, and the critic; the least that shows where they have to be known."""

    def __init__(self, accelerator: Accelerator) -> None:
        torch.manual_seed(3)
        critic = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(3 * SIZE**2, 1))
        decoder = make_decoder(0.3)
        self.ema = Ema(decoder, 0.9)
        self.decoder, self.accelerator = decoder, accelerator
        first, second = torch.optim.Adam(decoder.parameters(), 1e-3), torch.optim.Adam(critic.parameters(), 1e-3)
        self.paint, self.judge, self.first, self.second = accelerator.prepare(decoder, critic, first, second)

    @property
    def network(self) -> nn.Module:
        return self.ema.network

    @property
    def extra_state(self) -> list[Any]:
        return [self.ema]

    def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]:
        made = self.paint(batch.features)
        self.judge.requires_grad_(False)
        loss = (made - batch.images).square().mean() - 0.1 * self.judge(made).mean()
        self._take(loss, self.first)
        self.judge.requires_grad_(True)
        gap = self.judge(made.detach()).mean() - self.judge(batch.images).mean()
        self._take(gap, self.second)
        self.ema.update_parameters(self.decoder)
        return {"train/loss": loss.detach(), "train/critic": gap.detach()}

    def _take(self, loss: Tensor, optimiser: Any) -> None:
        optimiser.zero_grad()
        self.accelerator.backward(loss)
        optimiser.step()


def _fit(make: Callable[[Accelerator], Step], folder: Path, every: int = 48) -> Fitted:
    checkpoints = Checkpoints(folder, every_images=every)
    return fit_steps(
        make, make_pairs(100), SETTINGS, FitOptions(checkpoints, progress=False), identity={"step": "duel"}
    )


def test_two_networks_train_log_and_resume_exactly(tmp_path: Path) -> None:
    whole = _fit(Duel, tmp_path / "whole")
    assert {"train/loss", "train/critic", "val/psnr"} <= whole.history[-1].keys()

    class Stopping(Duel):
        steps = 11

        def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]:
            self.steps -= 1
            if self.steps < 0:
                raise KeyboardInterrupt
            return super().__call__(batch, progress)

    with pytest.raises(KeyboardInterrupt):
        _fit(Stopping, tmp_path / "cut")
    assert Checkpoints(tmp_path / "cut").latest() == tmp_path / "cut" / "step_00000010"
    again = _fit(Duel, tmp_path / "cut")
    assert all(torch.equal(whole.weights[name], again.weights[name]) for name in whole.weights)
    assert [row["train/critic"] for row in whole.history] == [row["train/critic"] for row in again.history]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA accelerator; not run without one")
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu_every_precision_learns_as_float32_does(precision: str, tmp_path: Path) -> None:
    settings = Training(images=4800, batch_size=24, mixed_precision=precision, lr=3e-3, clip=0.1)
    objective = MSE()
    fitted = fit_decoder(
        make_decoder(), objective, make_pairs(100), settings, FitOptions(Checkpoints(tmp_path), progress=False)
    )
    exact = fit_decoder(
        make_decoder(), objective, make_pairs(100), Training(**{**vars(settings), "mixed_precision": "no"})
    )
    ours, theirs = fitted.history[-1]["train/loss"], exact.history[-1]["train/loss"]
    assert ours == pytest.approx(theirs, rel=0.1)
    assert ours < 0.5 * fitted.history[0]["train/loss"]
    assert all(weight.dtype == torch.float32 for weight in fitted.weights.values())
    assert (tmp_path / "step_00000200" / "scaler.pt").exists() == (precision == "fp16")
