"""Every recipe as a user starts it: help at once, one line for bad input, the whole job on a few images."""

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from recipe_modules import recipe

import featinv as fi
from featinv.command_line import parse

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.py"))
CONFIGS = sorted((ROOT / "recipes" / "configs").glob("*.yaml"))
# Those of compare.py name several attacks, those of train.py are one.
SEVERAL = [config for config in CONFIGS if "\nattacks:" in config.read_text()]
SINGLE = [config for config in CONFIGS if "recipes/train.py --config" in config.read_text()]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
ONE = [*LAUNCH, "--num_processes", "1", "--dynamo_backend", "no", "--cpu"]
TWO = [*LAUNCH, "--multi_gpu", "--num_processes", "2", "--dynamo_backend", "no"]

SMALL = """
images: {source: scenes, size: 32, public: 120, private: 40}
attacks:
  mean image: {attack: {name: MeanImage}}
  nearest neighbour: {attack: {name: NearestNeighbour}}
  ridge: {attack: {name: Ridge}}
  listik: {decoder: {name: Listik}, losses: [{name: BCE}], training: {images: 240, batch_size: 24, holdout: 20}}
  noise: {attack: {name: RandomVector, args: {source: normal}}, of: listik}
galleries: [20]
samples: 4
"""


def run(command: list[str], cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "FEATINV_PROGRESS": "0", **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_help_answers_without_torch(recipe: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{recipe.name!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(recipe)!r}, run_name='__main__')\n"
        "except SystemExit as left:\n"
        "    assert left.code == 0, left.code\n"
        "heavy = {'torch', 'torchvision', 'torchmetrics', 'wandb', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run([sys.executable, "-W", "error", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
    assert "--print_config" in done.stdout
    assert "--out" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_flag_is_documented(recipe: Path, tmp_path: Path) -> None:
    """A field without a docstring shows as a bare `(type: ...)`."""
    done = run([sys.executable, str(recipe), "--help"], tmp_path)
    lines = " ".join(done.stdout.split())
    for flag in ("(type:", "(required, type:"):
        for before in lines.split(flag)[:-1]:
            assert not before.rstrip().split(" ")[-1].isupper(), (
                f"{recipe.name}: undocumented flag near ...{before[-60:]}"
            )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_stays_short_and_says_its_command(recipe: Path) -> None:
    text = recipe.read_text()
    assert text.count("\n") <= 150
    assert f"recipes/{recipe.name}" in text.split('"""')[1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_printed_configuration_can_be_given_back(recipe: Path, tmp_path: Path) -> None:
    needed = {"reconstruct": ["--attack", "a", "--features", "b", "--out", "c"]}.get(recipe.stem, [])
    first = run([sys.executable, str(recipe), *needed, "--print_config"], tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "printed.yaml").write_text(first.stdout)
    again = run([sys.executable, str(recipe), "--config", "printed.yaml", "--print_config"], tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "Unable" not in first.stdout


def test_unknown_flags_and_classes_are_one_line(tmp_path: Path) -> None:
    done = run([sys.executable, str(ROOT / "recipes/train.py"), "--witdh", "3"], tmp_path)
    assert done.returncode == 2
    assert "--witdh" in done.stderr
    command = [sys.executable, str(ROOT / "recipes/train.py"), "--decoder", "Upsamplin", "--out", "out"]
    done = run(command, tmp_path)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: --decoder: decoders: there is no 'Upsamplin'; did you mean Upsampling?")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("config", SEVERAL, ids=lambda path: path.stem)
def test_shipped_comparisons_parse(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "recipes/compare.py"), "--config", str(config), "--print_config"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    names = done.stdout
    assert "Unable" not in names + done.stderr
    # Every table starts with the controls.
    assert names.index("mean image") < names.index("nearest neighbour") < names.index("DecoderAttack")


def test_the_demo_has_every_kind_of_attack_and_fixed_numbers_of_images(tmp_path: Path) -> None:
    config = parse(recipe("compare").Config, arguments=["--config", str(ROOT / "recipes/configs/demo.yaml")])
    trained = {name: one for name, one in config.attacks.items() if one.attack.name == "DecoderAttack"}
    for kind in ("listik", "perceptual", "gan"):
        assert any(kind in name for name in trained), kind
    assert config.flips, "some attacks train on mirrored images"
    # Five minutes are promised on 2 cores: at most 4 ms of CPU an image, shared by two threads.
    assert sum(one.training.images for one in trained.values()) <= 110_000
    victim = fi.assembly.build_victim(config.victim)
    assert list(fi.assembly.build_attacks(config.attacks, victim, config.images.size)) == list(config.attacks)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_budgets_are_images_and_no_shipped_configuration_is_bounded_by_a_clock(config: Path) -> None:
    """A run that minutes cut gives other numbers on a slower or busier machine."""

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield str(key).rpartition(".")[2]
                yield from keys(item)
        elif isinstance(value, list):
            for item in value:
                yield from keys(item)

    content = list(keys(yaml.safe_load(config.read_text())))
    assert content
    assert "minutes" not in content
    assert "mixed_precision" not in content, "chosen by what the device does in hardware"


@pytest.mark.parametrize("config", SINGLE, ids=lambda path: path.stem)
def test_shipped_attacks_parse_and_say_their_command(config: Path) -> None:
    settings = parse(recipe("train").Config, arguments=["--config", str(config)])
    assert settings.training.images == 500_000, "equal budgets, so that they compare"
    assert (settings.adversary is None) == (config.stem in ("pixel", "perceptual"))
    assert f"recipes/train.py --config recipes/configs/{config.name}" in config.read_text()


def test_the_adversarial_recipe_is_the_smallest_one_plus_one_idea() -> None:
    """What a reader has to understand in train_gan.py is the difference to train_pixel.py, and nothing else."""
    lines = [(ROOT / "recipes" / f"train_{name}.py").read_text().split('"""', 2)[2] for name in ("pixel", "gan")]
    edits = [line for line in difflib.ndiff(*(text.splitlines() for text in lines)) if line[0] in "+-"]
    gone, new = ([line[2:] for line in edits if line[0] == sign] for sign in "-+")
    # The folder, the attack and its name in the table change; a weight and the discriminator are added.
    assert len(gone) == 3
    assert len(new) == 7
    assert all("pixel" in line or "DecoderAttack" in line for line in gone)
    assert all(any(word in line for word in ("gan", "adversar", "discriminator")) for line in new)


@pytest.mark.parametrize(
    "config", sorted((ROOT / "recipes/configs/accelerate").glob("*.yaml")), ids=lambda path: path.stem
)
def test_accelerate_reads_our_launch_configurations(config: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    read = load_config_from_file(str(config))
    assert read.mixed_precision == ("bf16" if "bf16" in config.stem else "no")
    text = config.read_text()
    assert "Not run yet" in text
    assert (ROOT / "recipes" / "train.py").is_file()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with `run/`, the comparison of the small configuration, and the command without its launcher."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "small.yaml").write_text(SMALL)
    command = [str(ROOT / "recipes/compare.py"), "--config", "small.yaml", "--out", "run", "--headroom", "true"]
    done = run([*ONE, *command], folder)
    assert done.returncode == 0, done.stderr
    return folder, [sys.executable, *command]


def test_compare_end_to_end_and_shown_again(compared: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, command = compared
    out = folder / "run"
    board = json.loads((out / "scoreboard.json").read_text())
    names = [attack["name"] for attack in board["attacks"]]
    assert names[:2] == ["mean image", "nearest neighbour"]
    assert {"ridge", "listik", "noise", "judge features predicted"} <= set(names)
    kinds = [attack["kind"] for attack in board["attacks"]]
    assert kinds == sorted(kinds, key=["control", "attack"].index)
    assert all(attack["metrics"]["psnr"]["n"] == 40 for attack in board["attacks"] if "psnr" in attack["metrics"])
    with np.load(out / "per_image.npz", allow_pickle=False) as arrays:
        assert arrays["ridge/psnr"].shape == (40,)
    assert (out / "samples.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "listik" / "attack.json").is_file()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}

    again = run(command, folder)
    assert again.returncode == 0, again.stderr
    assert "has run already" in again.stdout
    assert str(fi.load_scoreboard(out)) in again.stdout

    other = run([*command, "--seed", "5"], folder)
    assert other.returncode != 0
    assert other.stderr.count("error: run: holds a run of another configuration (seed: 0 there, 5 here)") == 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before

    _reconstructs(tmp_path, out)


def _reconstructs(folder: Path, out: Path) -> None:
    """The attack that the comparison left turns a file of vectors into images."""
    victim = fi.Victim(fi.encoders.tiny(), fi.defences.Identity())
    release = fi.release(victim, fi.data.scenes(5, start=300), seed=0)
    np.savez(folder / "vectors.npz", embedding=release.features, scores=np.ones(5))
    command = [sys.executable, str(ROOT / "recipes/reconstruct.py"), "--attack", str(out / "listik")]
    done = run([*command, "--features", "vectors.npz", "--out", "images"], folder)
    assert done.returncode == 0, done.stderr
    assert "Note: vectors from 'embedding' of 2 in the file" in done.stdout, "what was chosen by rule is said"
    from PIL import Image

    written = sorted((folder / "images").glob("0*.png"))
    assert len(written) == 5
    import torch

    expected = fi.load_attack(out / "listik").reconstruct(torch.from_numpy(release.features))
    pixels = np.stack([np.asarray(Image.open(path)) for path in written])
    ours = (expected * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.abs(pixels.astype(int) - ours).max() <= 1
    refused = run([*command, "--features", "vectors.npz", "--out", "images"], folder)
    assert refused.returncode == 2
    assert "expected a new or empty folder" in refused.stderr
    narrow = release.features[:, :10]
    np.save(folder / "narrow.npy", narrow)
    refused = run([*command, "--features", "narrow.npy", "--out", "more"], folder)
    assert refused.returncode == 2
    assert "64" in refused.stderr
    assert "10" in refused.stderr
    assert not (folder / "more").exists()


FOREIGN = '''
from torch import nn

class MyDecoder(nn.Module):
    """Ten lines of somebody else's, with argument names of its own."""

    def __init__(self, length, side, hidden: int = 8):
        super().__init__()
        self.side = side
        self.net = nn.Sequential(nn.Linear(length[0], hidden), nn.ReLU(), nn.Linear(hidden, 3 * side * side))

    def forward(self, vectors):
        return self.net(vectors).sigmoid().view(-1, 3, self.side, self.side)
'''


def test_a_foreign_decoder_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text(FOREIGN)
    flags = ["--decoder", "my_package.MyDecoder", "--decoder.hidden", "5", "--out", "run"]
    sizes = [
        "--images.public",
        "60",
        "--images.private",
        "20",
        "--training.images",
        "100",
        "--training.batch_size",
        "20",
    ]
    done = run([*ONE, str(ROOT / "recipes/train.py"), *flags, *sizes, "--training.holdout", "10"], tmp_path)
    assert done.returncode == 0, done.stderr
    described = json.loads((tmp_path / "run" / "attack" / "attack.json").read_text())
    assert "my_package.MyDecoder" in json.dumps(described)
    assert '"hidden": 5' in json.dumps(described)
    with pytest.raises(fi.BadInput, match="my_package.MyDecoder"):
        fi.load_attack(tmp_path / "run" / "attack")
    monkeypatch.syspath_prepend(tmp_path)
    attack = fi.load_attack(tmp_path / "run" / "attack", allow=["my_package.MyDecoder"])
    assert attack.feature_shape == (64,)
    assert attack.image_size == 32


@pytest.mark.multiprocess
def test_compare_on_two_processes(compared: tuple[Path, list[str]], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    command = [str(ROOT / "recipes/compare.py"), "--config", "small.yaml", "--tracking.mode", "disabled"]
    done = run([*TWO, *command, "--out", "two"], tmp_path, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 attacks, of which 1 are trained") == 1
    alone, shared = (np.load(out / "per_image.npz") for out in (compared[0] / "run", tmp_path / "two"))
    # The comparison on one process also has the headroom: its rows, and one more view.
    more = {key for key in alone.files if key.startswith("judge features predicted") or key.endswith("/whitened")}
    assert set(shared.files) == set(alone.files) - more
    for key in shared.files:
        # What random vectors give is keyed to the bytes of those they replace, which differ in their last bits.
        if key.endswith("/psnr") and not key.startswith("noise"):
            np.testing.assert_allclose(alone[key], shared[key], atol=2e-3, err_msg=key)


@pytest.mark.multiprocess
def test_an_error_on_two_processes_is_said_once(tmp_path: Path) -> None:
    command = [*TWO, str(ROOT / "recipes/train.py"), "--decoder", "Nothing", "--out", "run"]
    done = run(command, tmp_path, ACCELERATE_USE_CPU="true")
    assert done.returncode != 0
    assert done.stderr.count("error: --decoder: decoders: there is no 'Nothing'") == 1


@pytest.mark.slow
@pytest.mark.multiprocess
def test_the_adversarial_recipe_on_one_process_and_on_two(tmp_path: Path) -> None:
    few = ["--public", "60", "--private", "30", "--width", "32", "--steps", "6", "--training.batch_size", "12"]
    command = [str(ROOT / "recipes/train_gan.py"), *few, "--training.holdout", "10", "--out"]
    one = run([*ONE, *command, "one"], tmp_path)
    assert one.returncode == 0, one.stderr
    two = run([*TWO, *command, "two"], tmp_path, ACCELERATE_USE_CPU="true")
    assert two.returncode == 0, two.stderr
    first, second = (json.loads((tmp_path / name / "attack" / "attack.json").read_text()) for name in ("one", "two"))
    ours, theirs = (json.dumps(attack) for attack in (first, second))
    assert "Adversary(DCGAN(32, norm='none')" in ours
    assert "Adversary(DCGAN(32, norm='none')" in theirs
    for name in ("one", "two"):
        board = fi.load_scoreboard(tmp_path / name)
        assert [row.name for row in board.attacks][:2] == ["mean image", "nearest neighbour"]
        assert "gan" in [row.name for row in board.attacks]
        assert "attack/gan" in json.loads((tmp_path / name / "wandb" / "runs.json").read_text())
    # The pixel recipe must not go on from the checkpoints of another set of networks.
    other = [str(ROOT / "recipes/train_pixel.py"), *few, "--training.holdout", "10", "--out", "one"]
    refused = run([sys.executable, *other], tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stderr.strip().splitlines()[-1].startswith("error: ")
