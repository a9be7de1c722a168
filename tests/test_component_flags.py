"""One grammar: every spelling of a component gives the same settings; bad forms are one line that names the flag."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from recipe_modules import recipe

import featinv as fi
from featinv.assembly import JudgeSettings, Term, VictimSettings
from featinv.command_line import parse
from featinv.component_flags import expand
from featinv.configuration import Component, parse_component

RESNET = Component("torchvision", {"name": "resnet50", "layer": "avgpool"})
NOISE = Component("GaussianNoise", {"std": 0.1})


def parsed(*flags: str, of: str = "train") -> Any:
    return parse(recipe(of).Config, "doc", list(flags))


IN_FULL = (
    "--victim.encoder.name torchvision --victim.encoder.args.name resnet50 --victim.encoder.args.layer avgpool "
    "--victim.defence.name GaussianNoise --victim.defence.args.std 0.1"
)
KEYWORDS_FIRST = "--victim.layer avgpool --victim torchvision:resnet50 --defence.std .1 --defence GaussianNoise"
MAPPINGS = [
    *("--victim.encoder", "{name: torchvision, args: {name: resnet50, layer: avgpool}}"),
    *("--victim.defence", "{name: GaussianNoise, args: {std: 0.1}}"),
]


@pytest.mark.parametrize(
    "flags",
    [
        ["--victim", "torchvision:resnet50,layer=avgpool", "--defence", "GaussianNoise:std=0.1"],
        ["--victim=torchvision,name=resnet50,layer=avgpool", "--defence=GaussianNoise:0.1"],
        ["--victim.encoder", "torchvision:resnet50,layer=avgpool", "--victim.defence", "GaussianNoise:1e-1"],
        [
            "--victim.layer",
            "avgpool",
            "--victim",
            "torchvision:resnet50",
            "--defence",
            "GaussianNoise",
            "--defence.std",
            ".1",
        ],
        IN_FULL.split(),
        MAPPINGS,
    ],
    ids=["short", "without colon", "in full", "any order", "field by field", "mappings"],
)
def test_every_spelling_of_the_victim_is_the_same_victim(flags: list[str]) -> None:
    assert parsed(*flags).victim == VictimSettings(RESNET, NOISE)


BY_FIELD = {"victim": {"name": "torchvision", "args": RESNET.args}, "defence": {"name": NOISE.name, "args": NOISE.args}}


@pytest.mark.parametrize(
    "content",
    [
        {"victim": "torchvision:resnet50,layer=avgpool", "defence": "GaussianNoise:0.1"},
        {"victim": {"encoder": "torchvision:resnet50,layer=avgpool", "defence": "GaussianNoise:std=0.1"}},
        BY_FIELD,
        {"victim": {"encoder": BY_FIELD["victim"], "defence": "GaussianNoise:0.1"}},
    ],
)
def test_a_file_takes_every_spelling_too(content: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(content))
    assert parsed("--config", str(file)).victim == VictimSettings(RESNET, NOISE)
    changed = parsed("--config", str(file), "--victim.layer", "layer4").victim
    assert changed.encoder == Component("torchvision", {"name": "resnet50", "layer": "layer4"})
    assert parsed("--config", str(file), "--victim", "tiny").victim == VictimSettings(Component("tiny"), NOISE)


@pytest.mark.parametrize(
    "spelling", ["my_package.judge", "{name: my_package.judge}", "{name: my_package.judge, args: {}}"]
)
@pytest.mark.parametrize("where", ["file", "flag"])
def test_a_judge_of_ones_own_gets_no_keywords_of_the_packaged_one(where: str, spelling: str, tmp_path: Path) -> None:
    """The packaged judge of the default has a keyword, which another function does not know."""
    file = tmp_path / "judges.yaml"
    file.write_text("judges: {vgg: {judge: %s}, mixer: {train: true}}" % (spelling if where == "file" else "judge"))
    flags = ["--judges.vgg.judge", spelling] if where == "flag" else []
    config = parsed("--config", str(file), *flags, of="compare")
    assert config.judges["vgg"].judge == Component("my_package.judge")
    assert config.judges["mixer"] == JudgeSettings(train=True), "the other judge is as the file says"
    assert config.judges["mixer"].judge.args == {"source": "scenes-vgg"}


def test_components_inside_lists_and_groups(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("attacks: {mean: MeanImage, ridge: 'Ridge:penalty=1e-3', d: {decoder: Upsampling:width=8}}")
    attacks = parsed("--config", str(file), of="compare").attacks
    assert [one.attack for one in attacks.values()] == [
        Component("MeanImage"),
        Component("Ridge", {"penalty": 1e-3}),
        Component("DecoderAttack"),
    ]
    assert attacks["d"].decoder == Component("Upsampling", {"width": 8})
    config = parsed("--losses", "[MSE, {name: L1, weight: 2}]", "--judges", "{mine: judge:scenes-vgg}")
    assert config.losses == (Term("MSE"), Term("L1", 2.0))
    assert config.judges == {"mine": JudgeSettings(Component("judge", {"source": "scenes-vgg"}))}
    config = parsed("--adversary", "DCGAN:norm=none", "--adversary.penalties", "[R1:weight=0.1]")
    assert config.adversary.discriminator == Component("DCGAN", {"norm": "none"})
    assert config.adversary.penalties == (Component("R1", {"weight": 0.1}),)
    assert parsed("--adversary", "null").adversary is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--decoder", "Upsampling:1,2"], "--decoder: expected KEY=VALUE after a comma, got '2'"),
        (["--decoder", "Upsampling,8"], "--decoder: expected KEY=VALUE after a comma, got '8'"),
        (["--decoder", "Upsampling:width=8,width=9"], "--decoder: expected each keyword once, got 'width' twice"),
        (["--defence", "GaussianNoise:0.1,std=0.2"], "--defence: expected each keyword once, got 'std' twice"),
        (["--decoder", ""], "--decoder: expected NAME[:VALUE][,KEY=VALUE...], got ''"),
        (["--decoder", "Up sampling"], "--decoder: expected NAME[:VALUE][,KEY=VALUE...], got 'Up sampling'"),
        (["--victim", "torchvison:resnet50"], "--victim: encoders: there is no 'torchvison'; did you mean torchvision"),
        (["--losses", "['L3:1']"], "--losses: losses: there is no 'L3'"),
        (["--victim.encodr.layer", "a"], "--victim.encodr.layer"),
        (["--trainig.lr", "1"], "unrecognized arguments: --trainig.lr 1; did you mean --training.lr?"),
    ],
)
def test_a_bad_form_is_one_line_that_names_the_flag(flags: list[str], words: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*flags)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


def test_a_bad_form_in_a_file_names_the_file_and_the_field(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("victim: {defence: 'GaussianNoise:std=1,std=2'}")
    with pytest.raises(SystemExit):
        parsed("--config", str(file))
    assert f"{file}: victim.defence: expected each keyword once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("null", None),
        ("true", True),
        ("[a,b]", ["a", "b"]),
        ("'01'", "01"),
        ("{weights}/w.safetensors", "{weights}/w.safetensors"),
        ("C: x", "C: x"),
        ("a #b", "a #b"),
        ("2026-01-01", "2026-01-01"),
        ("*.png", "*.png"),
        ("", ""),
    ],
)
def test_values_are_numbers_words_and_lists(text: str, value: Any) -> None:
    """A path or a name is text as it stands, whatever YAML would make of it."""
    assert parse_component(f"mine.Thing:key={text},last=1", "", "--x").args == {"key": value, "last": 1}


def test_what_holds_no_component_is_left_alone() -> None:
    flags = ["--out", "a:b", "--metrics=[x, my.y]", "--training.lr", "-1e-3", "--live=true", "stray", "--print_config"]
    assert expand(flags, recipe("train").Config) == flags


def test_a_network_inside_a_loss_is_written_the_same_way() -> None:
    mapping = {"name": "torchvision", "args": {"name": "resnet18", "weights": None}}
    built = [
        fi.assembly.build_objective([Term("Perceptual", args={"encoder": encoder, "layers": ["layer1"]})])
        for encoder in ("torchvision:resnet18,weights=null", mapping)
    ]
    assert repr(built[0]) == repr(built[1])


@pytest.mark.parametrize(
    "component", [RESNET, NOISE, Component("tiny"), Component("mine.X", {"a": [1, "b"], "c": None})]
)
def test_a_component_as_text_is_read_again(component: Component) -> None:
    assert parse_component(str(component), "", "--x") == component
