"""What is refused before any work: inherited settings, seeds, folders; and how a command leaves."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

import featinv as fi
from featinv import cli, command_line, configuration, environment, leaving, outputs, plain_numbers
from featinv.assembly import ImageSettings
from featinv.training.settings import ClassifierTraining, Training

SIDES: dict[str, Any] = {"out": "run", "victim": "tiny", "public": "old", "private": "new"}


def as_command(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["featinv", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


@pytest.fixture
def unchecked() -> Any:
    """Without the type checks that tests switch on, which users do not have: wrong types must be refused by us."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def victim() -> fi.Victim:
    return fi.Victim(fi.encoders.tiny())


# ------------------------------------------------------------------------------------------------ seeds and numbers


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, 1.5, "1", None, True, np.float32(1), np.uint64(2**63)])
def test_no_seed_outside_0_to_2_to_the_63(seed: Any, victim: fi.Victim) -> None:
    images = fi.data.scenes(2, size=32, seed=0)
    makers = {
        "--seed": lambda: fi.audit.AuditSettings(**SIDES, seed=seed),
        "training.seed": lambda: Training(seed=seed),
        "images.seed": lambda: ImageSettings(seed=seed),
    }
    for name, make in makers.items():
        with pytest.raises(fi.BadInput, match=rf"{name}: expected a whole number from 0 to 2\*\*63 - 1 as seed, got"):
            make()
    with pytest.raises(fi.BadInput, match="training.seed: expected a whole number"):
        ClassifierTraining(seed=seed)
    with pytest.raises(fi.BadInput, match="release: seed: expected a whole number"):
        fi.release(victim, images, seed=seed)
    with pytest.raises(fi.BadInput, match="extract: seed: expected a whole number"):
        fi.extract(victim, images, seed=seed)
    with pytest.raises(fi.BadInput, match="compare: seed: expected a whole number"):
        fi.compare({}, fi.release(victim, images), [], seed=seed)


@pytest.mark.usefixtures("unchecked")
def test_numpy_scalars_are_kept_and_saved_as_plain_numbers(tmp_path: Path, victim: fi.Victim) -> None:
    training = Training(seed=np.int64(7), lr=np.float32(0.5), betas=(np.float64(0.5), 0.75), flips=np.bool_(True))
    assert training == Training(seed=7, lr=0.5, betas=(0.5, 0.75), flips=True)
    kinds = {type(training.seed), type(training.lr), type(training.betas[0]), type(training.flips)}
    assert kinds == {int, float, bool}
    assert json.loads(json.dumps(configuration.describe(training))) == configuration.describe(training)
    assert configuration.describe(np.int64(3)) == 3
    audit = fi.audit.AuditSettings(**SIDES, seed=np.uint8(3), minutes=np.float32(1.5), size=np.int32(64))
    assert [type(value) for value in (audit.seed, audit.minutes, audit.size)] == [int, float, int]
    assert type(ClassifierTraining(seed=np.int64(5)).seed) is int
    fi.files.write_json(tmp_path / "numbers.json", {"a": np.int64(3), "b": [np.float32(0.5)], "c": (np.bool_(False),)})
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"a": 3, "b": [0.5], "c": [False]}
    images = fi.data.scenes(2, size=32, seed=0)
    drawn = fi.release(victim, images, seed=np.int64(2**63 - 1))
    assert type(drawn.metadata["seed"]) is int


@pytest.mark.usefixtures("unchecked")
def test_numbers_that_are_none_are_refused_where_settings_are_made() -> None:
    for minutes in (float("nan"), float("inf"), 0, -1, "30", True):
        with pytest.raises(fi.BadInput, match="--minutes: expected a finite number above 0"):
            fi.audit.AuditSettings(**SIDES, minutes=minutes)
    for size in (0, -1, 48, 512, True):
        with pytest.raises(fi.BadInput, match="--size: expected a power of two"):
            fi.audit.AuditSettings(**SIDES, size=size)
    for field in ("out", "public", "private", "victim", "defence", "named"):
        for text in ("", "  ", "a\0b"):
            with pytest.raises(fi.BadInput, match=f"--{field}: expected"):
                fi.audit.AuditSettings(**(SIDES | {field: text}))
    for more in ({"layer": ""}, {"judges": ("",)}, {"judges": ("judge.safetensors", "")}):
        with pytest.raises(fi.BadInput, match=f"--{next(iter(more)).removesuffix('s')}: expected"):
            fi.audit.AuditSettings(**SIDES, **more)
    with pytest.raises(fi.BadInput, match="expected a finite number above 0, got nan"):
        ClassifierTraining(minutes=float("nan"))


