"""The console command: help without torch, one line for bad input, and what it prints comes from elsewhere."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report_parts import finished

import featinv as fi
from featinv import cli, doctor
from featinv.doctor import Finding
from featinv.inventory import GROUPS, descriptions


def command(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["featinv", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom featinv import cli\nsys.argv = ['featinv', 'report', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert left.code == 0\n"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'wandb', 'accelerate', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--markdown" in done.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_every_export_is_listed_with_a_line(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "list", group) == 0
    lines = capsys.readouterr().out.splitlines()
    functions = {
        "attacks": {"load_attack", "medoid", "sample_blocks", "save_attack"},
        "defences": {"fingerprint", "fit", "known_release", "least_batch", "load", "log_likelihood", "parts", "save"}
        | {"whole_release"},
    }
    left_out = functions.get(group, set())
    assert sorted(line.split()[0] for line in lines) == sorted(set(getattr(fi, group).__all__) - left_out)
    assert [name for name, _ in descriptions(group)] == [line.split()[0] for line in lines]
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["list", "decoder"], "list: there is no 'decoder'; did you mean decoders? There are attacks, data"),
        (["list", "nothing at all"], "There are attacks, data, decoders"),
        (["lisst"], "invalid choice: 'lisst'"),
        (["report"], "required: RUN"),
        (["report", "nowhere"], "nowhere: expected a JSON file, found none"),
        (["report", "nowhere", "--marked"], "unrecognized arguments: --marked"),
        (["show", "nowhere"], "nowhere: expected a JSON file, found none"),
    ],
)
def test_bad_input_is_one_line(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *flags) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_report_and_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    board = finished(run)
    assert command(monkeypatch, "report", str(run)) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert "data:image/png" in (run / "report.html").read_text()
    assert command(monkeypatch, "report", str(run), "--no-show-images") == 0
    assert not re.search("data:image/(png|webp|jpeg)", (run / "report.html").read_text())
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "report", str(run), str(run / "scoreboard.json"), "--markdown") == 0
    assert (tmp_path / "report.md").is_file()
    capsys.readouterr()
    assert command(monkeypatch, "show", str(run)) == 0
    assert capsys.readouterr().out.strip() == str(board)
    assert command(monkeypatch, "report", str(run), "--out", str(run / "run.json" / "report.html")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_doctor_finds_the_embedded_default_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert command(monkeypatch, "doctor") == 0
    text = capsys.readouterr().out
    assert "ok      embedded default" in text
    assert "absent  ImageNet weights of alexnet: needed for the metric LPIPS" in text
    assert f"into {tmp_path / 'hub' / 'checkpoints'}" in text
    assert f"ok      torch: {importlib.metadata.version('torch')}" in text
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    states = {finding.what: finding.state for finding in doctor.examine()}
    assert states["ImageNet weights of alexnet"] == "ok"
    assert states["ImageNet weights of vgg16"] == "absent"


def test_the_doctor_names_a_missing_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = importlib.metadata.version

    def without(name: str) -> str:
        if name == "einops":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    assert command(monkeypatch, "doctor") == 2
    assert "broken  einops: not installed; pip install einops" in capsys.readouterr().out


def test_the_doctor_names_packaged_weights_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from featinv.encoders import judge_files

    monkeypatch.setattr(judge_files, "_TINY", Path("gone.safetensors"))
    found = {finding.what: finding for finding in doctor.examine()}
    assert found["embedded default"].state == "broken"
    assert "gone.safetensors" in found["embedded default"].text
    assert not doctor.healthy([*found.values()])
    assert doctor.healthy([Finding("weights", "absent", "not there")])


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here to complete in")
@pytest.mark.parametrize(("words", "expected"), [("au", "audit"), ("audit --max-l", "--max-level")])
def test_bash_completes_commands_and_flags(words: str, expected: str, tmp_path: Path) -> None:
    """The script runs in bash as it does at a prompt: words and place in, COMPREPLY out."""
    pytest.importorskip("shtab", reason="the extra `completion` is not installed")
    printed = subprocess.run(
        [sys.executable, "-m", "featinv", "--print-completion", "bash"], capture_output=True, text=True, check=True
    )
    script = tmp_path / "completion.bash"
    script.write_text(printed.stdout)
    given = ["featinv", *words.split()]
    line = f"COMP_WORDS=({' '.join(given)}); COMP_CWORD={len(given) - 1}; _shtab_featinv; echo ${{COMPREPLY[@]}}"
    completed = subprocess.run(["bash", "-c", f"source {script}; {line}"], capture_output=True, text=True, check=True)
    assert expected in completed.stdout.split()


def test_completion_without_shtab_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(fi.BadInput, match=r"--print-completion: needs shtab.*featinv\[completion\]"):
        cli.parse(["--print-completion", "bash"])
