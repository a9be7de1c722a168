"""Precision: what the device does in hardware, unless somebody says otherwise; what it cannot do is refused at once."""

import logging
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from featinv import BadInput, Training, precision
from featinv.precision import AUTO, LAUNCH, check_precision, in_hardware, resolve, resolve_bf16

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (LAUNCH, AUTO):
        monkeypatch.delenv(name, raising=False)


def cpu(monkeypatch: pytest.MonkeyPatch, *, avx: bool | None, amx: bool | None) -> None:
    """Let torch say this of the processor (None: a torch that knows no such query)."""
    for name, answer in (("_is_avx512_bf16_supported", avx), ("_is_amx_tile_supported", amx)):
        monkeypatch.delattr(torch.cpu, name, raising=False)
        if answer is not None:
            monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)


@pytest.mark.parametrize(
    ("avx", "amx", "expected"),
    [
        (True, True, "bf16"),
        (False, True, "bf16"),
        (None, True, "bf16"),
        (True, False, "no"),  # the instructions are there, and slower than float32
        (False, False, "no"),
        (None, None, "no"),
    ],
)
def test_auto_is_bf16_where_a_cpu_gains_by_it(
    avx: bool | None, amx: bool | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu(monkeypatch, avx=avx, amx=amx)
    assert resolve("auto", "cpu") == resolve(None, "cpu") == expected
    assert resolve_bf16("auto", "cpu") == (expected == "bf16")


def test_the_instructions_are_those_the_kernel_lists() -> None:
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").is_file() else []
    if "avx2" not in flags:
        pytest.skip("the kernel lists no x86 instructions here")
    assert in_hardware("cpu") == ("avx512_bf16" in flags or "amx_tile" in flags)


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "no"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_has_bf16_from_capability_8(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert resolve("auto", "cuda") == expected
    assert resolve("fp16", "cuda") == "fp16"
    assert resolve("auto", "mps") == "no"


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch, avx=True, amx=True)
    monkeypatch.setenv(AUTO, "no")
    assert resolve("auto", "cpu") == "no", "the user's word on what auto means"
    assert resolve("bf16", "cpu") == "bf16", "a setting says more than the environment"
    monkeypatch.setenv(LAUNCH, "bf16")
    assert resolve("auto", "cpu") == "bf16", "a launch that was told"
    assert resolve("no", "cpu") == "no"
    monkeypatch.delenv(AUTO)
    monkeypatch.setenv(LAUNCH, "no")
    assert resolve("auto", "cpu") == "bf16", "accelerate launch exports no when nobody chose"


def test_a_classifier_has_no_scaler_for_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    monkeypatch.setenv(LAUNCH, "fp16")
    assert resolve("auto", "cuda") == "fp16"
    assert not resolve_bf16("auto", "cuda")


def test_an_emulated_bf16_is_obeyed_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cpu(monkeypatch, avx=False, amx=False)
    precision._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "featinv"):
        assert resolve("bf16", "cpu") == resolve("bf16", "cpu") == "bf16"
    assert [record.getMessage().count("emulated") for record in caplog.records] == [1]
    assert "\n" not in caplog.text.strip()


@pytest.mark.parametrize("name", [LAUNCH, AUTO])
def test_fp16_of_the_environment_is_refused_on_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "FP16")
    with pytest.raises(BadInput, match=f"{name}.*fp16 does nothing on a CPU"):
        check_precision(device="cpu")
    monkeypatch.setenv(name, "fp8")
    with pytest.raises(BadInput, match=f"{name}.*expected one of auto, no, bf16, fp16, got 'fp8'"):
        check_precision(device="cpu")


@dataclass(frozen=True)
class _One:
    training: Training = field(default_factory=Training)


@dataclass(frozen=True)
class _Config:
    attacks: dict[str, _One] = field(default_factory=dict)
    also: tuple[_One, ...] = ()


def test_the_flag_is_named_however_deep() -> None:
    check_precision(_Config({"gan": _One()}, (_One(),)), "cpu")
    with pytest.raises(BadInput, match=r"^--attacks\.gan\.training\.mixed_precision: fp16 does nothing on a CPU"):
        check_precision(_Config({"gan": _One(Training(mixed_precision="fp16"))}), "cpu")
    with pytest.raises(BadInput, match=r"^--also\.0\.training\.mixed_precision"):
        check_precision(_Config(also=(_One(Training(mixed_precision="fp16")),)), "cpu")


@pytest.mark.parametrize("source", ["environment", "accelerate's default file", "flag"])
def test_a_recipe_refuses_at_once_in_one_line(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable]
    flags: list[str] = []
    if source == "flag":
        flags = ["--training.mixed_precision", "fp16"]
    elif source == "environment":
        monkeypatch.setenv(LAUNCH, "fp16")
    else:
        # `accelerate launch` reads this file when it is given none.
        file = tmp_path / "home" / "accelerate" / "default_config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nmixed_precision: fp16\nnum_machines: 1\n"
            "num_processes: 1\nmachine_rank: 0\nuse_cpu: true\n"
        )
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        command += ["-m", "accelerate.commands.launch"]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    run = [*command, str(ROOT / "recipes/train.py"), "--out", str(tmp_path / "out"), *flags]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, timeout=300)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    assert "fp16 does nothing on a CPU" in lines[0]
    assert ("--training.mixed_precision" if source == "flag" else LAUNCH) in lines[0]
    assert not (tmp_path / "out").exists()
    if source != "accelerate's default file":  # the launcher has an exit code of its own
        assert done.returncode == 2


def test_an_audit_refuses_at_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import featinv as fi

    monkeypatch.setenv(LAUNCH, "fp16")
    settings = fi.audit.AuditSettings(
        out=str(tmp_path / "out"), victim="tiny", public="nowhere", private="nowhere either", max_level="L2"
    )
    with pytest.raises(BadInput, match="fp16 does nothing on a CPU"):
        fi.audit.run_audit(settings)
    assert not (tmp_path / "out").exists()


def test_the_choice_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from evaluation_parts import PoolJudge, mean_image, published

    import featinv as fi
    from featinv.report.protocol_section import _precision

    release = published()
    assert release.truth is not None
    assert release.victim is not None
    pairs = fi.extract(release.victim, release.truth)
    attacks: dict[str, fi.types.Attack] = {"mean": mean_image(), "nearest": fi.attacks.NearestNeighbour().fit(pairs)}
    for word, name in (("no", "single"), ("bf16", "half")):
        monkeypatch.setenv(AUTO, word)
        training = Training(images=32, batch_size=16, holdout=0)
        decoder = fi.decoders.Upsampling(release.feature_shape, release.truth.size, width=8, channels=0)
        attack = fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training).fit(pairs, progress=False)
        fi.save_attack(attack, tmp_path / name)
        assert json.loads((tmp_path / name / "attack.json").read_text())["config"]["precision"] == word
        attacks[name] = fi.load_attack(tmp_path / name)
    board = fi.compare(attacks, release, [PoolJudge()], progress=False)
    assert board.protocol["precision"] == {"single": "no", "half": "bf16"}
    assert _precision(board.protocol) == "single: float32, half: bf16"
    assert _precision({"precision": {"single": "no"}}) == "float32"
    assert _precision({}) == "not stated"