@dataclass(frozen=True)
class Inner:
    seed: int = 0
    rate: float = 1.0


@dataclass(frozen=True)
class Config:
    out: str = "runs/it"
    minutes: float | None = None
    inner: Inner = Inner()
    data: str | None = None
    size: int = 32
    public: int | None = None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Config(inner=Inner(seed=-1)), "--inner.seed: expected a whole number"),
        (Config(inner=Inner(rate=float("nan"))), "--inner.rate: expected a finite number, got nan"),
        (Config(data=""), "--data: expected a path, got ''"),
        (Config(size=0), "--size: expected a whole number of at least 1, got 0"),
        (Config(public=-3), "--public: expected a whole number of at least 1, got -3"),
        (Config(minutes=0), "--minutes: expected a finite number above 0, got 0"),
        (Config(minutes=float("inf")), "--minutes: expected a finite number above 0"),
        (Config(out=""), "--out: expected the path of a folder, got ''"),
        (Config(out="a\0b"), "--out: expected the path of a folder"),
    ],
)
def test_settings_of_a_recipe_are_checked_before_its_work(
    config: Config, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fi.BadInput) as refused:
        command_line.check_settings(config)
    assert str(refused.value).startswith(said)
    command_line.check_settings(Config())
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- output folder


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    outputs.check_out(tmp_path / "a" / "b" / "c")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    outputs.check_out(tmp_path / "there")
    outputs.check_out_file(tmp_path / "new" / "judge.safetensors")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["there", "there/file"]


def test_a_file_in_the_way_and_names_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(
            fi.BadInput, match=f"--out: expected a folder that can be written, got .*{tmp_path}/file is a"
        ):
            outputs.check_out(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / ("x" * 300), tmp_path / "loop" / "below", tmp_path / ("y" * 300) / "below"):
        with pytest.raises(fi.BadInput, match="--out: expected a folder that can be written, got"):
            outputs.check_out(path)
    with pytest.raises(fi.BadInput, match="--out: expected the path of a file, got the folder"):
        outputs.check_out_file(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir(mode=0o500)
    if os.geteuid() == 0:
        # Root may write anywhere: /proc, where not even root makes folders, stands for the folder of somebody else.
        with pytest.raises(fi.BadInput, match="--out: expected a folder that can be written, got /proc/run"):
            outputs.check_out("/proc/run")
        real = Path.mkdir

        def refuse(folder: Path, *arguments: Any, **more: Any) -> None:
            if folder.parent == tmp_path / "mine":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
            real(folder, *arguments, **more)

        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(fi.BadInput, match="Permission denied; choose another folder"):
        outputs.check_out(tmp_path / "mine" / "run")


def _opened(*_: Any, **__: Any) -> Any:
    raise AssertionError("images or vectors were opened, or an encoder was built")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "{file}"], "--out: expected a folder that can be written, got"),
        (["--out", "{file}/below"], "is a file; choose another place"),
        (["--out", ""], "--out: expected a path or a name, got ''"),
        (["--minutes", "nan"], "--minutes: expected a finite number above 0, got nan"),
        (["--minutes", "inf"], "--minutes: expected a finite number above 0, got inf"),
        (["--minutes", "-1"], "--minutes: expected a finite number above 0, got -1.0"),
        (["--seed", "-1"], "--seed: expected a whole number from 0 to 2**63 - 1 as seed, got -1"),
        (["--seed", "9223372036854775808"], "--seed: expected a whole number"),
        (["--seed", "1.5"], "--seed: invalid int value: '1.5'"),
        (["--size", "0"], "--size: expected a power of two"),
        (["--judge", ""], "--judge: expected a path or a name, got ''"),
        (["--judge", "{root}/none.safetensors"], "--judge: {root}/none.safetensors: expected"),
        (["--judge", "{file}"], "--judge: {file}: expected"),
        (["--judge", "scenes-vvg"], "--judge: judge: expected scenes-vgg or"),
        (["--named", "two surogates"], "--named: no attack 'two surogates'; there are mean image"),
        (["--private", "{root}/missing"], "--private: {root}/missing: expected a file or a folder (No such file"),
        (["--public", "{root}/missing"], "--public: {root}/missing: expected a file or a folder (No such file"),
        (["--public", ""], "--public: expected a path or a name, got ''"),
        (["--wandb", "sometimes"], "--wandb: invalid choice: 'sometimes'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_of_an_audit_is_refused_before_anything_is_opened(
    flags: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from featinv.audit import running

    for name in ("open_source", "open_public", "open_private"):
        monkeypatch.setattr(running, name, _opened)
    (tmp_path / "file").write_text("no judge")
    (tmp_path / "images").mkdir()
    names = {"file": str(tmp_path / "file"), "root": str(tmp_path)}
    sides = {
        "--public": str(tmp_path / "images"),
        "--private": str(tmp_path / "images"),
        "--out": str(tmp_path / "run"),
    }
    given = sides | {flags[0]: flags[1].format(**names)}
    text = [word for item in given.items() for word in item]
    assert as_command(monkeypatch, "audit", "--victim", "tiny", *text) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said.format(**names) in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "images"]


