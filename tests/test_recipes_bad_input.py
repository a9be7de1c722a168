"""What bad input gets from a recipe: one line and exit code 2, before any training."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from recipe_modules import recipe

import featinv as fi

FEW = ["--images.public", "40", "--images.private", "12", "--training.images", "24", "--training.batch_size", "8"]
R1 = "[{name: R1, args: {weight: 0.1}}]"
CRITIC = ["--adversary.loss", "wasserstein", "--adversary.penalties", "[{name: GradientPenalty}]"]
LPIPS = "[{name: LPIPS, args: {net: vgg}}]"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, without cached weights and without a step of training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights-here"))
    monkeypatch.setattr(fi.processes, "share_threads", lambda: 1)

    def never(*arguments: Any, **more: Any) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(torch.optim.Optimizer, "step", never)
    monkeypatch.setattr(torch.optim.AdamW, "step", never)
    return tmp_path


def refused(name: str, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    """Run a recipe as its script would, and return the one line that it left with."""
    monkeypatch.setattr("sys.argv", [f"{name}.py", *flags])
    module = recipe(name)
    with pytest.raises(SystemExit) as left:
        fi.command_line.run(module.main, module.Config)
    assert left.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    return lines[0][lines[0].index("error: ") :]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--adversary.discriminator", "Projection"], "say --adversary.conditional true"),
        (["--adversary.discriminator", "DCGNA"], "discriminators: there is no 'DCGNA'; did you mean DCGAN?"),
        (["--losses", "[{name: Perceptual, args: {layers: [stage9]}}]"], "Perceptual: "),
        (["--losses", LPIPS], "LPIPS"),
        (["--adversary.weight", "-0.1"], "adversary.weight: expected a finite number of at least 0, got -0.1"),
        (["--adversary.weight", ".nan"], "--adversary.weight: expected a finite number, got nan"),
        (["--losses", "[{name: MSE, weight: -1}]"], "expected a finite weight of at least 0, got -1"),
        (["--losses", "[{name: MSE, weight: .nan}]"], "expected a finite weight of at least 0, got nan"),
        (["--adversary.penalties", R1], "R1: expected a discriminator without batch norm"),
        (CRITIC, "GradientPenalty: expected a discriminator without batch norm"),
        (["--adversary.weight", "0.1", "--training.mixed_precision", "fp16"], "fp16"),
        (["--adversary.weight", "0.1", "--training.keep", "best"], "best"),
        (["--adversary.augment", "flips"], "there is no 'flips'"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_flags_that_cannot_be_trained(
    flags: list[str], said: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert said in refused("train", [*FEW, *flags], monkeypatch, capsys)
    assert not (home / "runs" / "train" / "attack").exists()


def test_a_judge_that_a_loss_looks_through(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The judge and the encoder inside the loss are one network, built twice from one file."""
    weights = home / "resnet8.safetensors"
    safetensors.torch.save_file(fi.encoders.networks.CifarResNet(8, 10).state_dict(), weights)
    loss = f"[{{name: Perceptual, args: {{encoder: {{name: cifar_resnet, args: {{weights: {weights}, depth: 8}}}}}}}}]"
    judge = f"{{mine: {{judge: {{name: cifar_judge, args: {{weights: {weights}, depth: 8}}}}}}}}"
    said = refused("train", [*FEW, "--losses", loss, "--judges", judge], monkeypatch, capsys)
    assert "judges: 'cifar-resnet8' is used by the attack 'attack'; a judge only ever scores" in said
    backbone = ["--adversary.discriminator", "FrozenFeatures", "--adversary.discriminator.layers", "[layer1]"]
    backbone += ["--adversary.discriminator.encoder", f"{{name: cifar_resnet, args: {{weights: {weights}, depth: 8}}}}"]
    said = refused("train", [*FEW, *backbone, "--judges", judge], monkeypatch, capsys)
    assert "judges: 'cifar-resnet8' " in said


def test_a_refused_run_leaves_its_folder_to_the_next(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The wrong flag must not make `--out` the folder of another configuration."""
    assert "there is no 'Upsamplin'" in refused("train", [*FEW, "--decoder", "Upsamplin"], monkeypatch, capsys)
    assert "there is no 'Listk'" in refused("train", [*FEW, "--decoder", "Listk"], monkeypatch, capsys)
    assert not (home / "runs").exists()
    # Once something was made, it is protected.
    (home / "runs" / "train" / "features").mkdir(parents=True)
    assert "holds files, but no run of featinv" in refused("train", FEW, monkeypatch, capsys)


def test_no_steps_at_all(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name in ("train_pixel", "train_gan"):
        few = ["--public", "20", "--private", "5", "--steps", "0"]
        assert "training.images: expected at least 1" in refused(name, few, monkeypatch, capsys)


def test_a_metric_that_does_not_exist_is_refused_before_hours_of_training(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    said = refused("compare", ["--metrics", "[judge_kd, vmaf]"], monkeypatch, capsys)
    assert "--metrics: no metric 'vmaf'; There are ms_ssim, lpips, dists, judge_fd, judge_kd" in said
    assert not (home / "runs").exists()
