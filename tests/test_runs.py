"""A finished run is of its inputs, one process works in a folder at a time, and no two attacks share a name."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from recipe_modules import recipe

import featinv as fi
from featinv.assembly import AttackSettings, ImageSettings, JudgeSettings, RunFolder, VictimSettings
from featinv.audit.inputs import inputs_of
from featinv.audit.live_source import open_victim
from featinv.audit.record import Record
from featinv.audit.settings import AuditSettings
from featinv.configuration import Component
from featinv.tracking import TrackingSettings

HOLDS = """
import sys, time
from dataclasses import dataclass
from featinv.assembly import RunFolder

@dataclass
class Empty:
    data: str

run = RunFolder(sys.argv[1], Empty(sys.argv[2]))
print("locked", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Asked:
    data: str
    victim: str = "tiny"
    judges: tuple[str, ...] = ()
    part: Component = field(default_factory=lambda: Component("tiny"))


@dataclass(frozen=True)
class Empty:
    data: str


def test_one_process_at_a_time_and_a_killed_one_lets_the_next_in(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", HOLDS, str(out), "x"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(fi.BadInput, match=f"run: another process .pid {holder.pid} on .* works in this folder"):
                RunFolder(out, Empty("x"))
            # A folder that holds only a name is not taken for an abandoned one while its process lives.
            with pytest.raises(fi.BadInput, match="another process"):
                RunFolder(out, Empty("y"))
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    (out / "attack").mkdir()
    with pytest.raises(fi.BadInput, match="data: 'x' there, 'y' here"):
        RunFolder(out, Empty("y"))
    resumed = RunFolder(out, Empty("x"))
    assert not resumed.finished
    resumed.complete()
    text = (out / "run.json").read_text()
    assert "host" not in text, "a finished run does not say on which machine it was made"


def test_one_process_may_open_a_folder_twice(tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "run", Empty("x"))
    second = RunFolder(tmp_path / "run", Empty("x"))
    second.complete()
    assert first.finished


def test_a_lock_alone_is_no_run_and_no_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.lock").touch()
    assert not RunFolder(tmp_path / "run", Empty("x")).finished


def test_a_run_that_failed_after_extraction_can_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was extracted is kept for the second try; features of another victim are not taken for its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fi.processes, "share_threads", lambda: 1)
    few = "--images.public 40 --images.private 12 --training.images 8 --training.batch_size 8 --tracking.mode disabled"
    train = recipe("train")

    def start(*flags: str) -> None:
        train.main(fi.command_line.parse(train.Config, arguments=[*few.split(), "--out", "run", *flags]))

    with pytest.raises(fi.BadInput, match=r"training\.holdout: expected to leave pairs"):
        start("--training.holdout", "45")
    store = Path("run/features/manifest.json")
    written = store.stat().st_mtime_ns
    with pytest.raises(fi.BadInput, match="run/features: "):
        start("--training.holdout", "4", "--defence", "GaussianNoise:std=0.1")
    start("--training.holdout", "4")
    assert store.stat().st_mtime_ns == written
    assert fi.load_scoreboard("run").attacks
    with pytest.raises(fi.BadInput, match=r"another configuration \(training.holdout: 4 there, 5 here"):
        start("--training.holdout", "5")


def spellings(folder: Path, here: Path) -> list[str]:
    link = here / "link"
    link.symlink_to(folder)
    name = folder.name
    return [name, f"./{name}", f"{name}/", str(folder), f"{folder}/.", f"sub/../{name}", str(link), "link/"]


def test_other_spellings_of_a_path_are_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "others", "sub", "tiny"):
        (tmp_path / name).mkdir()
    asked = Asked("photos")
    run = RunFolder("run", asked)
    (run.path / "attack").mkdir()
    assert run.settings["data"] == "photos", "run.json shows what the user wrote"
    run.complete()
    for data in spellings(tmp_path / "photos", tmp_path):
        assert RunFolder("run", Asked(data)).finished, data
    with pytest.raises(fi.BadInput, match="data: .*photos' there, .*others' here"):
        RunFolder("run", Asked("others"))
    # "tiny" is a name, whatever the working folder holds.
    with pytest.raises(fi.BadInput, match="victim: 'tiny' there"):
        RunFolder("run", replace(asked, victim=str(tmp_path / "tiny")))
    monkeypatch.chdir(tmp_path / "sub")
    (tmp_path / "sub" / "photos").mkdir()
    with pytest.raises(fi.BadInput, match="data"):
        RunFolder(tmp_path / "run", asked)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Asked("d", victim="saved:w.safetensors,layer=norm"), Asked("d", victim="saved:./w.safetensors,layer=norm")),
        (Asked("d", judges=("w.safetensors",)), Asked("d", judges=("./w.safetensors",))),
        (
            Asked("d", part=Component("saved", {"source": "w.safetensors"})),
            Asked("d", part=Component("saved", {"source": "../here/w.safetensors"})),
        ),
    ],
)
def test_files_inside_other_settings_compare_by_where_they_are(
    first: Asked, second: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("w.safetensors").touch()
    Path("v.safetensors").touch()
    RunFolder("run", first).complete()
    assert RunFolder("run", second).finished
    other = replace(first, judges=("v.safetensors",))
    with pytest.raises(fi.BadInput, match=r"v\.safetensors"):
        RunFolder("run", other)


def test_a_file_that_the_run_itself_makes_does_not_change_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Asked("run/judge.safetensors")
    run = RunFolder("run", asked)
    (run.path / "judge.safetensors").touch()
    run.complete()
    assert RunFolder("run", asked).finished


def test_inputs_are_noted_once_and_compared_afterwards(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", Empty("x"))
    run.must_be_of({"the images": "1"})
    run.must_be_of({"the judges": ["a"]})
    (run.path / "attack").mkdir()
    again = RunFolder(tmp_path / "run", Empty("x"))
    with pytest.raises(fi.BadInput, match="other inputs .the images differ now"):
        again.must_be_of({"the images": "2"})
    again.must_be_of({"the images": "1", "the judges": ["a"]})
    again.complete()
    finished = RunFolder(tmp_path / "run", Empty("x"))
    finished.must_be_of({"the images": "1", "the judges": ["a"]})
    with pytest.raises(fi.BadInput, match="the judges differ now"):
        finished.must_be_of({"the judges": ["b"]})
    with pytest.raises(fi.BadInput, match="it does not say of which the victim"):
        finished.must_be_of({"the victim": "v"})


def judge_file(path: Path, change: float = 0.0) -> str:
    """The packaged judge in a file; with `change`, another one of the same name."""
    judge = fi.encoders.judge("scenes-vgg")
    with torch.no_grad():
        next(judge.network.parameters()).add_(change)
    fi.encoders.save_judge(judge, path)
    return str(path)


def victim_file(path: Path, seed: int) -> str:
    with fi.processes.seeded(seed):
        network = fi.encoders.networks.SmallMixer(3, width=8, depth=1)
    encoder = fi.encoders.wrap(network, name="mixer", family="mixer", input_size=32, layer="avgpool")
    fi.encoders.save_encoder(encoder, path)
    return str(path)


def scenes(folder: Path, count: int = 70) -> str:
    images = fi.data.scenes(count, seed=3)
    folder.mkdir()
    for place, pixels in enumerate(images.uint8(range(count))):
        from PIL import Image

        Image.fromarray(pixels).save(folder / f"{place:03d}.png")
    return str(folder)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """One finished comparison on files, closed forms only."""
    folder = tmp_path_factory.mktemp("compared")
    source = judge_file(folder / "judge.safetensors")
    encoder = Component("saved", {"source": victim_file(folder / "victim.safetensors", 0), "layer": "avgpool"})
    config = recipe("compare").Config(
        str(folder / "run"),
        data=scenes(folder / "photos"),
        images=ImageSettings(size=32, private=20),
        victim=VictimSettings(encoder),
        judges={"x": JudgeSettings(Component("judge", {"source": source}))},
        attacks={"mean image": AttackSettings(Component("MeanImage")), "ridge": AttackSettings(Component("Ridge"))},
        metrics=("default",),
        flips=False,
        samples=2,
        tracking=TrackingSettings(mode="disabled"),
    )
    recipe("compare").main(config)
    return folder, config


def test_a_finished_comparison_of_the_same_inputs_is_shown(
    compared: tuple[Path, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = compared
    monkeypatch.chdir(folder)
    recipe("compare").main(replace(config, data="./photos/"))  # type: ignore[type-var]
    assert "has run already" in capsys.readouterr().out


def other_image(folder: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32), (1, 2, 3)).save(folder / "photos" / "005.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_image, "images"),
        (lambda folder: (folder / "photos" / "069.png").unlink(), "images"),
        (lambda folder: victim_file(folder / "victim.safetensors", 1), "the victim"),
        (lambda folder: judge_file(folder / "judge.safetensors", 0.1), "the judges"),
    ],
)
def test_a_finished_comparison_of_other_files_under_the_same_names_is_refused(
    compared: tuple[Path, object], change: Callable[[Path], object], said: str
) -> None:
    folder, config = compared
    files = [*(folder / "photos").glob("*.png"), *folder.glob("*.safetensors")]
    before = {file: (file.read_bytes(), file.stat()) for file in files}
    try:
        change(folder)
        with pytest.raises(fi.BadInput, match=f"holds a run of other inputs .*{said}.* differ now"):
            recipe("compare").main(config)
    finally:
        for file, (content, status) in before.items():
            file.write_bytes(content)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_an_image_that_kept_its_size_and_time_is_noticed_too(compared: tuple[Path, object]) -> None:
    """The decoded copy in the run's folder is found by sizes and times, which a copying tool may keep."""
    folder, config = compared
    one = folder / "photos" / "005.png"
    kept, status = one.read_bytes(), one.stat()
    try:
        other_image(folder)
        # Readers ignore what follows the end of a PNG.
        one.write_bytes(one.read_bytes().ljust(status.st_size, b"\0"))
        assert one.stat().st_size == status.st_size
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(fi.BadInput, match="images differ now"):
            recipe("compare").main(config)
    finally:
        one.write_bytes(kept)
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_an_audit_notices_another_judge_victim_or_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, weights = judge_file(tmp_path / "judge.safetensors"), victim_file(tmp_path / "victim.safetensors", 0)
    settings = AuditSettings(
        out=str(tmp_path / "run"),
        victim=f"saved:{weights},layer=avgpool",
        public="p",
        private="q",
        judges=(source,),
        minutes=1.0,
        size=32,
    )
    public, private = fi.data.scenes(4, seed=0), fi.data.scenes(4, seed=1)
    record = Record(tmp_path)
    first = inputs_of(settings, open_victim(settings), public, private)
    record.content = {"inputs": first}
    record.must_be_of(inputs_of(settings, open_victim(settings), public, private))

    def refused(said: str) -> None:
        with pytest.raises(fi.BadInput, match=f"{said} differ now"):
            record.must_be_of(inputs_of(settings, open_victim(settings), public, private))

    judge_file(tmp_path / "judge.safetensors", 0.1)
    refused("the judges")
    judge_file(tmp_path / "judge.safetensors")
    victim_file(tmp_path / "victim.safetensors", 1)
    refused("the vectors or what makes them")
    victim_file(tmp_path / "victim.safetensors", 0)
    monkeypatch.setattr(fi, "__version__", "0.0.0")
    refused("the versions of featinv")


@pytest.mark.parametrize(
    "names",
    [
        ("mean image", "ridge λ=1", "ridge (1)", "Ridge λ=1"),
        ("mean image", "ridge", "ridge "),
        ("mean image", "ridge", "rIdge"),
        ("café", "cafe\u0301"),
        ("ridge 1", "ridge \u00b9"),
        ("mean image", "feature linkage"),
        ("mean image", "Mismatched features (ridge)"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused_before_anything_is_read(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    attacks = {name: AttackSettings(Component("MeanImage")) for name in names}
    config = recipe("compare").Config(str(tmp_path / "run"), data=str(tmp_path / "nowhere"), attacks=attacks)
    with pytest.raises(fi.BadInput, match="attacks: ") as error:
        recipe("compare").main(config)
    assert repr(names[-1]) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_names_that_only_a_folder_would_confuse_are_several_attacks() -> None:
    names = ["ridge λ=1", "ridge (1)", "ridge 1", "ridge-1", "ridge_1", "features"]
    fi.evaluation.check_attack_names(names)
    assert len({fi.files.folder_name(name) for name in names}) == len(names)