# ------------------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FEATINV_THREADS", "many"),
        ("FEATINV_THREADS", "0"),
        ("FEATINV_THREADS", "-2"),
        ("FEATINV_THREADS", "1000000"),
        ("OMP_NUM_THREADS", "two"),
        ("OMP_NUM_THREADS", "0"),
        ("OMP_NUM_THREADS", "99999999999999"),
        ("OMP_NUM_THREADS", "2,x"),
        ("MKL_NUM_THREADS", "1.5"),
        ("OPENBLAS_NUM_THREADS", "²"),
        ("ACCELERATE_USE_CPU", "maybe"),
        ("WANDB_DISABLED", "perhaps"),
        ("WANDB_MODE", "off-line"),
        ("RANK", "first"),
        ("WORLD_SIZE", "2.0"),
        ("LOCAL_WORLD_SIZE", "x"),
        ("SLURM_STEP_NUM_TASKS", "x"),
        ("CUDA_VISIBLE_DEVICES", "O"),
        ("CUDA_VISIBLE_DEVICES", "0;1"),
        ("CUDA_VISIBLE_DEVICES", "cuda:0"),
    ],
)
def test_an_inherited_setting_that_cannot_be_used_is_one_line(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, text)
    assert as_command(monkeypatch, "list", "data") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert name in said.err
    assert text in said.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FEATINV_THREADS", " 2 "),
        ("OMP_NUM_THREADS", ""),
        ("OMP_NUM_THREADS", "4,2"),
        ("CUDA_VISIBLE_DEVICES", ""),
        ("CUDA_VISIBLE_DEVICES", "-1"),
        ("CUDA_VISIBLE_DEVICES", "0, 3"),
        ("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-GPU-8932f937/1/0"),
        ("WANDB_MODE", "dryrun"),
        ("WANDB_DISABLED", "TRUE"),
        ("ACCELERATE_USE_CPU", "false"),
        ("SLURM_PROCID", "3"),
        ("MPLBACKEND", "nonsense"),
    ],
)
def test_what_schedulers_and_others_set_by_right_is_taken(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "")
    monkeypatch.setenv(name, text)
    assert as_command(monkeypatch, "list", "data") == 0
    assert capsys.readouterr().err == ""
    assert os.environ["MPLBACKEND"] == "agg"


