"""Names become objects and objects become names; a stranger's file decides nothing."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import featinv as fi
from featinv.command_line import parse
from featinv.configuration import Component, build, describe, find, rebuild

PACKAGE = """
class MyDecoder:
    def __init__(self, length, resolution, *, colour: str = "red"):
        self.seen = (length, resolution, colour)
"""


@dataclass(frozen=True)
class Inner:
    """An inner group."""

    rate: float = 0.1
    """the rate, per step"""


@dataclass(frozen=True)
class Settings:
    """Settings of a test."""

    decoder: Component = Component("Upsampling")
    """the decoder"""
    inner: Inner = Inner()
    """the inner group"""
    many: dict[str, Component] = field(default_factory=dict)
    """several parts by name"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_package.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_package"
    sys.modules.pop("my_package", None)


def test_parse_takes_flags_files_and_short_part_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("decoder: {name: Listik, args: {kernel: 4}}\nmany: {a: {name: X, args: {k: 1}}}\n")
    given = parse(Settings, "doc", ["--config", str(file), "--decoder.kernel", "3", "--inner.rate", "0.5"])
    assert given == Settings(Component("Listik", {"kernel": 3}), Inner(0.5), {"a": Component("X", {"k": 1})})
    assert parse(Settings, "doc", ["--decoder", "my_package.MyDecoder"]).decoder == Component(
        "my_package.MyDecoder", {}
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--inner.rat", "1"], "inner.rat"),
        (["--inner.rate", "fast"], "inner.rate"),
        (["--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_a_wrong_flag_leaves_with_2_and_names_it(arguments: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        parse(Settings, "doc", arguments)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_find_lists_what_exists() -> None:
    with pytest.raises(fi.BadInput, match=r"Listk.*did you mean Listik\?"):
        find("Listk", fi.decoders)
    with pytest.raises(fi.BadInput, match="cannot import 'no_such_package.Thing'"):
        find("no_such_package.Thing", fi.decoders)
    with pytest.raises(fi.BadInput, match="has no 'Nothing'"):
        find("featinv.errors.Nothing", fi.decoders)


def test_a_foreign_class_may_call_its_arguments_what_it_likes(package: str) -> None:
    made = build(Component(f"{package}.MyDecoder", {"colour": "blue"}), fi.decoders, (64,), 32)
    assert made.seen == ((64,), 32, "blue")
    described = describe(made)
    assert described == {
        "class": "my_package.MyDecoder",
        "args": {"length": [64], "resolution": 32, "colour": "blue"},
    }
    with pytest.raises(fi.BadInput, match="my_package.MyDecoder.*allow"):
        rebuild(described)
    again = rebuild(described, allow=["my_package.MyDecoder"])
    assert again.seen == ((64,), 32, "blue")
    assert describe(again) == described


def test_an_unknown_keyword_says_which_exist(package: str) -> None:
    with pytest.raises(fi.BadInput, match="colour"):
        build(Component(f"{package}.MyDecoder", {"color": "blue"}), fi.decoders, (64,), 32)


def test_describe_refuses_what_it_could_not_rebuild(package: str) -> None:
    import my_package

    with pytest.raises(fi.BadInput, match=r"self\.length = length"):
        describe(my_package.MyDecoder(64, 32))


@pytest.mark.parametrize("evil", ["os.system", "subprocess.Popen", "builtins.eval", "featinv.configuration.find"])
def test_rebuild_runs_no_stranger(evil: str) -> None:
    with pytest.raises(fi.BadInput, match="not one of featinv's"):
        rebuild({"class": evil, "args": {}})


def test_settings_describe_themselves() -> None:
    settings = fi.Training(images=123)
    assert rebuild(describe(settings)) == settings
    assert dataclasses.is_dataclass(settings)


@pytest.mark.parametrize(
    "code", ["import featinv", "import featinv.command_line, featinv.configuration, featinv.errors"]
)
def test_import_is_light(code: str) -> None:
    heavy = "{'torch', 'torchvision', 'torchmetrics', 'wandb', 'accelerate', 'numpy'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
