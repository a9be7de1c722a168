"""The ablations' recipe: its table says what was trained and scored; a killed run goes on; bad input is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import featinv as fi
from featinv.command_line import parse

RECIPES = Path(__file__).parents[2] / "recipes" / "paper"
FEW: dict[str, Any] = {"scale": "smoke", "public": 40, "private": 12, "images": 60, "layers": ("linear",)}


@pytest.fixture(scope="module")
def ablations() -> ModuleType:
    """The recipe as a module; its neighbours are found as they are when it is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        import ablations

        return ablations


@pytest.fixture(scope="module")
def done(ablations: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on very few images of one size, through the pooled layer and the logits."""
    out = tmp_path_factory.mktemp("ablations") / "run"
    ablations.main(ablations.Config(str(out), sizes=(32,), **FEW))
    return out


def rows(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["layer"], row["name"]): row for row in json.loads((out / "table.json").read_text())["rows"]}


def test_each_release_has_its_controls_and_what_is_compared(done: Path) -> None:
    controls = ["mean image", "nearest neighbour", "mismatched features (upsampling)"]
    pooled = ["listik 3x3", "listik 4x4", "listik 3x3 + mixing", "upsampling"]
    expected = [("avgpool", name) for name in controls + pooled]
    assert list(rows(done)) == [*expected, *(("linear", name) for name in [*controls[1:], "upsampling"])]


def test_parameters_are_those_of_the_layers_by_hand(done: Path) -> None:
    def listik(kernel: int) -> int:
        return sum(kernel**2 * a * b + b for a, b in ((4, 256), (256, 128), (128, 64))) + 4 * 64 * 3 + 3

    found = {name: row["parameters"] for (layer, name), row in rows(done).items() if layer == "avgpool"}
    assert (found["listik 3x3"], found["listik 4x4"]) == (listik(3), listik(4))
    assert found["listik 3x3 + mixing"] == listik(3) + 64 * 64 + 64
    assert rows(done)["linear", "upsampling"]["feature_shape"] == [188]


def test_all_decoders_have_the_same_budget_and_listik_the_paper_s_training(done: Path) -> None:
    saved = [json.loads(file.read_text()) for file in done.rglob("attack.json")]
    trained = [one for one in map(json.dumps, saved) if '"decoder"' in one]
    assert len(trained) == 5
    assert all('"images": 60,' in one for one in trained)
    assert ['"adadelta"' in one for one in trained] == ["Listik" in one for one in trained]


def test_a_difference_is_the_mean_over_pairs_of_images(done: Path) -> None:
    pooled, logits = (fi.load_scoreboard(done / name) for name in ("32-px-avgpool", "32-px-linear"))
    for board, key, base in (
        (pooled, ("avgpool", "listik 4x4"), "listik 3x3"),
        (logits, ("linear", "upsampling"), "upsampling"),
    ):
        against = rows(done)[key]["against"]
        assert (against["layer"], against["name"]) == ("avgpool", base)
        expected = np.mean(board.per_image[f"{key[1]}/psnr"] - pooled.per_image[f"{base}/psnr"])
        assert against["psnr"]["mean"] == pytest.approx(expected)
        assert against["psnr"]["low"] < expected < against["psnr"]["high"]
    bases = {("avgpool", "listik 3x3"), ("avgpool", "upsampling")}
    assert {key for key, row in rows(done).items() if row["kind"] == "attack" and "against" not in row} == bases


def test_the_table_is_the_numbers_and_names_its_command_but_no_folder(done: Path) -> None:
    text = (done / "table.md").read_text()
    row = rows(done)["avgpool", "listik 4x4"]
    psnr = row["metrics"]["psnr"]
    assert f"| listik 4x4 | {row['parameters']:,} | {psnr['mean']:.2f} [{psnr['low']:.2f}, {psnr['high']:.2f}]" in text
    assert "*mean image*" in text
    assert "Top-10 by chance: 83.3 %" in text  # 10 of 12
    command = 'recipes/paper/ablations.py --scale smoke --layers "[linear]" --sizes "[32]" --public 40 --private 12'
    assert command in text
    assert str(done) not in text


def test_a_killed_run_goes_on_and_a_finished_one_is_shown(ablations, done, tmp_path, capsys) -> None:
    """Killed while the second release was scored: nothing that was trained is trained again."""
    out = tmp_path / "run"
    shutil.copytree(done, out)
    finished = json.loads((out / "run.json").read_text())
    killed = {name: finished[name] for name in ("schema", "settings")} | {"finished": False}
    (out / "run.json").write_text(json.dumps(killed))
    for gone in (out / "table.json", out / "table.md", out / "32-px-linear" / "scoreboard.json"):
        gone.unlink()
    before = {file: file.read_bytes() for file in out.rglob("*") if file.name in ("attack.json", "weights.safetensors")}
    config = ablations.Config(str(out), sizes=(32,), **FEW)
    ablations.main(config)
    assert {file: file.read_bytes() for file in before} == before
    for key, row in rows(out).items():
        assert row["metrics"] == rows(done)[key]["metrics"]
        assert row.get("against") == rows(done)[key].get("against")
    capsys.readouterr()
    ablations.main(config)
    shown = capsys.readouterr().out
    assert "has run already" in shown
    assert (out / "table.md").read_text() in shown
    with pytest.raises(fi.BadInput, match="another configuration"):
        ablations.main(ablations.Config(str(out), sizes=(64,), **FEW))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sizes": (48,)}, r"--sizes: expected some of 32, 64, 128, 256, got \[48\]"),
        ({"sizes": ()}, "--sizes"),
        ({"images": 0}, "--images: expected at least 1, got 0"),
        ({"private": 3}, "--private: expected at least 10"),
        ({"layers": ("layer9",)}, "layer: expected a layer of SmallResNet, got 'layer9'"),
        ({"pooled": "linear"}, r"divisible by 16, got \(188,\)"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(ablations, tmp_path, given, message) -> None:
    with pytest.raises(fi.BadInput, match=message):
        ablations.main(ablations.Config(str(tmp_path / "run"), **{"sizes": (32,), **FEW, **given}))
    assert not list(tmp_path.rglob("attack.json"))


def test_images_too_small_for_a_later_size_are_named_before_the_first_is_trained(ablations, tmp_path) -> None:
    from PIL import Image

    pixels = fi.data.scenes(30, size=32).uint8(range(30))
    for index, image in enumerate(np.asarray(pixels)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    given = {**FEW, "public": 18, "data": str(tmp_path)}
    with pytest.raises(fi.BadInput, match="smaller"):
        ablations.main(ablations.Config(str(tmp_path.parent / "run"), sizes=(32, 64), **given))
    assert not list((tmp_path.parent / "run").rglob("attack.json"))


def test_the_shipped_configuration_parses(ablations: ModuleType) -> None:
    config = parse(ablations.Config, arguments=["--config", str(RECIPES / "ablations_cifar10.yaml")])
    assert (config.encoder.name, config.sizes, config.layers[0]) == ("cifar_resnet", (32,), "layer1")
    with pytest.raises(fi.BadInput, match="--weights"):
        ablations.victim_at(config, "avgpool")


def test_help_answers_without_torch() -> None:
    code = "import runpy, sys\nsys.argv = ['ablations.py', '--help']\n"
    code += f"sys.path.insert(0, {str(RECIPES)!r})\n"
    code += f"try:\n    runpy.run_path({str(RECIPES / 'ablations.py')!r}, run_name='__main__')\n"
    code += "except SystemExit as left:\n    assert left.code == 0\n"
    code += "assert not {'torch', 'accelerate'} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(flag in done.stdout for flag in ("--config", "--scale", "--out", "--data", "--weights"))


@pytest.mark.slow
def test_smoke_as_a_user_starts_it(tmp_path: Path) -> None:
    launch = (
        "accelerate.commands.launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no --cpu"
    )
    command = [sys.executable, "-m", *launch.split(), str(RECIPES / "ablations.py"), "--scale", "smoke", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "table.json").read_text())["rows"]
    assert {(row["size"], row["layer"]) for row in found} == {
        *((32, layer) for layer in ("avgpool", "stem", "stages.1", "stages.3", "linear")),
        (64, "avgpool"),
    }
    assert (tmp_path / "run" / "table.md").read_text() in done.stdout