def test_threads_are_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATINV_THREADS", "1")
    assert fi.processes.share_threads() == 1
    monkeypatch.setenv("FEATINV_THREADS", "none")
    with pytest.raises(fi.BadInput, match="FEATINV_THREADS: expected a number of threads"):
        fi.processes.share_threads()


def test_figures_do_not_depend_on_the_callers_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that needs a window system draws the same bytes, and none is opened."""
    import matplotlib

    from featinv import plots

    def figure() -> str:
        with plots.styled_figure(2.0) as drawn:
            drawn.subplots().plot([1, 3, 2])
            assert type(drawn.canvas).__name__ == "FigureCanvasAgg"
            return plots.as_svg(drawn)

    first = figure()
    monkeypatch.setitem(matplotlib.rcParams, "backend", "tkagg")
    assert figure() == first


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*environment._RANKS, *environment._TASKS, "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_ranks_of_a_job_around_the_command_are_not_its_own(
    alone: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "SLURM_NTASKS": "4"}.items():
        alone.setenv(name, text)
    assert as_command(alone, "list", "data") == 0
    assert capsys.readouterr().err == "note: RANK, WORLD_SIZE, LOCAL_RANK ignored: featinv runs in one process\n"
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & set(os.environ)


@pytest.mark.parametrize(
    "launcher",
    [
        {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"},
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
    ],
)
def test_several_copies_of_an_audit_are_refused(
    launcher: dict[str, str], alone: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in launcher.items():
        alone.setenv(name, text)
    alone.setattr(leaving.time, "sleep", lambda seconds: None)
    sides = ["--public", str(tmp_path), "--private", str(tmp_path), "--out", str(tmp_path / "run")]
    assert as_command(alone, "audit", "--victim", "tiny", *sides) == 2
    assert "featinv: expected one process, but a launcher started" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ranks", "good"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, True),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({}, True),
        ({"RANK": "2", "WORLD_SIZE": "2"}, False),
        ({"WORLD_SIZE": "2"}, False),
        ({"LOCAL_RANK": "0"}, False),
        ({"RANK": "3"}, False),
    ],
)
def test_ranks_of_a_recipe_must_fit_each_other(ranks: dict[str, str], good: bool, alone: pytest.MonkeyPatch) -> None:
    for name, text in ranks.items():
        alone.setenv(name, text)
    if good:
        environment.check()
        return
    with pytest.raises(fi.BadInput, match="WORLD_SIZE, RANK: expected what accelerate launch or torchrun sets"):
        environment.check()


def test_a_working_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert as_command(monkeypatch, "list", "data") == 2
    assert capsys.readouterr().err.startswith("error: working folder: expected to be started in a folder that exists")
    with pytest.raises(fi.BadInput, match="working folder"):
        configuration.find("mine.Decoder", fi.decoders)


@pytest.mark.parametrize("word", ["true", "1", "YES"])
def test_wandb_disabled_wins_over_everything(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DISABLED", word)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert environment.wandb_mode("online") == "disabled"


@pytest.mark.parametrize("mode", environment.WANDB_MODES)
@pytest.mark.parametrize("word", ["", "online", "run", "shared", "offline", "dryrun", "disabled", "Disabled"])
def test_the_environment_never_makes_wandb_tell_more(
    mode: environment.WandbMode, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_DISABLED", raising=False)
    monkeypatch.setenv("WANDB_MODE", word)
    order = environment.WANDB_MODES.index
    found = environment.wandb_mode(mode)
    assert order(found) <= order(mode)
    assert found == "disabled" or word.lower() != "disabled"
    assert found != "online" or word not in ("offline", "dryrun")


def test_a_settings_file_of_wandb_keeps_a_study_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wandb offline` writes mode = offline into the settings of the folder; wandb.init(mode=...) would ignore it."""
    from featinv.tracking import wandb_runs

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    assert wandb_runs.not_to_be_sent() == ""
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    assert "settings file says mode = offline" in wandb_runs.not_to_be_sent()


# ------------------------------------------------------------------------------------------------------ exit codes


