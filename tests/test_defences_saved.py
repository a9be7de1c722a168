"""Saved defences: the same map bit by bit, three lines of numpy, and files that are not ours."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from featinv import defences
from featinv.errors import BadInput

PUBLIC = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))


class Halves(nn.Module):
    """A learned bottleneck of a user."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(8, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)


MADE = {
    "chain": lambda: nn.Sequential(defences.Clip(2), defences.PCA(4), defences.Uniform(3)),
    "codes": lambda: defences.ProductCodes(2, 3, seed=5),
    "rotation": lambda: defences.RandomRotation("key"),
    "shaped": lambda: defences.ShapedNoise(0.2, 1),
    "removal": lambda: defences.RemoveSubspace("sex"),
    "nothing": lambda: defences.PCA(),
    "groups": lambda: defences.Microaggregate(5),
}


@pytest.mark.parametrize("name", MADE)
def test_a_loaded_defence_is_the_saved_one_bit_by_bit(name: str, tmp_path: Path) -> None:
    defence = defences.fit(MADE[name](), PUBLIC, np.arange(200) % 3)
    defences.save(defence, tmp_path / "defence")
    loaded = defences.load(tmp_path / "defence")
    outputs = []
    for each in (defence, loaded):
        torch.manual_seed(1)
        outputs.append(each(PUBLIC))
    assert torch.equal(*outputs)
    assert defences.fingerprint(loaded) == defences.fingerprint(defence)


def test_three_lines_of_numpy_apply_saved_codes(tmp_path: Path) -> None:
    defence = defences.Codebook(3).fit(PUBLIC)
    defences.save(defence, tmp_path)
    centres = load_file(tmp_path / "weights.safetensors")["0.centres"]
    codes = np.square(PUBLIC.numpy()[:, None] - centres).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(centres[codes], defence(PUBLIC).numpy())


def test_a_module_of_the_users_is_loaded_only_when_allowed(tmp_path: Path) -> None:
    chain = nn.Sequential(Halves(4), defences.GaussianNoise(0))
    defences.save(chain, tmp_path)
    with pytest.raises(BadInput, match=r"is not one of featinv's; if you trust its author"):
        defences.load(tmp_path)
    assert torch.equal(defences.load(tmp_path, allow=Halves)(PUBLIC), chain(PUBLIC))


def test_what_is_not_fitted_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Codebook\(bits=2, seed=0\): expected a fitted defence"):
        defences.save(defences.Codebook(2), tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match=r"got one with 'mine.txt' in it"):
        defences.save(defences.Clip(1), tmp_path)


def broken(folder: Path, how: str) -> None:
    document = json.loads((folder / "defence.json").read_text())
    if how == "width":
        document["parts"][0]["feature_shape"] = [9]
    elif how == "class":
        document["parts"][0]["class"] = "os.system"
    elif how == "argument":
        document["parts"][0]["args"]["colour"] = 1
    elif how == "empty":
        document["parts"] = []
    elif how == "schema":
        document["schema"] = 99
    (folder / "defence.json").write_text(json.dumps(document))
    if how == "truncated":
        data = (folder / "weights.safetensors").read_bytes()
        (folder / "weights.safetensors").write_bytes(data[:-8])
    elif how == "flipped":
        data = bytearray((folder / "weights.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "weights.safetensors").write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("width", "does not make it|another width"),
        ("class", "not one of featinv's"),
        ("argument", "colour"),
        ("empty", "at least one defence"),
        ("schema", "expected schema 1, got 99"),
        ("truncated", "truncated"),
        ("flipped", "damaged"),
    ],
)
def test_a_broken_folder_is_refused_in_a_line(how: str, message: str, tmp_path: Path) -> None:
    defences.save(defences.Codebook(3).fit(PUBLIC), tmp_path)
    broken(tmp_path, how)
    with pytest.raises(BadInput, match=message) as caught:
        defences.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a folder that featinv.defences.save wrote, got nothing there"):
        defences.load(tmp_path / "none")


IN_NUMPY = {
    "Clip": defences.Clip(2),
    "Uniform": defences.Uniform(3),
    "Sign": defences.Sign(),
    "TopK": defences.TopK(3),
    "PCA": defences.PCA(3),
    "RandomRotation": defences.RandomRotation("key"),
    "RemoveSubspace": defences.RemoveSubspace(),
}


@pytest.mark.parametrize("name", IN_NUMPY)
def test_the_lines_of_numpy_on_the_page_apply_what_was_saved(name: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "defences.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| `{name}` \|[^|]*\| `(.*x.*)` \|$", page, flags=re.MULTILINE)
    defence = defences.fit(IN_NUMPY[name], PUBLIC, np.arange(200) % 3)
    defences.save(defence, tmp_path)
    names = {key.partition(".")[2]: value for key, value in load_file(tmp_path / "weights.safetensors").items()}
    names |= json.loads((tmp_path / "defence.json").read_text())["parts"][0]["args"]
    made = eval(line, {"np": np, "x": PUBLIC.numpy(), **names})
    np.testing.assert_allclose(made, defence(PUBLIC).numpy(), atol=1e-5)
