"""Flags come from a dataclass: what a field says is what `--help`, the command line and a YAML file say."""

import argparse
import re
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pytest

import featinv as fi
from featinv import cli
from featinv.audit import AuditSettings
from featinv.audit.settings import GROUPS
from featinv.configuration import Component
from featinv.dataclass_flags import add_flags, flag, parse_settings

BASE = ["--out", "o", "--public", "p", "--private", "q"]
RESNET = Component("torchvision", {"name": "resnet50", "layer": "avgpool"})
NOISE = Component("GaussianNoise", {"std": 0.1})


def audit(*flags: str) -> AuditSettings:
    namespace = cli.parse(["audit", *BASE, *flags])
    return AuditSettings(**{item.name: getattr(namespace, item.name) for item in fields(AuditSettings)})


@pytest.mark.parametrize(
    "flags",
    [
        "--victim torchvision:resnet50,layer=avgpool --defence GaussianNoise:std=0.1",
        "--victim=torchvision,name=resnet50,layer=avgpool --defence=GaussianNoise:0.1",
        "--victim.encoder torchvision:resnet50,layer=avgpool --victim.defence GaussianNoise:0.1",
        "--victim.layer avgpool --victim torchvision:resnet50 --defence.std .1 --defence GaussianNoise",
        "--victim.encoder.args.name resnet50 --victim.encoder.args.layer avgpool --victim.encoder.name torchvision "
        "--victim.defence.name GaussianNoise --victim.defence.std 0.1",
    ],
)
def test_an_audit_reads_every_spelling_of_a_recipe(flags: str) -> None:
    """The same words on the command line of recipes/train.py give the same components."""
    from recipe_modules import recipe

    asked, trained = audit(*flags.split()), fi.command_line.parse(recipe("train").Config, "", flags.split())
    assert (asked.victim, asked.defence) == (RESNET, NOISE) == (trained.victim.encoder, trained.victim.defence)


def test_components_as_mappings() -> None:
    asked = audit(
        "--victim", "{name: torchvision, args: {name: resnet50, layer: avgpool}}", "--defence.name", "Identity"
    )
    assert (asked.victim, asked.defence) == (RESNET, Component("Identity"))
    assert audit("--victim", "tiny", "--defence", "GaussianNoise", "--defence.args", "{std: 0.1}").defence == NOISE


YAML = """
victim: {encoder: 'torchvision:resnet50,layer=avgpool', defence: 'GaussianNoise:0.1'}
minutes: 1.5
judge: [a.safetensors, b.safetensors]
metrics: [mine.a, mine.b]
train_judge: false
show_images: false
max_level: L2
tracking: {mode: offline, project: x}
"""


def test_a_file_says_what_flags_say(tmp_path: Path) -> None:
    file = tmp_path / "audit.yaml"
    file.write_text(YAML)
    flags = [
        "--minutes",
        "1.5",
        "--judge",
        "a.safetensors",
        "--judge",
        "b.safetensors",
        "--metrics",
        "mine.a",
        "mine.b",
    ]
    flags += ["--no-show-images", "--max-level", "L2", "--wandb", "{mode: offline, project: x}"]
    victim = ["--victim", "torchvision:resnet50,layer=avgpool", "--defence", "GaussianNoise:0.1"]
    assert audit("--config", str(file)) == audit(*victim, *flags)
    assert audit("--minutes", "3", "--config", str(file)).minutes == 3
    assert audit("--victim", "tiny").tracking == {"mode": "disabled"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--victim", "tiny", "--pubic", "x"], "unrecognized arguments: --pubic x; did you mean --public?"),
        (["--victim", "tiny", "--size", "big"], "--size: invalid int value: 'big'"),
        (["--victim", "tiny", "--smaller", "drop"], "--smaller: invalid choice: 'drop'"),
        (
            ["--victim", "tiny", "--wandb", "of"],
            "--wandb: invalid choice: 'of' (choose from disabled, offline, online)",
        ),
        (["--victim", "torchvison:resnet50"], "--victim: encoders: there is no 'torchvison'; did you mean torchvision"),
        (["--victim", "tiny:1,2"], "--victim: expected KEY=VALUE after a comma, got '2'"),
        (["--victim.layer", "x"], "--victim.layer: expected --victim NAME beside it"),
        (["--victim", "tiny", "--defence.std.x", "1"], "--defence.std.x: expected --defence.KEYWORD"),
        (["--victim", "{nam: tiny}"], "--victim: expected NAME[:VALUE][,KEY=VALUE...] or {name: ..., args: {...}}"),
        (["--victim"], "--victim: expected a value, got none"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml: expected a YAML file: "),
    ],
)
def test_a_wrong_flag_is_one_line(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["featinv", "audit", *BASE, *flags])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"victim": "tinny"}, "--victim: .*did you mean tiny"),
        (
            {"victim": "torchvision:resnet50,lyer=avgpool"},
            "--victim.lyer: torchvision takes no such keyword.*mean layer",
        ),
        ({"victim": "tiny", "defence": "GaussianNoise:st=1"}, "--defence.st: GaussianNoise takes no such keyword"),
    ],
)
def test_names_and_keywords_are_checked_before_an_image_is_read(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fi.data, "folder", lambda *_, **__: pytest.fail("images were read"))
    sides = {"out": str(tmp_path / "run"), "public": str(tmp_path), "private": str(tmp_path)}
    with pytest.raises(fi.BadInput, match=words):
        fi.audit.run_audit(AuditSettings(**sides, **changes))
    assert not (tmp_path / "run").exists()


def test_help_shows_every_field_with_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parse(["audit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    names = {"attacks": "attack", "judges": "judge", "tracking": "wandb"}
    flags = set(re.findall(r"--([\w-]+)", text))
    for item in fields(AuditSettings):
        assert names.get(item.name, item.name.replace("_", "-")) in flags, item.name
    assert all(group in text for group in GROUPS)
    assert "minutes of training, all attacks together" in text
    assert "(default: 30)" in text


@dataclass(frozen=True)
class Settings:
    """Any dataclass."""

    need: int = field(metadata=flag("one", "N"))
    """a number
    on two lines, 100 %"""
    kind: Literal["a", "b"] = field(default="a", metadata=flag("two"))
    """a choice"""
    rate: int | float | None = field(default=None, metadata=flag("one"))
    """a rate"""
    on: bool = field(default=False, metadata=flag("two"))
    """a switch"""
    hidden: int = 3
    """no flag"""


def test_any_dataclass_becomes_flags(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="x")
    add_flags(parser, Settings, ("one", "two"))
    namespace, unknown = parse_settings(parser, Settings, ["--need", "2", "--rate", "1e-2", "--on", "--hidden", "4"])
    assert (namespace.need, namespace.kind, namespace.rate, namespace.on) == (2, "a", 0.01, True)
    assert unknown == ["--hidden", "4"]
    text = " ".join(parser.format_help().split())
    assert "a number on two lines, 100 %" in text
    assert text.index("one:") < text.index("--need N a number") < text.index("two:")
    with pytest.raises(SystemExit):
        parse_settings(parser, Settings, [])
    assert "required: --need" in capsys.readouterr().err