def test_a_configuration_that_cannot_even_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--config", str(tmp_path / "bad.yaml")])
    with pytest.raises(SystemExit) as left:
        command_line.run(lambda config: None, Config)
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_defect_in_the_parser_does_not_look_like_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["recipe.py"])
    monkeypatch.setattr(command_line, "expand", lambda *_: _raise(ZeroDivisionError()))
    with pytest.raises(SystemExit) as left:
        command_line.run(lambda config: None, Config)
    assert left.value.code == 3


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (fi.BadInput("--flag: expected one,\n got another"), 2),
        (fi.Diverged("loss is nan at step 3"), 2),
        (KeyboardInterrupt(), 130),
        (RuntimeError("CUDA error"), 3),
        (MemoryError(), 3),
        (AssertionError("no"), 3),
        (OSError(28, "No space left on device"), 3),
        (BrokenPipeError(32, "Broken pipe"), 3),
        (SystemExit(7), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exit_codes(
    error: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 is what a gate reads as "more leaks than allowed": no error may leave with it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        leaving.leave_with(lambda: _raise(error))
    assert left.value.code == code
    said, written = capsys.readouterr().err, list(tmp_path.iterdir())
    assert said.count("\n") == (code in (2, 3))
    assert len(written) == (code == 3)
    if code == 3:
        assert str(written[0]) in said
        assert type(error).__name__ in said
        text = written[0].read_text()
        assert "Traceback (most recent call last)" in text
        assert "torch 2." in text
        assert written[0].stat().st_mode & 0o077 == 0


def test_the_code_of_a_gate_stands() -> None:
    for code in (None, 0, 1):
        with pytest.raises(SystemExit) as left:
            leaving.leave_with(lambda code=code: code)
        assert left.value.code == (code or 0)


def test_a_traceback_file_holds_no_long_values_and_finds_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leaving, "_working_folder", lambda: str(tmp_path / "gone"))
    monkeypatch.setattr(leaving.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(SystemExit):
        leaving.leave_with(lambda: _raise(ValueError("pixels " + "7" * 100_000)))
    (file,) = tmp_path.iterdir()
    assert len(file.read_text()) < 10_000
    assert len(capsys.readouterr().err) < 1000
    monkeypatch.setattr(leaving.tempfile, "gettempdir", lambda: str(tmp_path / "gone"))
    with pytest.raises(SystemExit) as left:
        leaving.leave_with(lambda: _raise(ValueError("x")))
    assert left.value.code == 3
    assert "no file could be written" in capsys.readouterr().err


GATE = """
import sys
from featinv import leaving
leaving.keep_output()
def gate():
    print("the ridge \\u03bb, in \\u4e8c lines")
    for line in range(20000): print("line", line)
    print("done", file=sys.stderr)
    return {code}
leaving.leave_with(gate)
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_reader_that_leaves_changes_no_exit_code(code: int, tmp_path: Path) -> None:
    """As in `featinv audit ... | head -1`, with a terminal that knows ASCII only."""
    bad = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"}
    started = subprocess.Popen(
        [sys.executable, "-c", GATE.format(code=code)],
        env=bad,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stderr is not None
    assert started.stdout.readline() == "the ridge \\u03bb, in \\u4e8c lines\n"
    started.stdout.close()
    said = started.stderr.read()
    started.stderr.close()
    assert started.wait(60) == code
    assert said == "done\n"


def test_no_decision_rests_on_an_assertion() -> None:
    """Under `python -O` they vanish: those in the package may only tell the type checker what it cannot see."""
    import ast

    package = Path(fi.__file__).parent
    for file in package.rglob("*.py"):
        if "testing" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assert):
                text = ast.unparse(node.test)
                assert text.endswith(" is not None") or text.startswith("isinstance("), f"{file}:{node.lineno}: {text}"


def test_plain_leaves_everything_else_alone() -> None:
    value = {"a": [1, (2.0, "x")], "b": None}
    assert plain_numbers.plain(value) == value
    array = np.zeros(3)
    assert plain_numbers.plain(array) is array
